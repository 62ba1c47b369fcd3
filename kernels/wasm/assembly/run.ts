// The threads: how a list of steps is executed by several of them.
//
// A step's work is cut into units. Threads take units until none is left, then wait
// until all are done: so a thread that the system has put aside holds up nobody,
// unless it holds a unit. What a unit computes depends on its number alone; no bit
// of a result depends on who computed it, or on the number of threads.

import {
  CONTROL_ACTIVE,
  CONTROL_CLOSING,
  CONTROL_FAILED,
  CONTROL_FROM,
  CONTROL_JOB,
  CONTROL_MAY_SLEEP,
  CONTROL_SCRATCH,
  CONTROL_SCRATCH_BYTES,
  CONTROL_STARTED,
  CONTROL_TO,
  RECORD_BYTES,
  RECORD_DONE,
  RECORD_GRAIN,
  RECORD_KERNEL,
  RECORD_TAKEN,
  RECORD_UNITS,
} from "../codes";
import { compute } from "./kernels";

/** Looks at a word before going to sleep on it: about 2 µs. */
const SPINS: i32 = 1000;
/** Nanoseconds of sleep after which a waiting thread looks whether another one failed. */
const NAP: i64 = 100_000_000;
/** Nanoseconds of sleep of a worker without work. Deno ends no worker that sleeps on, so it wakes up now and then. */
const SLEEP: i64 = 1_000_000_000;

/** Runs the records [from, to) with `workers` of other threads, none or all there are; 0 if a thread failed. Called by the host. */
export function run(from: usize, to: usize, workers: i32): i32 {
  if (workers === 0) {
    executeAlone(from, to);
    return 1;
  }
  for (let record = from; record < to; record += RECORD_BYTES) {
    store<i32>(record + RECORD_TAKEN, 0);
    store<i32>(record + RECORD_DONE, 0);
  }
  store<u32>(CONTROL_FROM, <u32> from);
  store<u32>(CONTROL_TO, <u32> to);
  atomic.store<i32>(CONTROL_ACTIVE, workers);
  atomic.add<i32>(CONTROL_JOB, 1);
  atomic.notify(CONTROL_JOB, -1);
  const maySleep = load<i32>(CONTROL_MAY_SLEEP) === 1;
  execute(from, to, 0, maySleep);
  // Records may be changed once every worker has left them.
  return waitFor(CONTROL_ACTIVE, 0, maySleep) ? 1 : 0;
}

/** A worker's life: job after job, until the host closes. */
export function work(): void {
  const thread = atomic.add<i32>(CONTROL_STARTED, 1) + 1;
  let job: i32 = 0;
  while (true) {
    while (atomic.load<i32>(CONTROL_JOB) === job) {
      atomic.wait<i32>(CONTROL_JOB, job, SLEEP);
    }
    job++;
    if (atomic.load<i32>(CONTROL_CLOSING) !== 0) return;
    execute(load<u32>(CONTROL_FROM), load<u32>(CONTROL_TO), thread, true);
    if (atomic.sub<i32>(CONTROL_ACTIVE, 1) === 1) {
      atomic.notify(CONTROL_ACTIVE, -1);
    }
  }
}

/** Says that a thread cannot go on; those that wait for it stop waiting. */
export function fail(): void {
  atomic.store<i32>(CONTROL_FAILED, 1);
}

function executeAlone(from: usize, to: usize): void {
  const scratch = <usize> load<u32>(CONTROL_SCRATCH);
  for (let record = from; record < to; record += RECORD_BYTES) {
    compute(
      load<i32>(record + RECORD_KERNEL),
      record,
      0,
      load<i32>(record + RECORD_UNITS),
      scratch,
    );
  }
}

function execute(from: usize, to: usize, thread: i32, maySleep: bool): void {
  const scratch = <usize> load<u32>(CONTROL_SCRATCH) +
    thread * load<u32>(CONTROL_SCRATCH_BYTES);
  for (let record = from; record < to; record += RECORD_BYTES) {
    const kernel = load<i32>(record + RECORD_KERNEL);
    const units = load<i32>(record + RECORD_UNITS);
    const grain = load<i32>(record + RECORD_GRAIN);
    while (true) {
      const first = atomic.add<i32>(record + RECORD_TAKEN, grain);
      if (first >= units) break;
      const end = min(first + grain, units);
      compute(kernel, record, first, end, scratch);
      const count = end - first;
      if (atomic.add<i32>(record + RECORD_DONE, count) + count === units) {
        atomic.notify(record + RECORD_DONE, -1);
      }
    }
    if (!waitFor(record + RECORD_DONE, units, maySleep)) return;
  }
}

/** Waits until a word has a value; false if a thread failed meanwhile. */
function waitFor(address: usize, value: i32, maySleep: bool): bool {
  let spins = 0;
  while (true) {
    const now = atomic.load<i32>(address);
    if (now === value) return true;
    if (spins++ < SPINS) continue;
    if (atomic.load<i32>(CONTROL_FAILED) !== 0) return false;
    if (maySleep) atomic.wait<i32>(address, now, NAP);
  }
}
