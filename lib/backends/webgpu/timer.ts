/**
 * GPU time per dispatch, by timestamp queries: for benches and `profile` runs
 * alone, since every pass is then encoded apart.
 */

import type { Plan } from "../../graph/plan.ts";
import type { DispatchTime } from "../backend.ts";
import type { WebGpuBackend } from "./engine.ts";

/** WebGPU's limit on the queries of one set; a pass takes two. */
const MOST_QUERIES = 4096;

/** Times the passes of the latest run. */
export class PassTimer {
  readonly #queries: GPUQuerySet;
  readonly #stamps: GPUBuffer;
  readonly #backend: WebGpuBackend;
  /** The dispatch that each timed pass belongs to. */
  #passes: number[] = [];

  constructor(backend: WebGpuBackend) {
    this.#backend = backend;
    this.#queries = backend.device.createQuerySet({
      type: "timestamp",
      count: MOST_QUERIES,
    });
    this.#stamps = backend.createBuffer(
      "timestamps",
      2 * MOST_QUERIES,
      GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
    );
  }

  /**
   * Forgets the last run and makes room for a new one.
   *
   * @throws {RangeError} if the run has more passes than can be timed
   */
  start(dispatches: number[]): void {
    if (2 * dispatches.length > MOST_QUERIES) {
      throw new RangeError(
        `Cannot profile a run of ${dispatches.length} passes: at most ${
          MOST_QUERIES / 2
        } can be timed`,
      );
    }
    this.#passes = dispatches;
  }

  /** What `beginComputePass` takes for the pass with this number in the run. */
  writes(pass: number): GPUComputePassTimestampWrites {
    return {
      querySet: this.#queries,
      beginningOfPassWriteIndex: 2 * pass,
      endOfPassWriteIndex: 2 * pass + 1,
    };
  }

  /** Stores the times of the run that `encoder` holds. */
  resolve(encoder: GPUCommandEncoder): void {
    const count = 2 * this.#passes.length;
    if (count > 0) {
      encoder.resolveQuerySet(this.#queries, 0, count, this.#stamps, 0);
    }
  }

  /** The times of the latest run, passes of one dispatch taken together. */
  async read(plan: Plan): Promise<DispatchTime[]> {
    const passes = this.#passes;
    if (passes.length === 0) return [];
    const stamps = new BigUint64Array(
      await this.#backend.read(
        `profile ${plan.name}`,
        this.#stamps,
        0,
        16 * passes.length,
      ),
    );
    const times: { dispatch: number; nanoseconds: number }[] = [];
    passes.forEach((dispatch, i) => {
      const nanoseconds = Number(stamps[2 * i + 1]! - stamps[2 * i]!);
      const last = times.at(-1);
      if (last?.dispatch === dispatch) last.nanoseconds += nanoseconds;
      else times.push({ dispatch, nanoseconds });
    });
    return times.map(({ dispatch, nanoseconds }) => {
      const { label, kernel } = plan.dispatches[dispatch]!;
      return { label, kernel, nanoseconds };
    });
  }

  /** Frees the queries. */
  destroy(): void {
    this.#queries.destroy();
    this.#backend.destroyBuffer(this.#stamps);
  }
}
