/**
 * Long runs of a program, split into parts. Signals and timers run between two parts,
 * so a step that takes a minute can be aborted within a fraction of a second; and a
 * GPU gets no submission so long that its driver's watchdog resets the device.
 */

import type { Backend, Program } from "../backends/backend.ts";
import type { Plan } from "../graph/plan.ts";

/** Floating-point operations of a part: about 20 ms on a CPU, which outweighs the overhead of the call. */
export const PART_FLOPS: number = 2 ** 31;

/**
 * Milliseconds of work in one submission to a GPU. Windows resets a device after 2000; parts have equal numbers of
 * dispatches, and some take several times the mean.
 */
const SUBMISSION_MS = 125;

/** Duration of a run, in milliseconds, from which the host waits for a GPU after each submission. */
const SLOW_MS = 1000;

/**
 * Splits a phase NAME of a plan into phases `NAME/I`; returns the plan unchanged if the phase is short.
 *
 * @param flops floating-point operations of one run of the phase
 */
export function cutPlan(plan: Plan, phase: string, flops: number): Plan {
  const [from, to] = plan.phases[phase]!;
  const count = Math.min(to - from, Math.ceil(flops / PART_FLOPS));
  if (count < 2) return plan;
  const at = (part: number) => from + Math.floor((to - from) * part / count);
  const parts = Array.from(
    { length: count },
    (_, i): [string, [number, number]] => [
      `${phase}/${i}`,
      [at(i), at(i + 1)],
    ],
  );
  return { ...plan, phases: { ...plan.phases, ...Object.fromEntries(parts) } };
}

/** Runs a program whose plan may be split into parts. */
export class PartRunner {
  /** Program to run. */
  readonly program: Program;
  readonly #backend: Backend;
  readonly #phase: string;
  readonly #parts: readonly string[];
  /** Milliseconds of a whole run that was measured; 0 before. */
  #ms = 0;

  /** @param phase the phase that may be split */
  constructor(program: Program, backend: Backend, phase: string) {
    this.program = program;
    this.#backend = backend;
    this.#phase = phase;
    this.#parts = Object.keys(program.plan.phases).filter((name) =>
      name.startsWith(`${phase}/`)
    );
  }

  /** True if the plan is split. */
  get isCut(): boolean {
    return this.#parts.length > 0;
  }

  /**
   * Runs the phase, then the phases `after` it. On a GPU a short run is one submission, and a long one several of
   * {@linkcode SUBMISSION_MS}; while no duration is known, submissions grow from one part on as they are measured.
   *
   * @param options.isOver called after each submission; true ends the run
   * @param options.lastMs duration of the last run in milliseconds, 0 if unknown; by default that of the first whole run
   * @returns whether everything ran; if false, some parts of the phase ran and the phases `after` it did not
   */
  async run({ isOver = () => false, after = [], lastMs = this.#ms }: {
    readonly isOver?: () => boolean;
    readonly after?: readonly string[];
    readonly lastMs?: number;
  } = {}): Promise<boolean> {
    const parts = this.#parts;
    const isGpu = this.#backend.kind === "webgpu";
    const isKnown = lastMs > 0;
    const isShort = isGpu && isKnown && lastMs <= SUBMISSION_MS;
    if (!this.isCut || isShort) {
      this.program.run([this.#phase, ...after]);
      return true;
    }
    let size = isGpu && isKnown
      ? Math.max(1, Math.floor(parts.length * SUBMISSION_MS / lastMs))
      : 1;
    const start = performance.now();
    for (let at = 0; at < parts.length;) {
      const begun = performance.now();
      this.program.run(parts.slice(at, at + size));
      at += size;
      if (isGpu && (!isKnown || lastMs >= SLOW_MS)) {
        await this.#backend.finish();
        if (performance.now() - begun < SUBMISSION_MS / 2) size *= 2;
      }
      await yieldIfDue();
      if (isOver()) return false;
    }
    if (!isKnown) this.#ms = performance.now() - start;
    if (after.length > 0) this.program.run(after);
    return true;
  }
}

/** Yields to the event loop, so that timers, signals and device callbacks run. */
export function yieldToEvents(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** Longest time between two yields to the event loop, in milliseconds. */
const YIELD_MS = 100;
let lastYield = performance.now();

/**
 * Yields to the event loop if the last yield was more than 100 ms ago. Every long loop needs it: on the CPU
 * all promises of the loop settle at once, so timers, signals and callbacks would never run.
 */
export async function yieldIfDue(): Promise<void> {
  if (performance.now() - lastYield < YIELD_MS) return;
  await yieldToEvents();
  lastYield = performance.now();
}
