/**
 * Pre-tokenizers: the rules by which text is cut into pieces (a word with the space before it, a
 * number, a run of punctuation) before pairs are merged. No token reaches over the end of a piece.
 *
 * The published rules are regular expressions. These scanners follow them alternative by alternative, in the Unicode classes
 * of the Rust and Python programs: JavaScript's `\s` has U+FEFF and lacks U+0085, theirs is `White_Space`.
 */

import {
  checkWellFormed,
  type Place,
  placeOf,
  wholeCharacters,
} from "../characters.ts";

/**
 * Name of a pre-tokenizer: GPT-2's; `cl100k`, of OpenAI's vocabulary and of Llama 3; Qwen 2's and 3's, which is `cl100k`
 * with each digit as a piece; SmolLM's, which is GPT-2's between single digits.
 */
export type SplitName = "gpt2" | "cl100k" | "qwen2" | "smollm";

/**
 * The regular expressions that the scanners stand for, as the vocabularies' own programs publish them:
 * openai/gpt-2 `encoder.py`, openai/tiktoken `openai_public.py`, and the `tokenizer.json` of Llama 3 and Qwen 2. SmolLM's
 * has two steps, digits and GPT-2's, which are one expression here.
 */
export const splitPatterns: Readonly<Record<SplitName, string>> = {
  gpt2: String
    .raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
  cl100k: String
    .raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  qwen2: String
    .raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  smollm: String
    .raw`\p{N}|'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?=\p{N})|\s+(?!\S)|\s+`,
};

const LETTER = 1;
const NUMBER = 2;
const SPACE = 3;
const OTHER = 4;
/** The class of the end of the text. */
const END = 0;

/** Classes of code points, in pages of 256 that are made when they are needed. */
const pages: Uint8Array[] = [];

function classAt(text: string, at: number): number {
  if (at >= text.length) return END;
  const code = text.codePointAt(at)!;
  return (pages[code >> 8] ??= page(code & ~0xff))[code & 0xff]!;
}

function page(first: number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, i) => {
    const char = String.fromCodePoint(first + i);
    if (/\p{L}/u.test(char)) return LETTER;
    if (/\p{N}/u.test(char)) return NUMBER;
    return /\p{White_Space}/u.test(char) ? SPACE : OTHER;
  });
}

/** Returns the index after the character at an index. */
function after(text: string, at: number): number {
  return at + (text.codePointAt(at)! > 0xffff ? 2 : 1);
}

/** Returns the end of the run of a class, at most of a number of characters. */
function runEnd(
  text: string,
  at: number,
  kind: number,
  most = Infinity,
): number {
  for (let n = 0; n < most && classAt(text, at) === kind; n++) {
    at = after(text, at);
  }
  return at;
}

/** Returns the end of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` or `'d`; the beginning if there is none. */
function contractionEnd(text: string, at: number, fold: boolean): number {
  if (text[at] !== "'") return at;
  let two = text.slice(at + 1, at + 3);
  // A long s is an s in Unicode's simple case folding.
  if (fold) two = two.toLowerCase().replace("ſ", "s");
  if (two !== "" && "stmd".includes(two[0]!)) return at + 2;
  return two === "re" || two === "ve" || two === "ll" ? at + 3 : at;
}

/** Returns the end of a run of white space, but for its last character if a word follows. */
function spaceEnd(text: string, at: number): number {
  const end = runEnd(text, at, SPACE);
  // White space is one unit of the string.
  return end < text.length && end > at + 1 ? end - 1 : end;
}

function isNewline(char: string | undefined): boolean {
  return char === "\n" || char === "\r";
}

/** By name: returns the end of the piece that begins at an index before the end of the text. */
const pieceEnds: Readonly<
  Record<SplitName, (text: string, at: number) => number>
> = {
  gpt2(text, at) {
    const contraction = contractionEnd(text, at, false);
    if (contraction > at) return contraction;
    const word = text[at] === " " ? at + 1 : at;
    const kind = classAt(text, word);
    return kind === SPACE || kind === END
      ? spaceEnd(text, at)
      : runEnd(text, word, kind);
  },
  smollm(text, at) {
    if (classAt(text, at) === NUMBER) return after(text, at);
    const spaces = runEnd(text, at, SPACE);
    return spaces > at && classAt(text, spaces) === NUMBER
      ? spaces
      : pieceEnds.gpt2(text, at);
  },
  cl100k: (text, at) => cl100kEnd(text, at, 3),
  qwen2: (text, at) => cl100kEnd(text, at, 1),
};

/** Returns the end of the piece by cl100k's rule, with at most some digits of a number in a piece. */
function cl100kEnd(text: string, at: number, digits: number): number {
  const contraction = contractionEnd(text, at, true);
  if (contraction > at) return contraction;
  const kind = classAt(text, at);
  if (kind === LETTER) return runEnd(text, at, LETTER);
  if (kind === NUMBER) return runEnd(text, at, NUMBER, digits);
  const next = after(text, at);
  if (!isNewline(text[at]) && classAt(text, next) === LETTER) {
    return runEnd(text, next, LETTER);
  }
  const sign = text[at] === " " ? next : at;
  if (classAt(text, sign) === OTHER) {
    let end = runEnd(text, sign, OTHER);
    while (isNewline(text[end])) end++;
    return end;
  }
  for (let end = runEnd(text, at, SPACE); end > at; end--) {
    if (isNewline(text[end - 1])) return end;
  }
  return spaceEnd(text, at);
}

/** Cuts a text that arrives in parts into pieces. */
export class Splitter {
  readonly #end: (text: string, at: number) => number;
  readonly #action: string;
  #held = "";
  /** Place of the first character held. */
  #place: Place = { line: 1, column: 1 };

  /** @param action the task that half a surrogate pair makes impossible, e.g. `encode text` */
  constructor(name: SplitName, action: string) {
    this.#end = pieceEnds[name];
    this.#action = action;
  }

  /** Takes the next part and returns the pieces that no later text can change. */
  push(part: string): string[] {
    const text = this.#held + part;
    const [whole] = wholeCharacters(text);
    // A piece is final once a character other than white space follows it, and the two units after that one: a rule looks
    // at the white space after a piece, and at most three units (`'ll`) from a beginning.
    let settled = whole.length - 3;
    while (settled >= 0 && classAt(whole, settled) === SPACE) settled--;
    return this.#cut(text, settled);
  }

  /** Ends the text and returns its last pieces. */
  flush(): string[] {
    return this.#cut(this.#held, this.#held.length);
  }

  /** Returns the pieces that end at or before an index, and holds the rest. */
  #cut(text: string, last: number): string[] {
    const pieces: string[] = [];
    let at = 0;
    while (at < last) {
      const end = this.#end(text, at);
      if (end > last) break;
      pieces.push(text.slice(at, end));
      at = end;
    }
    checkWellFormed(text.slice(0, at), this.#action, this.#place);
    this.#place = placeOf(text, at, this.#place);
    this.#held = text.slice(at);
    return pieces;
  }
}
