/**
 * The text to train or evaluate on: a dataset by its name, or a file. Finding and
 * fetching datasets is `data/load.ts`; here is what the user hears of it.
 */

import { resolve } from "@std/path";
import {
  type DatasetName,
  datasets,
  isDatasetName,
} from "../../data/datasets.ts";
import { DownloadError, loadDataset } from "../../data/load.ts";
import type { Tokenizer } from "../tokenizer.ts";
import { CommandError, reasonOf } from "./errors.ts";
import { nearest } from "./nearest.ts";
import { bold, canRedraw, StatusLine, writeError } from "./terminal.ts";

/** What a run's `config.json` says of its text, so that it can be found again. */
export interface CorpusRecord {
  /** The dataset's name; absent for a file. */
  readonly name?: DatasetName;
  /** The file's absolute path; absent for a dataset. */
  readonly file?: string;
  /** The dataset that was wanted and could not be had. */
  readonly insteadOf?: DatasetName;
  /** Size and sum of the bytes as they were found. */
  readonly bytes: number;
  readonly sha256: string;
}

/** A text and where it came from. */
export interface Corpus {
  readonly text: string;
  readonly record: CorpusRecord;
}

const preferred: DatasetName = "tinyshakespeare";
const substitute: DatasetName = "moby-dick";

/** Loads what `--data` names; a name or a path that is given never means another text. */
export async function loadCorpus(
  nameOrFile: string,
  signal: AbortSignal,
): Promise<Corpus> {
  return isDatasetName(nameOrFile)
    ? await loadNamed(nameOrFile, signal)
    : await loadFile(nameOrFile);
}

/** Loads tiny Shakespeare or, where it cannot be had, Moby Dick, and says so. */
export async function loadDefaultCorpus(signal: AbortSignal): Promise<Corpus> {
  try {
    return await loadNamed(preferred, signal);
  } catch (error) {
    if (!(error instanceof DownloadError)) throw error;
    writeError(
      `${bold("warning:")} ${error.message}\n` +
        `${bold("warning: TRAINING ON ANOTHER TEXT")}, ${substitute}: ` +
        `losses and samples will not be those of ${preferred}\n`,
    );
  }
  const { text, record } = await loadNamed(substitute, signal);
  return { text, record: { ...record, insteadOf: preferred } };
}

/** Loads the text of a run, and makes sure that it is still the same. */
export async function loadRecorded(
  record: CorpusRecord,
  signal: AbortSignal,
): Promise<Corpus> {
  const { name, file, sha256 } = record;
  if (name === undefined) await checkUnchanged(record);
  const corpus = await loadCorpus(name ?? file ?? "", signal);
  if (corpus.record.sha256 !== sha256) {
    throw new CommandError(
      `Cannot use ${file}: it has changed since the run began (sha256 ${corpus.record.sha256}, not ${sha256})`,
      "--data FILE names another copy",
    );
  }
  return { text: corpus.text, record };
}

/** Refuses, before it is read, what cannot be the file that was recorded, and may have no end. */
async function checkUnchanged(
  { file = "", bytes }: CorpusRecord,
): Promise<void> {
  const info = await Deno.stat(file).catch(() => undefined);
  if (info === undefined || info.isDirectory) return; // Reading it says so.
  if (info.isFile && info.size === bytes) return;
  throw new CommandError(
    info.isFile
      ? `Cannot use ${file}: it has changed since the run began (${info.size} bytes, not ${bytes})`
      : `Cannot use ${file} again: it is not a file`,
    "--data FILE names another copy",
  );
}

/**
 * Returns the mean number of characters that a predicted token begins: 1, but for bytes, where several may make one.
 * The first token has nothing before it and is not predicted, so it does not count.
 */
export function charactersPerToken(
  tokenizer: Tokenizer,
  tokens: Int32Array,
): number {
  const targets = tokens.subarray(1);
  if (tokenizer.kind !== "bytes" || targets.length === 0) return 1;
  // Bytes 10xxxxxx continue a character (RFC 3629).
  const begun = targets.reduce(
    (count, byte) => count + ((byte & 0xc0) === 0x80 ? 0 : 1),
    0,
  );
  return Math.max(1, begun) / targets.length;
}

async function loadNamed(
  name: DatasetName,
  signal: AbortSignal,
): Promise<Corpus> {
  const status = new StatusLine(canRedraw());
  let said = false;
  const onProgress = (
    { loaded, total }: { readonly loaded: number; readonly total: number },
  ) => {
    if (!canRedraw() && !said) writeError(`downloading ${name}\n`);
    said = true;
    const percent = Math.floor(100 * loaded / total);
    status.show(() => `downloading ${name}: ${percent} %`);
  };
  try {
    const { text } = await loadDataset(name, { onProgress, signal });
    const { bytes, sha256 } = datasets[name];
    return { text, record: { name, bytes, sha256 } };
  } finally {
    status.clear();
  }
}

async function loadFile(path: string): Promise<Corpus> {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    const { isCharDevice, isBlockDevice } = await Deno.stat(path);
    if (isCharDevice || isBlockDevice) throw new Error("it is a device");
    bytes = await Deno.readFile(path);
  } catch (error) {
    const near = nearest(path, Object.keys(datasets));
    throw new CommandError(
      `Cannot read ${path}: ${reasonOf(error)}`,
      near === undefined
        ? `--data takes a file or one of ${Object.keys(datasets).join(", ")}`
        : `did you mean ${near}?`,
    );
  }
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return {
    text: decodeText(bytes, path),
    record: {
      file: resolve(path),
      bytes: bytes.length,
      sha256: new Uint8Array(digest).toHex(),
    },
  };
}

/** UTF-8 as text, with plain line ends and no byte order mark; what was changed is said. */
function decodeText(bytes: Uint8Array, path: string): string {
  const refuse = (reason: string, hint: string) =>
    new CommandError(`Cannot use ${path} as text: ${reason}`, hint);
  if (/^(255,254|254,255)/.test(bytes.subarray(0, 2).join())) {
    throw refuse(
      "it is UTF-16, not UTF-8",
      `iconv -f UTF-16 -t UTF-8 ${path} converts it`,
    );
  }
  let text: string;
  try {
    text = utf8(bytes);
  } catch {
    const at = firstInvalid(bytes);
    throw refuse(
      `byte ${at} (0x${bytes[at]!.toString(16)}) is not UTF-8`,
      "another encoding has to be converted to UTF-8; a binary file is no text",
    );
  }
  const zero = text.indexOf("\0");
  if (zero >= 0) {
    throw refuse(
      `character ${zero} is NUL, so it is probably a binary file`,
      "--data takes text",
    );
  }
  return plainLines(text, path);
}

function plainLines(text: string, path: string): string {
  if (text.startsWith("\ufeff")) {
    writeError(`note: ${path} begins with a byte order mark, left out\n`);
    text = text.slice(1);
  }
  if (!text.includes("\r\n")) return text;
  writeError(`note: ${path} has line ends CR LF, read as LF\n`);
  return text.replaceAll("\r\n", "\n");
}

function utf8(bytes: Uint8Array, options?: TextDecodeOptions): string {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
    .decode(bytes, options);
}

/** The place of the first byte that belongs to no character. */
function firstInvalid(bytes: Uint8Array): number {
  const decodes = (end: number, stream: boolean) => {
    try {
      utf8(bytes.subarray(0, end), { stream });
      return true;
    } catch {
      return false;
    }
  };
  // By halving: as a stream, which may break off anywhere, a prefix decodes or it does not.
  let valid = 0;
  let invalid = bytes.length + 1;
  while (invalid - valid > 1) {
    const middle = (valid + invalid) >> 1;
    if (decodes(middle, true)) valid = middle;
    else invalid = middle;
  }
  // What is cut short at the end of the stream, at most 3 bytes, is the culprit.
  while (!decodes(valid, false)) valid--;
  return valid;
}
