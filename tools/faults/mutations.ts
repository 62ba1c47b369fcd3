/** Damages files at random from a seed: bytes of any kind, JSON, and safetensors with false headers. */

import { CounterRandom, Purpose } from "../../kernels/random.ts";

/** Random choices, one after the other. */
export class Dice {
  readonly #random: CounterRandom;
  readonly #step: number;
  #drawn = 0;

  /** @param step distinguishes sequences with the same seed */
  constructor(seed: number, step: number) {
    this.#random = new CounterRandom(seed, Purpose.batch);
    this.#step = step;
  }

  /** Returns an integer in [0, end). */
  below(end: number): number {
    return this.#random.below(end, this.#step, this.#drawn++);
  }

  /** Returns one of the values. */
  pick<Value>(values: readonly Value[]): Value {
    return values[this.below(values.length)]!;
  }
}

/** Values that fields of a file do not expect, or not at that place. */
const strange: readonly unknown[] = [
  ...[0, 1, -1, 0.5, -0, 1e-320, 7, 255, 65537, 2 ** 24, 2 ** 24 + 1, 2 ** 31],
  ...[2 ** 32, 2 ** 53, 1e308, null, true, false, [], {}, [[]], [1, 2]],
  ...["", "0", "NaN", "constructor", "__proto__", "../../../etc/passwd"],
  ...["/dev/zero", "/dev/stdin", "/proc/self/mem", "C:\\con", "a\0b", "\ud800"],
  ...["\x1b[2J\x1b]0;title\x07", "\u009b2J", "\u202egnol", "é".repeat(3)],
  ...["x".repeat(100_000), "9".repeat(400), { toString: 1 }, { length: -1 }],
];

/** The strange values as names and texts. */
const strangeWords: readonly string[] = strange.map((value) =>
  typeof value === "string" ? value : JSON.stringify(value)
);

/** Damages bytes without regard to their meaning. */
export function spoilBytes(bytes: Uint8Array, dice: Dice): Uint8Array {
  const spoilt = bytes.slice();
  const { length } = spoilt;
  const at = dice.below(length + 1);
  const end = Math.min(length, at + 1 + dice.below(40));
  switch (dice.below(8)) {
    case 0:
      return spoilt.slice(0, at);
    case 1:
      return spoilt.slice(at);
    case 2:
      return joined(spoilt.subarray(0, at), spoilt.subarray(end));
    case 3:
      return joined(spoilt.subarray(0, end), spoilt.subarray(at));
    case 4:
      return joined(spoilt, spoilt.subarray(at));
    case 5:
      return spoilt.fill(dice.pick([0, 0xff, 0x20]), at, end);
    case 6:
      for (let i = at; i < end; i++) spoilt[i] = dice.below(256);
      return spoilt;
    default:
      for (let left = 1 + dice.below(8); left > 0 && length > 0; left--) {
        spoilt[dice.below(length)]! ^= 1 << dice.below(8);
      }
      return spoilt;
  }
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** Replaces, removes, adds or renames one value somewhere in a JSON value. */
export function spoilJson(value: unknown, dice: Dice): unknown {
  if (typeof value !== "object" || value === null || dice.below(12) === 0) {
    return dice.pick(strange);
  }
  const entries = Object.entries(value);
  const index = dice.below(Math.max(1, entries.length));
  const [key, inner] = entries[index] ?? ["new", {}];
  switch (dice.below(8)) {
    case 0:
      entries.splice(index, 1);
      break;
    case 1:
      entries.push([dice.pick(strangeWords), dice.pick(strange)]);
      break;
    case 2:
      entries[index] = [dice.pick(strangeWords), inner];
      break;
    default:
      entries[index] = [key, spoilJson(inner, dice)];
  }
  return Array.isArray(value)
    ? entries.map(([, inner]) => inner)
    : Object.fromEntries(entries);
}

/** Damages a JSON value in a text and returns the new text. */
export function spoilJsonText(text: string, dice: Dice): string {
  switch (dice.below(8)) {
    case 0: // deeper than any parser's stack
      return "[".repeat(50_000) + text;
    case 1: // a number that has no end, or none that JSON knows
      return text.replace(
        /\d+/,
        dice.pick(["9".repeat(5000), "1e999", "NaN", "-0x1", "007"]),
      );
    default:
      return JSON.stringify(spoilJson(JSON.parse(text), dice));
  }
}

interface Entry {
  dtype: unknown;
  shape: unknown;
  "data_offsets": unknown;
}

/** Damages the contents of a safetensors file and keeps the rest valid. */
export function spoilSafetensors(bytes: Uint8Array, dice: Dice): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = Number(view.getBigUint64(0, true));
  const json = new TextDecoder().decode(bytes.subarray(8, 8 + length));
  const data = bytes.slice(8 + length);
  const kind = dice.below(12);
  if (kind === 0) {
    return assemble(json, data, dice.pick([0n, 7n, 2n ** 63n, 99_999_999n]));
  }
  if (kind <= 2) {
    spoilNumbers(data, dice);
    return assemble(json, data);
  }
  if (kind === 3) return assemble(spoilJsonText(json, dice), data);
  const header = JSON.parse(json) as Record<string, unknown>;
  const metadata = header["__metadata__"] as Record<string, string>;
  if (kind <= 7) {
    const key = dice.pick(Object.keys(metadata));
    metadata[key] = /^\{/.test(metadata[key]!)
      ? spoilJsonText(metadata[key]!, dice)
      : dice.pick(strangeWords);
    return assemble(JSON.stringify(header), data);
  }
  const names = Object.keys(header).filter((name) => name !== "__metadata__");
  const name = dice.pick(names);
  if (kind === 8) {
    const other = dice.pick([dice.pick(strangeWords), dice.pick(names)]);
    // The text is edited because an object would keep only one of two equal names.
    const from = `${JSON.stringify(name)}:`;
    return assemble(json.replace(from, `${JSON.stringify(other)}:`), data);
  }
  spoilEntry(header[name] as Entry, dice);
  return assemble(JSON.stringify(header), data);
}

function spoilEntry(entry: Entry, dice: Dice): void {
  const offsets = entry.data_offsets as number[];
  const shape = entry.shape as number[];
  const number = () =>
    dice.pick([-1, 0, 1, 4, 0.5, 2 ** 31, 2 ** 53, 1e300, offsets[0]! + 4]);
  switch (dice.below(7)) {
    case 0:
      offsets[dice.below(2)] = number();
      break;
    case 1:
      offsets.reverse();
      break;
    case 2:
      entry.data_offsets = dice.pick(strange);
      break;
    case 3:
      shape[dice.below(shape.length)] = number();
      break;
    case 4:
      entry.shape = dice.pick([shape.toReversed(), [], [...shape, 1], strange]);
      break;
    case 5:
      entry.dtype = dice.pick(["F64", "BF16", "I32", "U8", ...strange]);
      break;
    default:
      Object.assign(entry, { [dice.pick(strangeWords)]: 1 });
  }
}

/** Sets weights, which are float32, to numbers that a weight should not be. */
function spoilNumbers(data: Uint8Array, dice: Dice): void {
  const view = new DataView(data.buffer);
  const count = data.length >> 2;
  const value = dice.pick([NaN, Infinity, -Infinity, 3e38, -3e38, 1e-42, 1e9]);
  const from = dice.below(count);
  const to = Math.min(count, from + dice.pick([1, 10, count]));
  for (let i = from; i < to; i++) view.setFloat32(4 * i, value, true);
}

function assemble(
  json: string,
  data: Uint8Array,
  claimed?: bigint,
): Uint8Array {
  const header = new TextEncoder().encode(json);
  const bytes = new Uint8Array(8 + header.length + data.length);
  const length = claimed ?? BigInt(header.length);
  new DataView(bytes.buffer).setBigUint64(0, length, true);
  bytes.set(header, 8);
  bytes.set(data, 8 + header.length);
  return bytes;
}

/** Damages a file of JSON lines: a line, the order of lines, or the bytes. */
export function spoilLines(text: string, dice: Dice): Uint8Array {
  const encoder = new TextEncoder();
  const lines = text.trimEnd().split("\n");
  const at = dice.below(lines.length);
  switch (dice.below(6)) {
    case 0:
      return spoilBytes(encoder.encode(text), dice);
    case 1:
      lines.splice(at, 1 + dice.below(3));
      break;
    case 2:
      lines.splice(at, 0, lines[dice.below(lines.length)]!);
      break;
    case 3:
      lines[at] = lines[at]!.slice(0, dice.below(lines[at]!.length));
      break;
    default:
      lines[at] = spoilJsonText(lines[at]!, dice);
  }
  return encoder.encode(`${lines.join("\n")}\n`);
}

/** Makes a text that no one would train on, with one of several oddities. */
export function spoilText(bytes: Uint8Array, dice: Dice): Uint8Array {
  const encode = (text: string) => new TextEncoder().encode(text);
  switch (dice.below(8)) {
    case 0:
      return encode(dice.pick(["", "a", "\n", "\ufeff", "aaaa".repeat(99)]));
    case 1: // UTF-16, with and without a mark
      return new Uint8Array(Uint16Array.from(bytes).buffer);
    case 2:
      return joined(Uint8Array.of(0xff, 0xfe), bytes);
    case 3:
      return encode("\u{10ffff}é\u202e\x1b[2J\u009b".repeat(60));
    case 4: // half a surrogate pair, as CESU-8 has it; an overlong slash
      return joined(bytes, Uint8Array.of(0xed, 0xa0, 0x80, 0xc0, 0xaf));
    case 5:
      return encode("\r\n\t".repeat(200) + "one".repeat(50));
    default:
      return spoilBytes(bytes, dice);
  }
}

/** Names for runs and files that lead elsewhere, or nowhere; none to a folder with much text below it. */
export const strangeNames: readonly string[] = [
  ...["", ".", "..", "/etc/", "//etc", "../../../../etc/passwd", "/dev/null"],
  ...[
    "/dev/zero",
    "/proc/self/environ",
    "nowhere/../run",
    "run/.",
    "run/../..",
  ],
  ...["~", "-", "$HOME", "*", "CON", "a".repeat(300), "a/".repeat(600)],
  ...["\x1b[2J", "\u009b2J", "\u202enur", "run\n", " "],
  ...["__proto__", "constructor", "https://example.invalid/run", "file:///run"],
];
