/**
 * Long runs of a program, cut into parts: between two parts signals and timers are
 * looked at, so that a step that takes a minute can be left in a fraction of a second.
 */

import type { Backend, Program } from "../backends/backend.ts";
import type { Plan } from "../graph/plan.ts";

/** Floating point operations from which on a part of its own is worth the call: some 20 ms of a processor. */
const PART_FLOPS = 2 ** 31;

/** Milliseconds of a run from which on a device that works by itself is waited for after each part. */
const SLOW_MS = 1000;

/**
 * The plan, with a phase `NAME/I` for each part of its phase NAME; the plan itself if the phase is short.
 *
 * @param flops floating point operations of a run of the phase
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

/** Runs a program whose plan may be cut. */
export class PartRunner {
  /** What is run. */
  readonly program: Program;
  readonly #backend: Backend;
  readonly #phase: string;
  readonly #parts: readonly string[];

  /** @param phase the phase that may be cut */
  constructor(program: Program, backend: Backend, phase: string) {
    this.program = program;
    this.#backend = backend;
    this.#phase = phase;
    this.#parts = Object.keys(program.plan.phases).filter((name) =>
      name.startsWith(`${phase}/`)
    );
  }

  /**
   * Runs the phase, and then at one go those that follow it.
   *
   * @param options.isOver asked between two parts
   * @param options.lastMs how long the last run took, in milliseconds, if that is known
   * @returns whether all was run; if not, some parts of the phase were, and nothing of what follows
   */
  async run({ isOver, after = [], lastMs = 0 }: {
    readonly isOver: () => boolean;
    readonly after?: readonly string[];
    readonly lastMs?: number;
  }): Promise<boolean> {
    const isQueue = this.#backend.kind === "webgpu";
    if (this.#parts.length === 0 || (isQueue && lastMs < SLOW_MS)) {
      this.program.run([this.#phase, ...after]);
      return true;
    }
    for (const part of this.#parts) {
      this.program.run([part]);
      if (isQueue) await this.#backend.finish();
      await breathe();
      if (isOver()) return false;
    }
    if (after.length > 0) this.program.run(after);
    return true;
  }
}

/** Lets timers, signals and device callbacks run. */
export function breath(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** How long timers and signals may wait, in milliseconds. */
const BREATH_MS = 100;
let breathed = performance.now();

/**
 * Lets timers, signals and device callbacks run, if they have not for a while. For every loop that may take
 * long: on the CPU its promises are settled at once, and nothing else would get in.
 */
export async function breathe(): Promise<void> {
  if (performance.now() - breathed < BREATH_MS) return;
  await breath();
  breathed = performance.now();
}
