/** Kernels that select rows: embeddings and their gradients, and the last row of each sequence. */

import type { KernelDims } from "../vocabulary.ts";
import {
  EMBEDDING,
  EMBEDDING_BACKWARD,
  EMBEDDING_COLUMNS,
  POSITION_BACKWARD,
  POSITION_BLOCK,
  SELECT_LAST,
} from "./codes.ts";
import { rowsOfBlock, type Site, type Step } from "./step.ts";

/** See {@linkcode signatures.embedding}. */
export function embedding(
  { B, T, C, V, L, positions, start }: KernelDims["embedding"],
  { outputs, inputs: [tokens = 0, wte = 0, ...rest] }: Site,
): Step[] {
  const table = positions ? rest[0]! : 0;
  // Without a table, positions are not needed.
  const starts = positions && start ? rest[1]! : 0;
  const rows = B * T;
  const grain = rowsOfBlock(C);
  return [{
    kernel: EMBEDDING,
    units: Math.ceil(rows / grain),
    args: [
      ...[...outputs, tokens, wte, table, starts],
      ...[rows, T, C, V, L, grain],
    ],
    work: rows * C,
  }];
}

/** See {@linkcode signatures.embeddingBackward}. */
export function embeddingBackward(
  { rows, C, V }: KernelDims["embeddingBackward"],
  { outputs, inputs }: Site,
): Step[] {
  return [{
    kernel: EMBEDDING_BACKWARD,
    units: Math.ceil(C / EMBEDDING_COLUMNS),
    args: [...outputs, ...inputs, rows, C, V],
    work: rows * C,
  }];
}

/** See {@linkcode signatures.positionBackward}. */
export function positionBackward(
  { B, T, C }: KernelDims["positionBackward"],
  { outputs, inputs }: Site,
): Step[] {
  return [{
    kernel: POSITION_BACKWARD,
    units: Math.ceil(T * C / POSITION_BLOCK),
    args: [...outputs, ...inputs, B, T * C],
    work: B * T * C,
  }];
}

/** See {@linkcode signatures.selectLast}. */
export function selectLast(
  { B, T, C }: KernelDims["selectLast"],
  { outputs, inputs }: Site,
): Step[] {
  const grain = rowsOfBlock(C);
  return [{
    kernel: SELECT_LAST,
    units: Math.ceil(B / grain),
    args: [...outputs, ...inputs, B, T, C, grain],
    work: B * C,
  }];
}
