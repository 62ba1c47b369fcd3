// The table of kernels: from a record's number to the function that computes units
// [from, to) of it. `scratch` is memory of the thread's own.

import { ADD, COPY } from "../codes";
import { add, copy } from "./elementwise";

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
    default:
      unreachable();
  }
}
