// The table of kernels: from a record's number to the function that computes units
// [from, to) of it. `scratch` is memory of the thread's own.

import { ADD, COPY, MULTIPLY, PACK_MATRIX } from "../codes";
import { add, copy } from "./elementwise";
import { multiply, packMatrix } from "./matmul";

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
    default:
      unreachable();
  }
}
