/** From arguments to an exit code. Verbs are loaded when they are needed, so that help and usage errors come at once. */

import { checkVerb } from "../verbs/check_verb.ts";
import { completionsVerb } from "./completions_verb.ts";
import { exitCode, explain } from "./errors.ts";
import { everyVerb, unknownCommand } from "./every_verb.ts";
import { labHelp, programHelp, verbHelp } from "./help.ts";
import { listVerb } from "../verbs/list_verb.ts";
import { VERSION } from "./program.ts";
import { reportVerb } from "../verbs/report_verb.ts";
import { run } from "./run_verb.ts";
import { visible, writeError, writeOutput } from "../terminal/terminal.ts";
import { evalVerb, infoVerb, sampleVerb, trainVerb } from "./verbs.ts";

/**
 * Runs the program.
 *
 * @returns its exit code: 0 done, 1 failed, 2 wrong usage, 130 after Ctrl-C, 143 after SIGTERM
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
        const { train } = await import("../verbs/train.ts");
        return await train(given, [name, ...args]);
      });
    case "sample":
      return await run(sampleVerb, args, async (given) => {
        const { sample } = await import("../verbs/sample.ts");
        return await sample(given);
      });
    case "eval":
      return await run(evalVerb, args, async (given) => {
        const { evaluate } = await import("../verbs/eval.ts");
        return await evaluate(given);
      });
    case "info":
      return await run(infoVerb, args, async (given) => {
        const { info } = await import("../verbs/info.ts");
        return await info(given);
      });
    case "list":
      return await run(listVerb, args, async (given) => {
        const { list } = await import("../verbs/list.ts");
        return await list(given);
      });
    case "report":
      return await run(reportVerb, args, async (given) => {
        const { report } = await import("../verbs/report.ts");
        return await report(given);
      });
    case "check":
      return await run(checkVerb, args, async (given) => {
        const { check } = await import("../verbs/check.ts");
        return await check(given);
      });
    case "lab": {
      const { lab } = await import("../lab/main.ts");
      return await lab(args);
    }
    case "completions":
      return await run(completionsVerb, args, async ({ operand }) => {
        const { completions } = await import("./completions.ts");
        await writeOutput(completions(operand));
        return exitCode.ok;
      });
    case "help":
      return await help(args);
    case "--version":
    case "-V":
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
      throw unknownCommand(name);
  }
}

/** Help on the command that some words name; on the program without any. */
async function help(words: readonly string[]): Promise<number> {
  const [first, second] = words.filter((word) => !/^(-h|--help)$/.test(word));
  const name = first === "lab" && second ? `lab ${second}` : first;
  const verb = everyVerb.find((verb) => verb.name === name);
  if (verb !== undefined) await writeOutput(`${verbHelp(verb)}\n`);
  else if (name === "lab") await writeOutput(`${labHelp()}\n`);
  else if (name === undefined || name === "help") {
    await writeOutput(`${programHelp()}\n`);
  } else if (name.startsWith("lab ")) throw unknownCommand(second!, "lab");
  else throw unknownCommand(name);
  return exitCode.ok;
}
