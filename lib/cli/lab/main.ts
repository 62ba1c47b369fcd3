/** `lab`: the experiments. From its arguments to an exit code. */

import { exitCode } from "../command/errors.ts";
import { everyVerb, unknownCommand } from "../command/every_verb.ts";
import { labHelp, verbHelp } from "../command/help.ts";
import { run } from "../command/run_verb.ts";
import { writeError, writeOutput } from "../terminal/terminal.ts";
import { labMuseumVerb } from "./museum_verb.ts";
import {
  labAblateVerb,
  labMergeVerb,
  labMinimalVerb,
  labPlanVerb,
  labReportVerb,
  labRunVerb,
  labScalingVerb,
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
    case "help":
    case "--help":
    case "-h":
      if (args[0] !== undefined && name === "help") {
        const verb = everyVerb.find((verb) => verb.name === `lab ${args[0]}`);
        if (verb === undefined) throw unknownCommand(args[0], "lab");
        await writeOutput(`${verbHelp(verb)}\n`);
      } else await writeOutput(`${labHelp()}\n`);
      return exitCode.ok;
    case undefined:
      writeError(`${labHelp()}\n`);
      return exitCode.usage;
    default:
      throw unknownCommand(name, "lab");
  }
}
