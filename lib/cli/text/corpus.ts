/**
 * The text to train or evaluate on: a dataset by its name, files, a folder, or standard input,
 * as tokens. It is read in pieces and never held as a string, so only the tokens take memory.
 * `data/load.ts` finds and fetches datasets; this module prints the messages about it.
 */

import { resolve } from "@std/path";
import {
  type DatasetName,
  datasets,
  isDatasetName,
} from "../../../data/datasets.ts";
import { DownloadError, loadDataset } from "../../../data/load.ts";
import { CharacterSet } from "../../text/characters.ts";
import { BpeTrainer } from "../../text/bpe/trainer.ts";
import { Tokenizer, type TokenizerKind } from "../../text/tokenizer.ts";
import { type Tokens, tokensOf } from "../../text/tokens.ts";
import { commandError, usageError } from "../command/errors.ts";
import { ifThere } from "../run/files.ts";
import { suggestion } from "../command/nearest.ts";
import { PlainTextDecoder } from "./plain_text.ts";
import { ReadingProgress } from "../terminal/reading_progress.ts";
import {
  bold,
  canRedraw,
  StatusLine,
  writeError,
} from "../terminal/terminal.ts";
import {
  memorySource,
  openSources,
  STDIN,
  type TextSource,
  unreadable,
} from "./text_source.ts";
import { isRefusal, refusal } from "../../refusal.ts";

/** The record of a run's text in `config.json`, by which the text can be found again. */
export interface CorpusRecord {
  /** The dataset's name; absent for anything else. */
  readonly name?: DatasetName;
  /** The absolute path of the file or folder, or `-` for standard input; absent for anything else. */
  readonly file?: string;
  /** Several of them, in order. */
  readonly files?: readonly string[];
  /** The dataset that was wanted but unavailable. */
  readonly insteadOf?: DatasetName;
  /** Size and sum of the bytes as they were found, put together. */
  readonly bytes: number;
  readonly sha256: string;
}

/** A text and where it came from. */
export interface Corpus {
  readonly tokens: Tokens;
  /** The tokenizer that made the tokens. */
  readonly tokenizer: Tokenizer;
  readonly record: CorpusRecord;
}

/** A tokenizer that is made for a text: of a kind, or `bpe` trained to a vocabulary size. */
export type MadeTokenizer = TokenizerKind | { readonly bpe: number };

/** Options for reading a text. */
export interface CorpusOptions {
  /** The tokenizer, or the one that is made for the text. */
  readonly tokenizer: Tokenizer | MadeTokenizer;
  readonly signal: AbortSignal;
  /** Bytes that are read at a time; 1 MiB if left out. */
  readonly pieceSize?: number;
  /** Called with the record before the text is encoded; an error that it throws ends the reading. */
  readonly onRecord?: (record: CorpusRecord) => void;
}

const preferred: DatasetName = "tinyshakespeare";
const substitute: DatasetName = "moby-dick";

/**
 * Loads what `--data` names: a dataset, a file, a folder, `-` for standard input, or several of
 * them, one behind the other. A name or a path that is given never means another text.
 */
export async function loadCorpus(
  namesOrPaths: string | readonly string[],
  options: CorpusOptions,
): Promise<Corpus> {
  const { signal } = options;
  const parts = [namesOrPaths].flat();
  if (parts.filter((part) => part === STDIN).length > 1) {
    throw usageError(
      "read standard input twice",
      `--data ${STDIN} can be given once`,
    );
  }
  await using stack = new AsyncDisposableStack();
  const sources: (readonly TextSource[])[] = [];
  for (const part of parts) {
    if (isDatasetName(part)) sources.push([await namedSource(part, signal)]);
    else sources.push(await openPath(part, signal, stack));
  }
  const [first = "", ...more] = parts.map((part) =>
    isDatasetName(part) || part === STDIN ? part : resolve(part)
  );
  const where = more.length > 0
    ? { files: [first, ...more] }
    : isDatasetName(first)
    ? { name: first }
    : { file: first };
  return await readTokens(sources.flat(), where, options);
}

/** Loads tiny Shakespeare or, if it is unavailable, Moby Dick, with a message. */
export async function loadDefaultCorpus(
  options: CorpusOptions,
): Promise<Corpus> {
  try {
    return await loadCorpus(preferred, options);
  } catch (error) {
    if (!(error instanceof DownloadError)) throw error;
    writeError(
      `${bold("warning:")} ${error.message}\n` +
        `${bold("warning: TRAINING ON ANOTHER TEXT")}, ${substitute}: ` +
        `losses and samples will not be those of ${preferred}\n`,
    );
  }
  const corpus = await loadCorpus(substitute, options);
  return { ...corpus, record: { ...corpus.record, insteadOf: preferred } };
}

/** Loads the text of a run, and makes sure that it is still the same. */
export async function loadRecorded(
  record: CorpusRecord,
  options: CorpusOptions,
): Promise<Corpus> {
  const { name, file = "", files, sha256 } = record;
  if (file === STDIN || files?.includes(STDIN)) {
    throw commandError(
      "read the run's text again",
      "it came from standard input",
      "--data FILE names a copy, --data - reads it from standard input",
    );
  }
  if (name === undefined && files === undefined) await checkUnchanged(record);
  const corpus = await loadCorpus(name ?? files ?? file, {
    ...options,
    onRecord: (found) => {
      if (found.sha256 === sha256) return;
      throw commandError(
        `use ${corpusName(record)}`,
        `it has changed since the run began (sha256 ${found.sha256}, not ${sha256})`,
        "--data FILE names another copy",
      );
    },
  });
  return { ...corpus, record };
}

/** Returns the record in `data` of a `config.json`; undefined if the text cannot be found by it. */
export function corpusRecord(data: unknown): CorpusRecord | undefined {
  const { name, file, files, sha256 } = Object(data) as Record<string, unknown>;
  const isText = (value: unknown) => typeof value === "string";
  const found = isText(name) || isText(file) ||
    (Array.isArray(files) && files.length > 0 && files.every(isText));
  return found && isText(sha256) ? data as CorpusRecord : undefined;
}

/** Returns the name of a text. */
export function corpusName(
  { name, file, files }: Pick<CorpusRecord, "name" | "file" | "files">,
): string {
  if (files !== undefined && files.length > 1) {
    return `${files[0]} and ${files.length - 1} more`;
  }
  return name ?? (file === STDIN ? "standard input" : file ?? "its text");
}

/** Refuses, before it is read, a file that cannot be the recorded one; it may be endless. */
async function checkUnchanged(
  { file = "", bytes }: CorpusRecord,
): Promise<void> {
  const info = await ifThere(file, Deno.stat(file));
  if (info === undefined) return; // Reading it says why.
  if (info.isDirectory) return; // Its sum says whether it has changed.
  if (info.isFile && info.size === bytes) return;
  throw commandError(
    `use ${file} again`,
    info.isFile
      ? `it has changed since the run began (${info.size} bytes, not ${bytes})`
      : "it is not a file",
    "--data FILE names another copy",
  );
}

async function namedSource(
  name: DatasetName,
  signal: AbortSignal,
): Promise<TextSource> {
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
    return memorySource(name, new TextEncoder().encode(text));
  } finally {
    status.clear();
  }
}

async function openPath(
  path: string,
  signal: AbortSignal,
  stack: AsyncDisposableStack,
): Promise<readonly TextSource[]> {
  try {
    return await openSources(path, signal, stack);
  } catch (error) {
    signal.throwIfAborted();
    const names = Object.keys(datasets);
    const known = `one of ${names.join(", ")}`;
    const hint =
      `--data takes files, a folder, ${STDIN} for standard input, or ${known}`;
    throw unreadable(path, error, suggestion(path, names, hint));
  }
}

/** Reads a text twice: for its sum and its vocabulary, then for its tokens. */
async function readTokens(
  sources: readonly TextSource[],
  where: Pick<CorpusRecord, "name" | "file" | "files">,
  options: CorpusOptions,
): Promise<Corpus> {
  const { createHash } = await import("node:crypto");
  const sum = createHash("sha256");
  const characters = new CharacterSet();
  const { tokenizer: wanted } = options;
  const trainer = typeof wanted === "object" && "bpe" in wanted
    ? new BpeTrainer("gpt2")
    : undefined;
  using progress = new ReadingProgress(corpusName(where), sources);
  let bytes = 0;
  const decoders = await decodeAll(sources, options, {
    onBytes: (piece) => {
      sum.update(piece);
      bytes += piece.length;
      progress.add(piece.length);
    },
    onText: (text) => {
      characters.add(text);
      trainer?.add(text);
    },
    onEnd: () => trainer?.endText(),
  });
  progress.clear();
  noteChanges(decoders);
  const record = { ...where, bytes, sha256: sum.digest("hex") };
  options.onRecord?.(record);
  const tokenizer = typeof wanted === "string"
    ? makeTokenizer(wanted, characters)
    : "bpe" in wanted
    ? Tokenizer.fromVocabulary(trainer!.train(wanted.bpe))
    : wanted;
  const isCharacters = tokenizer.kind === "ascii" || tokenizer.kind === "chars";
  // With bpe, fewer: the memory behind the last token is never touched.
  const tokens = tokensOf(
    tokenizer.vocabSize,
    isCharacters ? characters.count : characters.bytes,
  );
  let at = 0;
  let again = 0;
  let encoder = tokenizer.encoder();
  const changed = commandError(
    `read ${corpusName(where)}`,
    "it changed while it was read",
  );
  const add = (name: string, encode: () => Tokens) => {
    const ids = namingSource(sources.length > 1 ? name : undefined, encode);
    if (at + ids.length > tokens.length) throw changed;
    tokens.set(ids, at);
    at += ids.length;
  };
  await decodeAll(sources, options, {
    // A message about a character names its line in the file.
    onSource: () => encoder = tokenizer.encoder(),
    onBytes: (piece) => {
      again += piece.length;
      progress.add(piece.length);
    },
    onText: (text, { name }) => add(name, () => encoder.push(text)),
    onEnd: ({ name }) => add(name, () => encoder.flush()),
  });
  if (again !== bytes) throw changed;
  return { tokens: tokens.subarray(0, at), tokenizer, record };
}

async function decodeAll(
  sources: readonly TextSource[],
  { signal, pieceSize = 1 << 20 }: CorpusOptions,
  { onSource, onBytes, onText, onEnd }: {
    readonly onSource?: () => void;
    readonly onBytes: (bytes: Uint8Array) => void;
    readonly onText: (text: string, source: TextSource) => void;
    readonly onEnd: (source: TextSource) => void;
  },
): Promise<PlainTextDecoder[]> {
  const decoders: PlainTextDecoder[] = [];
  for (const source of sources) {
    onSource?.();
    const decoder = new PlainTextDecoder(source.name);
    decoders.push(decoder);
    for await (const bytes of source.pieces(pieceSize, signal)) {
      onBytes(bytes);
      onText(decoder.push(bytes), source);
    }
    onText(decoder.end(), source);
    onEnd(source);
  }
  return decoders;
}

function noteChanges(decoders: readonly PlainTextDecoder[]): void {
  const notes = [
    ["hadByteOrderMark", "begins with a byte order mark, left out"],
    ["hadCarriageReturns", "has line ends CR LF, read as LF"],
  ] as const;
  for (const [had, note] of notes) {
    const [first, ...more] = decoders.filter((decoder) => decoder[had]);
    if (first === undefined) continue;
    const others = more.length === 0 ? "" : ` (and so do ${more.length} more)`;
    writeError(`note: ${first.name} ${note}${others}\n`);
  }
}

/** Puts the file's name into a complaint about a character, where there are several files. */
function namingSource<Value>(
  name: string | undefined,
  action: () => Value,
): Value {
  try {
    return action();
  } catch (error) {
    if (name === undefined || !isRefusal(error)) throw error;
    throw refusal(RangeError, `encode ${name}`, error.reason, error);
  }
}

function makeTokenizer(
  kind: TokenizerKind,
  characters: CharacterSet,
): Tokenizer {
  switch (kind) {
    case "bytes":
      return Tokenizer.bytes();
    case "chars":
      // An empty text has no characters; the dataset's error says how many tokens it needs.
      return characters.count === 0
        ? Tokenizer.ascii()
        : Tokenizer.chars(characters);
    case "ascii":
      return Tokenizer.ascii();
  }
}
