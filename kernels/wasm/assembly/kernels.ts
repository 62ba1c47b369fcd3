// The table of kernels: from a record's number to the function that computes units
// [from, to) of it. `scratch` is memory of the thread's own.

import {
  ACTIVATION,
  ACTIVATION_BACKWARD,
  ADAMW,
  ADD,
  ATTENTION,
  ATTENTION_BACKWARD,
  ATTENTION_CACHED,
  CACHE_APPEND,
  CLIP,
  COLUMN_SUM,
  COLUMN_SUM_OF_STRETCHES,
  COMBINE,
  COPY,
  CROSS_ENTROPY,
  DESCEND,
  DROPOUT,
  EMBEDDING,
  EMBEDDING_BACKWARD,
  LOSS_SUM,
  MOMENTUM,
  MULTIPLY,
  MULTIPLY_COLUMNS,
  MULTIPLY_ROWS,
  NORM,
  NORMALIZE,
  NORM_BACKWARD,
  NORM_BACKWARD_WEIGHTS,
  PACK_PANELS_OF_COLUMNS,
  PACK_PANELS_OF_ROWS,
  PACK_TILES,
  POSITION_BACKWARD,
  QK_NORM,
  QK_NORM_BACKWARD,
  ROPE,
  SELECT_LAST,
  SOFTCAP,
  SOFTCAP_BACKWARD,
  SQUARE_SUM,
  SWIGLU,
  SWIGLU_BACKWARD,
} from "../codes";
import {
  activation,
  activationBackward,
  softcap,
  softcapBackward,
  swiglu,
  swigluBackward,
} from "./activation";
import { attention } from "./attention";
import { attentionBackward } from "./attention_backward";
import { attentionCached, cacheAppend } from "./cache";
import { columnSum, columnSumOfStretches } from "./column_sum";
import { add, copy, dropout } from "./elementwise";
import {
  embedding,
  embeddingBackward,
  positionBackward,
  selectLast,
} from "./embedding";
import { crossEntropy, lossSum } from "./loss";
import {
  multiply,
  multiplyColumns,
  multiplyRows,
  packPanelsOfColumns,
  packPanelsOfRows,
  packTilesOfMatrix,
} from "./matmul";
import {
  norm,
  normBackward,
  normBackwardWeights,
  qkNorm,
  qkNormBackward,
} from "./norm";
import {
  adamw,
  clip,
  combine,
  descend,
  momentum,
  normalize,
  squareSum,
} from "./optimizer";
import { rope } from "./rope";

export function compute(
  kernel: i32,
  record: usize,
  from: i32,
  to: i32,
  scratch: usize,
): void {
  switch (kernel) {
    case EMBEDDING:
      return embedding(record, from, to);
    case EMBEDDING_BACKWARD:
      return embeddingBackward(record, from, to);
    case POSITION_BACKWARD:
      return positionBackward(record, from, to);
    case PACK_PANELS_OF_ROWS:
      return packPanelsOfRows(record, from, to);
    case PACK_PANELS_OF_COLUMNS:
      return packPanelsOfColumns(record, from, to);
    case PACK_TILES:
      return packTilesOfMatrix(record, from, to);
    case MULTIPLY:
      return multiply(record, from, to, scratch);
    case MULTIPLY_ROWS:
      return multiplyRows(record, from, to, scratch);
    case MULTIPLY_COLUMNS:
      return multiplyColumns(record, from, to, scratch);
    case COLUMN_SUM_OF_STRETCHES:
      return columnSumOfStretches(record, from, to);
    case COLUMN_SUM:
      return columnSum(record, from, to);
    case NORM:
      return norm(record, from, to);
    case NORM_BACKWARD:
      return normBackward(record, from, to);
    case NORM_BACKWARD_WEIGHTS:
      return normBackwardWeights(record, from, to);
    case ACTIVATION:
      return activation(record, from, to, scratch);
    case ACTIVATION_BACKWARD:
      return activationBackward(record, from, to, scratch);
    case SWIGLU:
      return swiglu(record, from, to, scratch);
    case SWIGLU_BACKWARD:
      return swigluBackward(record, from, to, scratch);
    case QK_NORM:
      return qkNorm(record, from, to);
    case QK_NORM_BACKWARD:
      return qkNormBackward(record, from, to);
    case ROPE:
      return rope(record, from, to);
    case ATTENTION:
      return attention(record, from, to, scratch);
    case ATTENTION_BACKWARD:
      return attentionBackward(record, from, to, scratch);
    case CACHE_APPEND:
      return cacheAppend(record, from, to);
    case ATTENTION_CACHED:
      return attentionCached(record, from, to, scratch);
    case SELECT_LAST:
      return selectLast(record, from, to);
    case ADD:
      return add(record, from, to);
    case COPY:
      return copy(record, from, to);
    case DROPOUT:
      return dropout(record, from, to);
    case SOFTCAP:
      return softcap(record, from, to, scratch);
    case SOFTCAP_BACKWARD:
      return softcapBackward(record, from, to, scratch);
    case CROSS_ENTROPY:
      return crossEntropy(record, from, to);
    case LOSS_SUM:
      return lossSum(record, from, to);
    case SQUARE_SUM:
      return squareSum(record, from, to);
    case CLIP:
      return clip(record, from, to);
    case ADAMW:
      return adamw(record, from, to);
    case MOMENTUM:
      return momentum(record, from, to);
    case NORMALIZE:
      return normalize(record, from, to);
    case COMBINE:
      return combine(record, from, to);
    case DESCEND:
      return descend(record, from, to);
    default:
      unreachable();
  }
}
