/** From arguments to an exit code. Verbs are loaded when they are needed, so that help and usage errors come at once. */

import { type Arguments, parseArguments } from "./arguments.ts";
import { exitCode, explain, UsageError } from "./errors.ts";
import { programHelp, verbHelp } from "./help.ts";
import { nearest } from "./nearest.ts";
import { program, VERSION } from "./program.ts";
import { visible, writeError, writeOutput } from "./terminal.ts";
import {
  checkVerb,
  evalVerb,
  infoVerb,
  reportVerb,
  sampleVerb,
  trainVerb,
  type Verb,
  verbs,
} from "./verbs.ts";

/**
 * Runs the program.
 *
 * @returns its exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted
 */
export async function main(args: readonly string[]): Promise<number> {
  try {
    quietVulkan();
    return await dispatch(args);
  } catch (error) {
    const { text, code } = explain(error);
    // What a file or a name says has no business with the terminal.
    if (text !== "") writeError(`${visible(text)}\n`);
    return code;
  }
}

/** Vulkan's drivers complain on standard error if this is not set, and need nothing of it. */
function quietVulkan(): void {
  if (Deno.build.os === "linux" && !Deno.env.get("XDG_RUNTIME_DIR")) {
    Deno.env.set("XDG_RUNTIME_DIR", "/tmp");
  }
}

async function dispatch([name, ...args]: readonly string[]): Promise<number> {
  switch (name) {
    case "train":
      return await run(trainVerb, args, async (given) => {
        const { train } = await import("./train.ts");
        return await train(given, [name, ...args]);
      });
    case "sample":
      return await run(sampleVerb, args, async (given) => {
        const { sample } = await import("./sample.ts");
        return await sample(given);
      });
    case "eval":
      return await run(evalVerb, args, async (given) => {
        const { evaluate } = await import("./eval.ts");
        return await evaluate(given);
      });
    case "info":
      return await run(infoVerb, args, async (given) => {
        const { info } = await import("./info.ts");
        return await info(given);
      });
    case "report":
      return await run(reportVerb, args, async (given) => {
        const { report } = await import("./report.ts");
        return await report(given);
      });
    case "check":
      return await run(checkVerb, args, async (given) => {
        const { check } = await import("./check.ts");
        return await check(given);
      });
    case "lab": {
      const { lab } = await import("./lab/main.ts");
      return await lab(args);
    }
    case "--version":
      await writeOutput(`lm ${VERSION}\n`);
      return exitCode.ok;
    case "--help":
    case "-h":
      await writeOutput(`${programHelp()}\n`);
      return exitCode.ok;
    case undefined:
      writeError(`${programHelp()}\n`);
      return exitCode.usage;
    default:
      throw unknownVerb(name);
  }
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
  const names = verbs.map((verb) => verb.name);
  const near = nearest(name, names);
  return new UsageError(
    `Cannot ${name}: the verbs are ${names.join(", ")}`,
    near === undefined
      ? `${program()} --help says more`
      : `did you mean ${near}?`,
  );
}
