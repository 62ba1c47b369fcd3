/** Merging: turns the bytes of one piece into the ids of its tokens. */

import { Heap } from "./heap.ts";
import { NO_RANK, RankTable } from "./ranks.ts";
import { unreadable } from "../token_streams.ts";
import { type BpeVocabulary, checkedIds, utf8String } from "./vocabulary.ts";

/** Most pieces whose ids are kept, and the longest such piece. */
const MOST_KEPT = 2 ** 16;
const LONGEST_KEPT = 32;

/** Most characters of a short piece, in units of the string; each has at most 3 bytes. */
const SHORT = 64;

/** Merges pairs of tokens until none is left that the vocabulary merges. */
export class Merger {
  /** Id of each token that is not special. */
  readonly #ids: ReadonlyMap<string, number>;
  /** Rank of each pair that is merged: the smallest is merged first. */
  readonly #ranks = new RankTable();
  /** Id of the merged token by rank. */
  readonly #merged: readonly number[] | undefined;
  /** True if a piece that is itself a token is not split and merged. */
  readonly #wholePieces: boolean;
  /** Id of each byte. */
  readonly #bytes: Int32Array;
  readonly #encoder = new TextEncoder();
  readonly #shortBytes = new Uint8Array(3 * SHORT);
  readonly #shortIds = new Int32Array(3 * SHORT);
  readonly #shortRanks = new Int32Array(3 * SHORT);
  /** Ids of the pieces seen so far. */
  readonly #kept = new Map<string, readonly number[]>();

  /** @throws {SyntaxError} if the vocabulary contradicts itself; the message says where */
  constructor(vocabulary: BpeVocabulary) {
    const { tokens, merges, wholePieces = false } = vocabulary;
    this.#ids = checkedIds(vocabulary);
    this.#bytes = Int32Array.from(
      { length: 256 },
      (_, byte) => this.#ids.get(String.fromCharCode(byte))!,
    );
    this.#wholePieces = wholePieces || merges === undefined;
    if (merges === undefined) this.#rankByResult();
    else this.#merged = this.#rankInOrder(tokens, merges);
  }

  /** Ranks every pair of tokens that makes a token by the id of the result. */
  #rankByResult(): void {
    for (const [token, id] of this.#ids) {
      for (let cut = 1; cut < token.length; cut++) {
        const left = this.#ids.get(token.slice(0, cut));
        if (left === undefined) continue;
        const right = this.#ids.get(token.slice(cut));
        if (right !== undefined) this.#ranks.set(left, right, id);
      }
    }
  }

  /** Ranks pairs in their order, and returns the ids of their results. */
  #rankInOrder(tokens: readonly string[], merges: readonly number[]): number[] {
    if (merges.length % 2 !== 0) throw unreadable("the last merge is half");
    const isPart = (id: number) =>
      tokens[id] !== undefined && this.#ids.get(tokens[id]) === id;
    return Array.from({ length: merges.length / 2 }, (_, rank) => {
      const left = merges[2 * rank]!;
      const right = merges[2 * rank + 1]!;
      const pair = `merge ${rank}, of tokens ${left} and ${right},`;
      if (!isPart(left) || !isPart(right)) {
        throw unreadable(`${pair} has a part that is no token`);
      }
      const id = this.#ids.get(tokens[left]! + tokens[right]!);
      if (id === undefined) throw unreadable(`${pair} makes no token`);
      if (this.#ranks.get(left, right) !== NO_RANK) {
        throw unreadable(`${pair} is there twice`);
      }
      this.#ranks.set(left, right, rank);
      return id;
    });
  }

  /** Returns the ids of a piece of text. */
  encode(piece: string): readonly number[] {
    const known = this.#kept.get(piece);
    if (known !== undefined) return known;
    const ids = this.#encodePiece(piece);
    if (piece.length <= LONGEST_KEPT) {
      if (this.#kept.size >= MOST_KEPT) this.#kept.clear();
      // A copy: a part of a long text would keep all of the text.
      this.#kept.set(` ${piece}`.slice(1), ids);
    }
    return ids;
  }

  #encodePiece(piece: string): number[] {
    if (this.#wholePieces) {
      const whole = this.#ids.get(utf8String(piece));
      if (whole !== undefined) return [whole];
    }
    return piece.length <= SHORT
      ? this.#mergeShort(piece)
      : this.#mergeLong(utf8String(piece));
  }

  /** Looks for the smallest rank again after each merge, which is fastest for a piece of a few tokens. */
  #mergeShort(piece: string): number[] {
    const [ids, ranks] = [this.#shortIds, this.#shortRanks];
    let size = this.#encoder.encodeInto(piece, this.#shortBytes).written;
    for (let at = 0; at < size; at++) {
      ids[at] = this.#bytes[this.#shortBytes[at]!]!;
    }
    const rank = (at: number) => this.#ranks.get(ids[at]!, ids[at + 1]!);
    for (let at = 0; at < size - 1; at++) ranks[at] = rank(at);
    while (size > 1) {
      let best = 0;
      for (let at = 1; at < size - 1; at++) {
        if (ranks[at]! < ranks[best]!) best = at;
      }
      const smallest = ranks[best]!;
      if (smallest === NO_RANK) break;
      ids[best] = this.#merged?.[smallest] ?? smallest;
      ids.copyWithin(best + 1, best + 2, size);
      ranks.copyWithin(best + 1, best + 2, size - 1);
      size--;
      if (best < size - 1) ranks[best] = rank(best);
      if (best > 0) ranks[best - 1] = rank(best - 1);
    }
    return Array.from(ids.subarray(0, size));
  }

  #mergeLong(bytes: string): number[] {
    const ids = Array.from(
      bytes,
      (byte) => this.#bytes[byte.charCodeAt(0)]!,
    );
    const size = ids.length;
    // A token lies where its first byte was; the others are -1.
    const before = Int32Array.from(ids, (_, i) => i - 1);
    const after = Int32Array.from(ids, (_, i) => i + 1);
    const waiting = new Heap<number>((a, b) => a < b);
    const rankAt = (at: number): number => {
      const next = after[at]!;
      return next < size ? this.#ranks.get(ids[at]!, ids[next]!) : NO_RANK;
    };
    // The smallest rank first; of equal ranks, the leftmost.
    const wait = (at: number) => {
      const rank = rankAt(at);
      if (rank !== NO_RANK) waiting.push(rank * size + at);
    };
    for (let at = 0; at < size; at++) wait(at);
    for (let entry; (entry = waiting.pop()) !== undefined;) {
      const at = entry % size;
      const rank = (entry - at) / size;
      // A pair that waits may have lost a part to another merge.
      if (ids[at]! < 0 || rankAt(at) !== rank) continue;
      const gone = after[at]!;
      ids[at] = this.#merged?.[rank] ?? rank;
      ids[gone] = -1;
      after[at] = after[gone]!;
      if (after[at]! < size) before[after[at]!] = at;
      wait(at);
      if (before[at]! >= 0) wait(before[at]!);
    }
    return ids.filter((id) => id >= 0);
  }
}
