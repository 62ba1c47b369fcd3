// The threads, which run a list of steps together.
//
// A step's work is cut into units. Threads take units until none is left, then wait
// until all are done: so a thread that the system has suspended delays the others only
// if it has taken a unit. The result of a unit depends on its number alone; no bit of
// a result depends on which thread computed it, or on the number of threads.

import {
  CONTROL_ACTIVE,
  CONTROL_CLOSING,
  CONTROL_FAILED,
  CONTROL_FROM,
  CONTROL_JOB,
  CONTROL_MAY_SLEEP,
  CONTROL_SCRATCH,
  CONTROL_SCRATCH_BYTES,
  CONTROL_SLEEPERS,
  CONTROL_SPINS,
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

/** Nanoseconds of sleep after which a waiting thread checks if another thread failed. */
const NAP: i64 = 100_000_000;
/** Nanoseconds of sleep of a worker without work. Deno cannot end a worker while it sleeps, so the worker wakes up from time to time. */
const SLEEP: i64 = 1_000_000_000;

/** Runs the records [from, to) with `workers` other threads, either none or all; returns 0 if a thread failed. Called by the host. */
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

/** Runs job after job on a worker, until the host closes the engine. */
export function work(): void {
  const thread = atomic.add<i32>(CONTROL_STARTED, 1) + 1;
  let job: i32 = 0;
  while (true) {
    let spins = load<i32>(CONTROL_SPINS);
    while (atomic.load<i32>(CONTROL_JOB) === job) {
      if (spins-- <= 0) atomic.wait<i32>(CONTROL_JOB, job, SLEEP);
    }
    job++;
    if (atomic.load<i32>(CONTROL_CLOSING) !== 0) return;
    execute(load<u32>(CONTROL_FROM), load<u32>(CONTROL_TO), thread, true);
    if (atomic.sub<i32>(CONTROL_ACTIVE, 1) === 1) {
      atomic.notify(CONTROL_ACTIVE, -1);
    }
  }
}

/** Reports that a thread failed; threads that wait for it stop waiting. */
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
        // A thread that counts itself as sleeping after this looks at the record once more.
        if (atomic.load<i32>(CONTROL_SLEEPERS) !== 0) atomic.notify(record + RECORD_DONE, -1);
      }
    }
    if (!waitFor(record + RECORD_DONE, units, maySleep)) return;
  }
}

/** Waits until a word has a value; returns false if a thread fails meanwhile. */
function waitFor(address: usize, value: i32, maySleep: bool): bool {
  let spins = load<i32>(CONTROL_SPINS);
  while (true) {
    const now = atomic.load<i32>(address);
    if (now === value) return true;
    if (spins-- > 0) continue;
    if (atomic.load<i32>(CONTROL_FAILED) !== 0) return false;
    if (maySleep) {
      atomic.add<i32>(CONTROL_SLEEPERS, 1);
      atomic.wait<i32>(address, now, NAP);
      atomic.sub<i32>(CONTROL_SLEEPERS, 1);
    }
  }
}
