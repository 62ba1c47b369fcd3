/** Writes tokenizers as Hugging Face's `tokenizer.json`, which `tokenizers.ts` reads again. */

import { type SplitName, splitPatterns } from "../text/bpe/split.ts";
import { type BpeJSON, byteChars } from "../text/bpe/vocabulary.ts";
import type { Tokenizer, TokenizerJSON } from "../text/tokenizer.ts";
import { characterPattern } from "./tokenizers.ts";

/**
 * Returns the text of a `tokenizer.json` that gives the same ids. Characters become a `WordLevel` vocabulary with a
 * piece for each character, bytes and byte pairs byte-level BPE.
 *
 * @throws {TypeError} if the tokenizer is a program's own
 */
export function tokenizerJson(tokenizer: Tokenizer): string {
  return JSON.stringify({
    version: "1.0",
    truncation: null,
    padding: null,
    normalizer: null,
    "post_processor": null,
    "added_tokens": Array.from(tokenizer.specialTokens, ([content, id]) => ({
      ...{ id, content, special: true },
      ...{ "single_word": false, lstrip: false, rstrip: false },
      normalized: false,
    })),
    ...partsOf(tokenizer.toJSON(), tokenizer),
  });
}

function partsOf(json: TokenizerJSON, tokenizer: Tokenizer): object {
  switch (json.kind) {
    case "bpe":
      return bytePairs(json);
    case "bytes":
      return bytePairs({
        ...{ kind: "bpe", split: "gpt2" },
        ...{ tokens: byteChars, merges: [], special: [] },
      });
    default:
      return characters(tokenizer);
  }
}

function characters(tokenizer: Tokenizer): object {
  const { vocabSize, specialTokens } = tokenizer;
  const length = vocabSize - specialTokens.size;
  const ids = Array.from({ length }, (_, id) => id);
  return {
    "pre_tokenizer": {
      type: "Split",
      pattern: { Regex: characterPattern },
      behavior: "Isolated",
      invert: false,
    },
    decoder: { type: "Fuse" },
    model: {
      type: "WordLevel",
      vocab: Object.fromEntries(ids.map((id) => [tokenizer.decode([id]), id])),
      "unk_token": "<unk>",
    },
  };
}

const byteLevel = { type: "ByteLevel", "add_prefix_space": false };

function preTokenizer(split: SplitName): object {
  const gpt2 = { ...byteLevel, "use_regex": true, "trim_offsets": true };
  if (split === "gpt2") return gpt2;
  const isDigits = split === "smollm";
  const first = isDigits ? { type: "Digits", "individual_digits": true } : {
    type: "Split",
    pattern: { Regex: splitPatterns[split] },
    behavior: "Isolated",
    invert: false,
  };
  const last = { ...gpt2, "use_regex": isDigits };
  return { type: "Sequence", pretokenizers: [first, last] };
}

function bytePairs(json: BpeJSON): object {
  const { split, tokens, merges, wholePieces = false, special } = json;
  const isSpecial = new Set(special);
  const ids = [...tokens.entries()].filter(([id]) => !isSpecial.has(id))
    .map(([id, token]) => [token, id]);
  return {
    "pre_tokenizer": preTokenizer(split),
    decoder: { ...byteLevel, "use_regex": true, "trim_offsets": true },
    model: {
      type: "BPE",
      dropout: null,
      "unk_token": null,
      "continuing_subword_prefix": null,
      "end_of_word_suffix": null,
      "fuse_unk": false,
      "byte_fallback": false,
      "ignore_merges": merges === undefined || wholePieces,
      vocab: Object.fromEntries(ids),
      merges: mergesOf(json).map((pair) => pair.join(" ")),
    },
  };
}

/**
 * Returns the pairs of tokens that are merged, the first merge first. Without a list, as in tiktoken, each way to cut a
 * token into two is a merge.
 */
export function mergesOf(
  { tokens, merges, special }: BpeJSON,
): (readonly [string, string])[] {
  if (merges !== undefined) {
    return Array.from(
      { length: merges.length / 2 },
      (_, i) => [tokens[merges[2 * i]!]!, tokens[merges[2 * i + 1]!]!],
    );
  }
  const isSpecial = new Set(special);
  const known = new Set(tokens.filter((_, id) => !isSpecial.has(id)));
  const cuts = (token: string) =>
    Array.from(
      { length: token.length - 1 },
      (_, i) => [token.slice(0, i + 1), token.slice(i + 1)] as const,
    );
  return [...known].flatMap((token) =>
    cuts(token).filter(([left, right]) => known.has(left) && known.has(right))
  );
}
