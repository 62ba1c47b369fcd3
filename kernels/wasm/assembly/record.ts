// How a kernel reads its step's record; see ../codes.ts.

import { RECORD_ARGUMENTS } from "../codes";

/** Argument i as an address. */
// @ts-ignore: decorator
@inline
export function pointer(record: usize, i: i32): usize {
  return load<u32>(record + RECORD_ARGUMENTS + (i << 2));
}

/** Argument i as an integer. */
// @ts-ignore: decorator
@inline
export function int(record: usize, i: i32): i32 {
  return load<i32>(record + RECORD_ARGUMENTS + (i << 2));
}

/** Argument i as a number. */
// @ts-ignore: decorator
@inline
export function float(record: usize, i: i32): f32 {
  return load<f32>(record + RECORD_ARGUMENTS + (i << 2));
}
