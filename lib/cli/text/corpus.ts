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
import { commandError, usageError } from "../command/errors.ts";
import { ifThere } from "../run/files.ts";
import { suggestion } from "../command/nearest.ts";
import type { DocumentForm } from "./documents.ts";
import {
  type Corpus,
  type CorpusOptions,
  type CorpusRecord,
  readTokens,
} from "./corpus_tokens.ts";
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

const preferred: DatasetName = "tinyshakespeare";
const substitute: DatasetName = "moby-dick";

/**
 * Loads what `--data` names: a dataset, a file, a folder, `-` for standard input, or several of
 * them, one after the other. A name or a path that is given never means another text.
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
  const forms = formsOf(sources.flat(), options.documents);
  const { documents = true } = options;
  const record = forms === undefined
    ? where
    : { ...where, documents: documents || true };
  return await readTokens(sources.flat(), {
    ...options,
    forms,
    name: corpusName(where),
    record,
  });
}

/** Returns the rules that cut each source into documents; undefined if the text has none. */
function formsOf(
  sources: readonly TextSource[],
  documents: CorpusOptions["documents"],
): DocumentForm[] | undefined {
  const separator = typeof documents === "string" ? documents : undefined;
  const has = separator !== undefined ||
    sources.some(({ form }) => form !== undefined);
  if (documents === false || !has) return undefined;
  return sources.map(({ form = "whole" }) =>
    separator === undefined || form === "lines" ? form : { separator }
  );
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
  const { name, file = "", files, sha256, documents = false } = record;
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
    documents,
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
    const { separator } = datasets[name];
    const source = memorySource(name, new TextEncoder().encode(text));
    return separator === undefined
      ? source
      : { ...source, form: { separator } };
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
