/** Tokenizer files of each kind, and damage that only such files can have: cycles, gaps, duplicates, tokens without an end. */

import { tokenizerJson } from "../../lib/formats/tokenizer_json.ts";
import { type BpeJSON, byteChars } from "../../lib/text/bpe/vocabulary.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";
import { type Dice, spoilBytes, spoilJsonText } from "./mutations.ts";

/** Ranks that a file needs so that its pre-tokenizer is known: those of GPT-2. */
const RANKS = 50_256;

/** Numbers that are not ids, or are the id of another token. */
const ids = [-1, 0, 1, 97, 0.5, 274, 275, 65_536, 2 ** 31, 2 ** 53, 1e308];

/** Undamaged files by name. */
export function tokenizerFiles(text: string): Record<string, string> {
  const options = { vocabSize: 275, endOfText: true };
  const tokenizer = Tokenizer.bpe(text, options);
  const { tokens, merges } = tokenizer.toJSON() as BpeJSON;
  const pairs = Array.from({ length: merges!.length / 2 }, (_, i) => [
    tokens[merges![2 * i]!],
    tokens[merges![2 * i + 1]!],
  ]);
  const bytes = (rank: number) =>
    rank < 256 ? [rank] : [Math.floor((rank - 256) / 256), (rank - 256) % 256];
  const ranks = Array.from(
    { length: RANKS },
    (_, rank) => `${btoa(String.fromCharCode(...bytes(rank)))} ${rank}`,
  );
  return {
    "tokenizer.json": tokenizerJson(tokenizer),
    "merges.txt": `#version: 0.2\n${
      pairs.map((pair) => pair.join(" ")).join("\n")
    }\n`,
    "ranks.tiktoken": `${ranks.join("\n")}\n`,
  };
}

/** Damages a tokenizer file. */
export function spoilTokenizer(bytes: Uint8Array, dice: Dice): Uint8Array {
  if (dice.below(4) === 0) return spoilBytes(bytes, dice);
  const text = new TextDecoder().decode(bytes);
  const spoilt = text.startsWith("{")
    ? dice.below(3) === 0 ? spoilJsonText(text, dice) : spoilFile(text, dice)
    : spoilLines(text, dice);
  return new TextEncoder().encode(spoilt);
}

interface HuggingFace {
  "added_tokens": { id: unknown; content: unknown }[];
  readonly model: {
    readonly vocab: Record<string, unknown>;
    merges: unknown[];
  };
}

function spoilFile(text: string, dice: Dice): string {
  const file = JSON.parse(text) as HuggingFace;
  const { vocab, merges } = file.model;
  const name = dice.pick(Object.keys(vocab));
  const other = dice.pick(Object.keys(vocab));
  const at = dice.below(merges.length);
  const added = file["added_tokens"][0]!;
  switch (dice.below(12)) {
    case 0: // a gap
      delete vocab[name];
      break;
    case 1: // a duplicate, or an id beyond the others
      vocab[name] = dice.pick([...ids, vocab[other]]);
      break;
    case 2: // a token that is part of itself
      merges[at] = `${merges[at]}`.replace(" ", "") + ` ${name}`;
      break;
    case 3: // parts that are made later
      merges.reverse();
      break;
    case 4:
      merges.push(merges[at]);
      break;
    case 5:
      merges[at] = dice.pick([name, `${name} ${other} x`, [name], 7, null]);
      break;
    case 6: // a token of any length
      vocab[byteChars[97]!.repeat(dice.pick([1000, 100_000]))] = 275;
      break;
    case 7:
      vocab[dice.pick(["", " ", "\ud800", "日本"])] = 275;
      break;
    case 8:
      added.id = dice.pick([...ids, vocab[name]]);
      break;
    case 9:
      added.content = dice.pick(["", name, 7, null, "a".repeat(100_000)]);
      break;
    case 10:
      file["added_tokens"] = Array(dice.pick([2, 1000])).fill(added);
      break;
    default:
      file.model.merges = Array(dice.pick([0, 50_000])).fill(merges[at]);
  }
  return JSON.stringify(file);
}

function spoilLines(text: string, dice: Dice): string {
  const lines = text.split("\n");
  const at = 1 + dice.below(lines.length - 2);
  const line = lines[at]!;
  switch (dice.below(9)) {
    case 0: // a gap
      lines.splice(at, 1);
      break;
    case 1: // a duplicate
      lines.splice(at, 0, dice.pick([line, lines[1]!]));
      break;
    case 2:
      lines[at] = line.replace(/\d+$/, `${dice.pick(ids)}`);
      break;
    case 3:
      lines[at] = line.replace(/\S+$/, "9".repeat(dice.pick([20, 5000])));
      break;
    case 4: // a token that is part of itself
      lines[at] = `${line.replace(" ", "")} ${line.split(" ")[0]}`;
      break;
    case 5:
      return lines.toReversed().join("\n");
    case 6: {
      const token = dice.pick(["aaaa", "YWFh", "Zg="]);
      lines[at] = `${token.repeat(dice.pick([1, 20_000]))} ${at}`;
      break;
    }
    case 7:
      lines[at] = dice.pick(["", " ", "a", "a b c", "\ufeff", "\r", "é 7"]);
      break;
    default:
      return lines.slice(0, at).join("\n");
  }
  return lines.join("\n");
}
