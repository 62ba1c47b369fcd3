// The table of kernels: from a record's number to the function that computes units
// [from, to) of it. `scratch` is memory of the thread's own.

import {
  ACTIVATION,
  ACTIVATION_BACKWARD,
  ADD,
  COPY,
  CROSS_ENTROPY,
  DROPOUT,
  LOSS_SUM,
  NORM,
  NORM_BACKWARD,
  NORM_BACKWARD_WEIGHTS,
  QK_NORM,
  QK_NORM_BACKWARD,
  SOFTCAP,
  SOFTCAP_BACKWARD,
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
import { add, copy, dropout } from "./elementwise";
import { crossEntropy, lossSum } from "./loss";
import {
  norm,
  normBackward,
  normBackwardWeights,
  qkNorm,
  qkNormBackward,
} from "./norm";

export function compute(
  kernel: i32,
  record: usize,
  from: i32,
  to: i32,
  scratch: usize,
): void {
  switch (kernel) {
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
    default:
      unreachable();
  }
}
