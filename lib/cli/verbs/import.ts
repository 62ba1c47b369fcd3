/** `import`: makes a run of another program's model. */

import { basename, dirname, resolve } from "@std/path";
import { checkpointPieces } from "../../formats/checkpoint.ts";
import { importGguf } from "../../formats/gguf_import.ts";
import { importHf } from "../../formats/hf.ts";
import type { Imported } from "../../formats/imported.ts";
import { importNanogpt } from "../../formats/nanogpt_import.ts";
import type { ByteSource } from "../../formats/safetensors.ts";
import type { ModelConfig } from "../../config/model.ts";
import { bytes } from "./model_card.ts";
import { parameterLayout } from "../../model/plans.ts";
import { isRefusal } from "../../refusal.ts";
import { count } from "../../report/numbers.ts";
import type { Arguments } from "../command/arguments.ts";
import {
  CommandError,
  commandError,
  exitCode,
  reasonOf,
  usageError,
} from "../command/errors.ts";
import { program, VERSION } from "../command/program.ts";
import { RunDirectory } from "../run/directory.ts";
import { newRunPath } from "../run/folder.ts";
import { modelRemedy } from "../run/remedy.ts";
import { Interrupt } from "../terminal/interrupt.ts";
import {
  visible,
  warn,
  writeError,
  writeOutput,
} from "../terminal/terminal.ts";
import {
  choiceName,
  openTokenizer,
  tokenizerName,
} from "../text/tokenizer_choice.ts";
import { Tokenizer } from "../../text/tokenizer.ts";
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
      `${program()} import PATH reads a folder with a Hugging Face model, nanoGPT's ckpt.pt, or a GGUF file`,
    );
  }
  using interrupt = new Interrupt();
  const out = flags.out ?? newRunPath(basename(resolve(operand), ".gguf"));
  await RunDirectory.checkFree(out);
  const { signal } = interrupt;
  const { format, checkpoint, notes } = await readModel(operand, flags, signal);
  const { config, tokenizer, training } = checkpoint;
  const parameters = parameterLayout(config).count;
  await RunDirectory.write(out, {
    config: {
      command: args,
      began: new Date().toISOString(),
      versions: { lm: VERSION, deno: Deno.version.deno },
      imported: {
        format,
        path: resolve(operand),
        step: training?.step ?? null,
      },
      parameters,
      model: config,
      ...training && { train: training.config },
      ...tokenizer && {
        tokenizer: { kind: tokenizer.kind, vocabSize: tokenizer.vocabSize },
      },
    },
    checkpoint: checkpointPieces(checkpoint),
    signal,
  });
  for (const note of [...notes, ...cacheNotes(config)]) warn(note);
  const about = tokenizer === undefined
    ? "no tokenizer: the run takes ids alone, no text"
    : `tokenizer ${
      tokenizerName(tokenizer)
    }\nsample it:  ${program()} sample ${out}`;
  writeError(visible(`${count(parameters)} parameters, ${about}\n`));
  await writeOutput(`${out}\n`);
  return exitCode.ok;
}

/** Most bytes of keys and values for one text without a warning. */
const MUCH = 2 ** 30;

/** Warns if the keys and values of a full context take much memory. */
function cacheNotes(
  { nLayer, nKvHead, headSize, blockSize }: ModelConfig,
): string[] {
  const size = 4 * 2 * nLayer * nKvHead * headSize * blockSize;
  return size <= MUCH ? [] : [
    `a context of ${count(blockSize)} tokens takes ${
      bytes(size)
    } of keys and values for each text; --block-size makes it shorter`,
  ];
}

/** A model that was read, and the format that it came in. */
interface Read extends Imported {
  readonly format: "hf" | "nanogpt" | "gguf";
}

async function readModel(
  path: string,
  flags: Partial<ImportFlags>,
  signal: AbortSignal,
): Promise<Read> {
  let isFile: boolean;
  try {
    ({ isFile } = await Deno.stat(path));
  } catch (error) {
    throw commandError(
      `import ${path}`,
      reasonOf(error),
      await modelRemedy(path),
    );
  }
  const { blockSize } = flags;
  const tokenizer = await chosenTokenizer(flags, signal);
  using folder = await ModelFolder.open(
    isFile ? dirname(path) : path,
    signal,
  );
  const file = isFile ? basename(path) : "ckpt.pt";
  const source = await folder.open(file);
  const isGguf = isFile && source !== undefined && await beginsAsGguf(source);
  const isNanogpt = !isGguf && (isFile || source !== undefined);
  if (isNanogpt && blockSize !== undefined) {
    throw usageError(
      `use --block-size with ${path}`,
      "nanoGPT's models keep their context",
    );
  }
  const options = { blockSize, tokenizer };
  try {
    if (isGguf) {
      return { format: "gguf", ...await importGguf(source, options) };
    }
    return isNanogpt
      ? {
        format: "nanogpt",
        ...await importNanogpt(folder, { file, tokenizer }),
      }
      : { format: "hf", ...await importHf(folder, options) };
  } catch (error) {
    if (!isRefusal(error) || error instanceof CommandError) throw error;
    throw commandError(
      `import ${path}`,
      error.reason,
      error.hint ?? await modelRemedy(path),
    );
  }
}

async function beginsAsGguf(source: ByteSource): Promise<boolean> {
  const bytes = await source.read(0, Math.min(4, source.size));
  return new TextDecoder().decode(bytes) === "GGUF";
}

/** Reads the tokenizer that `--tokenizer` names; undefined without the flag. */
async function chosenTokenizer(
  { tokenizer: choice }: Partial<ImportFlags>,
  signal: AbortSignal,
): Promise<Tokenizer | undefined> {
  if (choice === undefined) return undefined;
  if (choice === "ascii") return Tokenizer.ascii();
  if (choice === "bytes") return Tokenizer.bytes();
  const opened = await openTokenizer(choice, signal);
  if (typeof opened === "object") {
    return "encode" in opened ? opened : Tokenizer.chars(opened.alphabet);
  }
  throw usageError(
    `use --tokenizer ${choiceName(choice)}`,
    "it is made of a text, and a model that exists has its tokens",
    "--tokenizer takes gpt2, ascii, bytes, chars:FILE for the characters of a text, or a tokenizer's file",
  );
}
