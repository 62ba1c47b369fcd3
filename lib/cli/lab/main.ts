/** `lab`: the experiments. From its arguments to an exit code. */

import { type Arguments, parseArguments } from "../arguments.ts";
import { exitCode, UsageError } from "../errors.ts";
import { verbHelp, verbList } from "../help.ts";
import { nearest } from "../nearest.ts";
import { program } from "../program.ts";
import { writeError, writeOutput } from "../terminal.ts";
import type { Verb } from "../verbs.ts";
import { labMuseumVerb } from "./museum_verb.ts";
import {
  labAblateVerb,
  labMergeVerb,
  labMinimalVerb,
  labPlanVerb,
  labReportVerb,
  labRunVerb,
  labScalingVerb,
  labVerbs,
  labWorksVerb,
} from "./verbs.ts";
import { labPositionsVerb } from "./positions_verb.ts";

/** Runs one of the lab's verbs; gives the exit code. */
export async function lab([name, ...args]: readonly string[]): Promise<number> {
  switch (name) {
    case "ablate":
      return await run(labAblateVerb, args, async (given) => {
        const { labExperiment } = await import("./experiment.ts");
        return await labExperiment("ablate", given);
      });
    case "scaling":
      return await run(labScalingVerb, args, async (given) => {
        const { labExperiment } = await import("./experiment.ts");
        return await labExperiment("scaling", given);
      });
    case "minimal":
      return await run(labMinimalVerb, args, async (given) => {
        const { labMinimal } = await import("./minimal.ts");
        return await labMinimal(given);
      });
    case "works":
      return await run(labWorksVerb, args, async (given) => {
        const { labWorks } = await import("./works.ts");
        return await labWorks(given);
      });
    case "plan":
      return await run(labPlanVerb, args, async (given) => {
        const { labPlan } = await import("./experiment.ts");
        return await labPlan(given);
      });
    case "run":
      return await run(labRunVerb, args, async (given) => {
        const { labRun } = await import("./run.ts");
        return await labRun(given);
      });
    case "merge":
      return await run(labMergeVerb, args, async (given) => {
        const { labMerge } = await import("./report.ts");
        return await labMerge(given);
      });
    case "report":
      return await run(labReportVerb, args, async (given) => {
        const { labReport } = await import("./report.ts");
        return await labReport(given);
      });
    case "positions":
      return await run(labPositionsVerb, args, async (given) => {
        const { labPositions } = await import("./positions.ts");
        return await labPositions(given);
      });
    case "museum":
      return await run(labMuseumVerb, args, async (given) => {
        const { labMuseum } = await import("./museum.ts");
        return await labMuseum(given);
      });
    case "--help":
    case "-h":
      await writeOutput(`${help()}\n`);
      return exitCode.ok;
    case undefined:
      writeError(`${help()}\n`);
      return exitCode.usage;
    default:
      throw unknownVerb(name);
  }
}

function help(): string {
  return verbList(
    "lab: experiments, each planned in a file before it runs",
    labVerbs,
  );
}

async function run<Values extends { help: boolean }>(
  verb: Verb<Values>,
  args: readonly string[],
  action: (given: Arguments<Values>) => Promise<number>,
): Promise<number> {
  const given = parseArguments(args, verb);
  if (!given.flags.help) return await action(given);
  await writeOutput(`${verbHelp(verb)}\n`);
  return exitCode.ok;
}

function unknownVerb(name: string): UsageError {
  const names = labVerbs.map((verb) => verb.name.replace(/^lab /, ""));
  const near = nearest(name, names);
  return new UsageError(
    `Cannot lab ${name}: the verbs are ${names.join(", ")}`,
    near === undefined
      ? `${program()} lab --help says more`
      : `did you mean lab ${near}?`,
  );
}
