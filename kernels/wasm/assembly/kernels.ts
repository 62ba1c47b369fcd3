// The table of kernels: from a record's number to the function that computes units
// [from, to) of it. `scratch` is memory of the thread's own.

import {
  ADAMW,
  ADD,
  ATTENTION,
  ATTENTION_BACKWARD,
  ATTENTION_CACHED,
  CACHE_APPEND,
  CLIP,
  COLUMN_SUM,
  COPY,
  EMBEDDING,
  EMBEDDING_BACKWARD,
  MULTIPLY,
  PACK_MATRIX,
  POSITION_BACKWARD,
  ROPE,
  SELECT_LAST,
  SQUARE_SUM,
} from "../codes";
import { attention } from "./attention";
import { attentionBackward } from "./attention_backward";
import { attentionCached } from "./attention_cache";
import { add, copy } from "./elementwise";
import { multiply, packMatrix } from "./matmul";
import { cacheAppend } from "./cache";
import { columnSum } from "./column_sum";
import {
  embedding,
  embeddingBackward,
  positionBackward,
  selectLast,
} from "./embedding";
import { adamw, clip, squareSum } from "./optimizer";
import { rope } from "./rope";

export function compute(
  kernel: i32,
  record: usize,
  from: i32,
  to: i32,
  scratch: usize,
): void {
  switch (kernel) {
    case ADD:
      return add(record, from, to);
    case COPY:
      return copy(record, from, to);
    case PACK_MATRIX:
      return packMatrix(record, from, to);
    case MULTIPLY:
      return multiply(record, from, to, scratch);
    case EMBEDDING:
      return embedding(record, from, to);
    case EMBEDDING_BACKWARD:
      return embeddingBackward(record, from, to);
    case POSITION_BACKWARD:
      return positionBackward(record, from, to);
    case SELECT_LAST:
      return selectLast(record, from, to);
    case COLUMN_SUM:
      return columnSum(record, from, to);
    case ROPE:
      return rope(record, from, to);
    case CACHE_APPEND:
      return cacheAppend(record, from, to);
    case SQUARE_SUM:
      return squareSum(record, from, to);
    case CLIP:
      return clip(record, from, to);
    case ADAMW:
      return adamw(record, from, to);
    case ATTENTION:
      return attention(record, from, to, scratch);
    case ATTENTION_BACKWARD:
      return attentionBackward(record, from, to, scratch);
    case ATTENTION_CACHED:
      return attentionCached(record, from, to, scratch);
    default:
      unreachable();
  }
}
