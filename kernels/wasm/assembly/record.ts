// Functions with which a kernel reads its step's record; see ../codes.ts.

import { RECORD_ARGUMENTS } from "../codes";

/** Returns argument i as an address. */
// @ts-ignore: decorator
@inline
export function pointer(record: usize, i: i32): usize {
  return load<u32>(record + RECORD_ARGUMENTS + (i << 2));
}

/** Returns argument i as an integer. */
// @ts-ignore: decorator
@inline
export function int(record: usize, i: i32): i32 {
  return load<i32>(record + RECORD_ARGUMENTS + (i << 2));
}

/** Returns argument i as an `f32`. */
// @ts-ignore: decorator
@inline
export function float(record: usize, i: i32): f32 {
  return load<f32>(record + RECORD_ARGUMENTS + (i << 2));
}
