// The table of kernels: from a record's number to the function that computes units
// [from, to) of the record. `scratch` is the thread's own memory.

import * as codes from "../codes";
import * as activation from "./activation";
import * as attention from "./attention";
import * as attentionBackward from "./attention_backward";
import * as attentionBlas from "./attention_blas";
import * as blas from "./blas";
import * as cache from "./cache";
import * as columnSum from "./column_sum";
import * as elementwise from "./elementwise";
import * as embedding from "./embedding";
import * as loss from "./loss";
import * as matmul from "./matmul";
import * as norm from "./norm";
import * as qkNorm from "./qk_norm";
import * as optimizer from "./optimizer";
import { int, pointer } from "./record";
import * as rope from "./rope";
import * as sampling from "./sampling";

export function compute(
  kernel: i32,
  record: usize,
  from: i32,
  to: i32,
  scratch: usize,
): void {
  switch (kernel) {
    case codes.EMBEDDING:
      return embedding.embedding(record, from, to);
    case codes.EMBEDDING_BACKWARD:
      return embedding.embeddingBackward(record, from, to);
    case codes.POSITION_BACKWARD:
      return embedding.positionBackward(record, from, to);
    case codes.PACK_PANELS_OF_ROWS:
      return matmul.packPanelsOfRows(record, from, to);
    case codes.PACK_PANELS_OF_COLUMNS:
      return matmul.packPanelsOfColumns(record, from, to);
    case codes.PACK_TILES:
      return matmul.packTilesOfMatrix(record, from, to);
    case codes.MULTIPLY:
      return matmul.multiply(record, from, to, scratch);
    case codes.MULTIPLY_ROWS:
      return matmul.multiplyRows(record, from, to, scratch);
    case codes.MULTIPLY_COLUMNS:
      return matmul.multiplyColumns(record, from, to, scratch);
    case codes.MULTIPLY_BATCH:
      return matmul.multiplyBatch(record, from, to, scratch);
    case codes.MULTIPLY_FEW_ROWS:
      return matmul.multiplyFewRows(record, from, to);
    case codes.MULTIPLY_BY_BLAS:
      return blas.multiplyByBlas(record, from, to, scratch);
    case codes.ATTENTION_CACHED_BY_BLAS:
      return attentionBlas.attentionCachedByBlas(record, from, to, scratch);
    case codes.LISTS:
      return lists(record, from, to, scratch);
    case codes.GATHER:
      return elementwise.gather(record, from, to);
    case codes.TURN:
      return blas.turn(record, from, to);
    case codes.COLUMN_SUM_OF_STRETCHES:
      return columnSum.columnSumOfStretches(record, from, to);
    case codes.COLUMN_SUM:
      return columnSum.columnSum(record, from, to);
    case codes.NORM:
      return norm.norm(record, from, to);
    case codes.NORM_BACKWARD:
      return norm.normBackward(record, from, to);
    case codes.NORM_BACKWARD_WEIGHTS:
      return norm.normBackwardWeights(record, from, to);
    case codes.ACTIVATION:
      return activation.activation(record, from, to, scratch);
    case codes.ACTIVATION_BACKWARD:
      return activation.activationBackward(record, from, to, scratch);
    case codes.SWIGLU:
      return activation.swiglu(record, from, to, scratch);
    case codes.SWIGLU_BACKWARD:
      return activation.swigluBackward(record, from, to, scratch);
    case codes.QK_NORM:
      return qkNorm.qkNorm(record, from, to);
    case codes.QK_NORM_BACKWARD:
      return qkNorm.qkNormBackward(record, from, to);
    case codes.QK_NORM_BACKWARD_GAINS:
      return qkNorm.qkNormBackwardGains(record, from, to);
    case codes.ROPE:
      return rope.rope(record, from, to);
    case codes.ATTENTION:
      return attention.attention(record, from, to, scratch);
    case codes.ATTENTION_BACKWARD:
      return attentionBackward.attentionBackward(record, from, to, scratch);
    case codes.ATTENTION_BY_BLAS:
      return attentionBlas.attentionByBlas(record, from, to, scratch);
    case codes.ATTENTION_BACKWARD_BY_BLAS:
      return attentionBlas.attentionBackwardByBlas(record, from, to, scratch);
    case codes.CACHE_APPEND:
      return cache.cacheAppend(record, from, to);
    case codes.ATTENTION_CACHED:
      return cache.attentionCached(record, from, to, scratch);
    case codes.SELECT_LAST:
      return embedding.selectLast(record, from, to);
    case codes.ADD:
      return elementwise.add(record, from, to);
    case codes.COPY:
      return elementwise.copy(record, from, to);
    case codes.DROPOUT:
      return elementwise.dropout(record, from, to);
    case codes.SOFTCAP:
      return activation.softcap(record, from, to, scratch);
    case codes.SOFTCAP_BACKWARD:
      return activation.softcapBackward(record, from, to, scratch);
    case codes.CROSS_ENTROPY:
      return loss.crossEntropy(record, from, to);
    case codes.LOSS_SUM:
      return loss.lossSum(record, from, to);
    case codes.SQUARE_SUM:
      return optimizer.squareSum(record, from, to);
    case codes.CLIP:
      return optimizer.clip(record, from, to);
    case codes.ADAMW:
      return optimizer.adamw(record, from, to);
    case codes.MOMENTUM:
      return optimizer.momentum(record, from, to);
    case codes.NORMALIZE:
      return optimizer.normalize(record, from, to);
    case codes.DESCEND:
      return optimizer.descend(record, from, to);
    case codes.LAST_TOKENS:
      return sampling.lastTokens(record, from, to);
    case codes.CHOOSE:
      return sampling.choose(record, from, to, scratch);
    default:
      unreachable();
  }
}

/** The first record of the first list, and bytes of a list. */
function lists(r: usize, from: i32, to: i32, scratch: usize): void {
  const bytes = <usize> int(r, 1);
  for (let unit = from; unit < to; unit++) {
    const list = pointer(r, 0) + unit * bytes;
    for (let record = list; record < list + bytes; record += codes.RECORD_BYTES) {
      const kernel = load<i32>(record + codes.RECORD_KERNEL);
      if (kernel === codes.NONE) break;
      compute(kernel, record, 0, load<i32>(record + codes.RECORD_UNITS), scratch);
    }
  }
}
