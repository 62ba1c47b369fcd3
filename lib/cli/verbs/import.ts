/** `import`: makes a run of another program's model. */

import { basename, resolve } from "@std/path";
import { checkpointPieces } from "../../formats/checkpoint.ts";
import type { Imported } from "../../formats/hf.ts";
import { importHf } from "../../formats/hf.ts";
import { parameterLayout } from "../../model/plans.ts";
import { isRefusal } from "../../refusal.ts";
import { count } from "../../report/numbers.ts";
import type { Arguments } from "../command/arguments.ts";
import {
  commandError,
  exitCode,
  reasonOf,
  usageError,
} from "../command/errors.ts";
import { program, VERSION } from "../command/program.ts";
import { RunDirectory } from "../run/directory.ts";
import { newRunPath } from "../run/folder.ts";
import { Interrupt } from "../terminal/interrupt.ts";
import {
  visible,
  warn,
  writeError,
  writeOutput,
} from "../terminal/terminal.ts";
import { tokenizerName } from "../text/tokenizer_choice.ts";
import type { ImportFlags } from "./flags.ts";
import { ModelFolder } from "./model_folder.ts";

/** Writes the run; returns the exit code. */
export async function importModel(
  { flags, operand }: Arguments<ImportFlags>,
  args: readonly string[],
): Promise<number> {
  if (operand === undefined) {
    throw usageError(
      "import",
      "no path was given",
      `${program()} import FOLDER reads a model of Hugging Face's`,
    );
  }
  using interrupt = new Interrupt();
  const out = flags.out ?? newRunPath(basename(resolve(operand)));
  await RunDirectory.checkFree(out);
  const { checkpoint, notes } = await readModel(operand, flags);
  const { config, tokenizer } = checkpoint;
  const parameters = parameterLayout(config).count;
  await RunDirectory.write(out, {
    config: {
      command: args,
      began: new Date().toISOString(),
      versions: { lm: VERSION, deno: Deno.version.deno },
      imported: { format: "hf", path: resolve(operand) },
      parameters,
      model: config,
      ...tokenizer && {
        tokenizer: { kind: tokenizer.kind, vocabSize: tokenizer.vocabSize },
      },
    },
    checkpoint: checkpointPieces(checkpoint),
    signal: interrupt.signal,
  });
  for (const note of notes) warn(note);
  if (tokenizer === undefined) {
    warn(`${operand} has no tokenizer: the run takes ids alone, no text`);
  }
  writeError(visible(
    `${count(parameters)} parameters, ${
      tokenizer ? `tokenizer ${tokenizerName(tokenizer)}` : "no tokenizer"
    }\nsample it:  ${program()} sample ${out}\n`,
  ));
  await writeOutput(`${out}\n`);
  return exitCode.ok;
}

async function readModel(
  path: string,
  { blockSize }: Partial<ImportFlags>,
): Promise<Imported> {
  let isDirectory: boolean;
  try {
    ({ isDirectory } = await Deno.stat(path));
  } catch (error) {
    throw commandError(`import ${path}`, reasonOf(error));
  }
  if (!isDirectory) {
    throw commandError(
      `import ${path}`,
      "it is not a folder",
      "expected a folder with config.json and model.safetensors",
    );
  }
  try {
    using folder = await ModelFolder.open(path);
    return await importHf(folder, { blockSize });
  } catch (error) {
    if (!isRefusal(error)) throw error;
    throw commandError(`import ${path}`, error.reason, error.hint);
  }
}
