/** Reads the sources of a text twice: for their sum and their vocabulary, then for their tokens. */

import { BpeTrainer } from "../../text/bpe/trainer.ts";
import { CharacterSet } from "../../text/characters.ts";
import {
  bpeOptions,
  isBpe,
  type MadeTokenizer,
} from "../../text/made_tokenizer.ts";
import { END_OF_TEXT, endOfText } from "../../text/special.ts";
import { Tokenizer, withEndOfText } from "../../text/tokenizer.ts";
import { type Tokens, tokensOf } from "../../text/tokens.ts";
import { isRefusal, refusal } from "../../refusal.ts";
import { commandError } from "../command/errors.ts";
import { ReadingProgress } from "../terminal/reading_progress.ts";
import { writeError } from "../terminal/terminal.ts";
import type { DatasetName } from "../../../data/datasets.ts";
import { DocumentCutter, type DocumentForm } from "./documents.ts";
import { PlainTextDecoder } from "./plain_text.ts";
import type { TextSource } from "./text_source.ts";

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
  /** True if the text has documents, or the separator that was given; absent if it has none. */
  readonly documents?: true | string;
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

/** Options for reading a text. */
export interface CorpusOptions {
  /** The tokenizer, or the one that is made for the text. */
  readonly tokenizer: Tokenizer | MadeTokenizer;
  /** True to add `<|endoftext|>` to a tokenizer without it, if the text has documents. */
  readonly mayAddEnd?: boolean;
  /**
   * True if the text has documents, or the separator between them. By default it has documents if any part is a folder, JSON lines, or a dataset of documents;
   * then every other file is a document. A separator cuts files of text at each occurrence.
   */
  readonly documents?: boolean | string | undefined;
  readonly signal: AbortSignal;
  /** Bytes that are read at a time; 1 MiB if left out. */
  readonly pieceSize?: number;
  /** Called with the record before the text is encoded; an error that it throws ends the reading. */
  readonly onRecord?: (record: CorpusRecord) => void;
}

/** Sources, and how to read them. */
interface Reading extends CorpusOptions {
  /** Rules that cut each source into documents; undefined if the text has none. */
  readonly forms: readonly DocumentForm[] | undefined;
  /** Name of the text in messages. */
  readonly name: string;
  /** Fields of the record that are known before the text is read. */
  readonly record: Omit<CorpusRecord, "bytes" | "sha256">;
}

/** Reads a text twice: for its sum and its vocabulary, then for its tokens. */
export async function readTokens(
  sources: readonly TextSource[],
  reading: Reading,
): Promise<Corpus> {
  const { createHash } = await import("node:crypto");
  const sum = createHash("sha256");
  const characters = new CharacterSet();
  const { tokenizer: wanted, forms, name } = reading;
  const trainer = isBpe(wanted)
    ? new BpeTrainer(bpeOptions(wanted).split)
    : undefined;
  using progress = new ReadingProgress(name, sources);
  let bytes = 0;
  let documents = 0;
  const decoders = await decodeAll(sources, reading, {
    onBytes: (piece) => {
      sum.update(piece);
      bytes += piece.length;
      progress.add(piece.length);
    },
    onText: (text) => {
      characters.add(text);
      trainer?.add(text);
    },
    onEnd: () => {
      documents++;
      trainer?.endText();
    },
  });
  progress.clear();
  noteChanges(decoders);
  const record = { ...reading.record, bytes, sha256: sum.digest("hex") };
  reading.onRecord?.(record);
  const hasDocuments = forms !== undefined;
  const tokenizer = makeTokenizer(reading, { characters, trainer });
  const end = hasDocuments ? endOfText(tokenizer) : undefined;
  if (hasDocuments && end === undefined) {
    writeError(
      `note: the tokenizer has no ${END_OF_TEXT}: the ${documents} documents of ${name} follow each other with nothing between them\n`,
    );
  }
  const isCharacters = tokenizer.kind === "ascii" || tokenizer.kind === "chars";
  // With bpe, fewer: the memory after the last token is never touched.
  const tokens = tokensOf(
    tokenizer.vocabSize,
    (isCharacters ? characters.count : characters.bytes) +
      (end === undefined ? 0 : documents),
  );
  let at = 0;
  let again = 0;
  let encoder = tokenizer.encoder();
  const changed = commandError(
    `read ${name}`,
    "it changed while it was read",
  );
  const add = (where: string | undefined, encode: () => Tokens) => {
    const ids = namingSource(where, encode);
    if (at + ids.length > tokens.length) throw changed;
    tokens.set(ids, at);
    at += ids.length;
  };
  await decodeAll(sources, reading, {
    onBytes: (piece) => {
      again += piece.length;
      progress.add(piece.length);
    },
    onText: (text, where) => add(where, () => encoder.push(text)),
    onEnd: (where) => {
      add(where, () => encoder.flush());
      if (end !== undefined) add(where, () => tokensOf(end + 1, 1).fill(end));
      // A message about a character names its line in the document.
      encoder = tokenizer.encoder();
    },
  });
  if (again !== bytes) throw changed;
  return { tokens: tokens.subarray(0, at), tokenizer, record };
}

/** Reads the sources, as documents where the text has some; else each source with text is one. */
async function decodeAll(
  sources: readonly TextSource[],
  { forms, signal, pieceSize = 1 << 20 }: Reading,
  { onBytes, onText, onEnd }: {
    readonly onBytes: (bytes: Uint8Array) => void;
    /** Takes text, and its place if it is one of several. */
    readonly onText: (text: string, where: string | undefined) => void;
    readonly onEnd: (where: string | undefined) => void;
  },
): Promise<PlainTextDecoder[]> {
  const decoders: PlainTextDecoder[] = [];
  for (const [i, source] of sources.entries()) {
    const form = forms?.[i] ?? "whole";
    const isOne = form === "whole" && sources.length === 1;
    const place = (where: string) => isOne ? undefined : where;
    const documents = new DocumentCutter(source.name, form, {
      onText: (text, where) => onText(text, place(where)),
      onEnd: (where) => onEnd(place(where)),
    });
    const decoder = new PlainTextDecoder(source.name);
    decoders.push(decoder);
    for await (const bytes of source.pieces(pieceSize, signal)) {
      onBytes(bytes);
      documents.push(decoder.push(bytes));
    }
    documents.push(decoder.end());
    documents.end();
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

/** Returns the tokenizer that is given, or makes the one that is wanted. */
function makeTokenizer(
  { tokenizer: wanted, mayAddEnd = false, forms }: Reading,
  { characters, trainer }: {
    readonly characters: CharacterSet;
    readonly trainer: BpeTrainer | undefined;
  },
): Tokenizer {
  const options = { endOfText: forms !== undefined };
  if (isBpe(wanted)) {
    const { vocabSize } = bpeOptions(wanted);
    return Tokenizer.fromVocabulary(trainer!.train(vocabSize, options));
  }
  if (typeof wanted === "object" && "alphabet" in wanted) {
    const { alphabet } = wanted;
    return Tokenizer.chars(`${characters.chars}${alphabet}`, options);
  }
  switch (wanted) {
    case "bytes":
      return Tokenizer.bytes(options);
    case "chars":
      // An empty text has no characters; the dataset's error says how many tokens it needs.
      return characters.count === 0
        ? Tokenizer.ascii(options)
        : Tokenizer.chars(characters, options);
    case "ascii":
      return Tokenizer.ascii(options);
  }
  return mayAddEnd && options.endOfText ? withEndOfText(wanted) : wanted;
}
