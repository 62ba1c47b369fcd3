/**
 * Measures GPU time per dispatch by timestamp queries. For benches and `profile`
 * runs only, since every pass of a kernel is then encoded as a compute pass of its own.
 */

import type { Plan } from "../../graph/plan.ts";
import type { DispatchTime } from "../backend.ts";
import type { WebGpuDevice } from "./device.ts";
import { refusal } from "../../refusal.ts";

/** WebGPU's limit on the queries of one set; a pass takes two. */
const MOST_QUERIES = 4096;

/** A timer of the passes of the latest run. */
export class PassTimer {
  readonly #queries: GPUQuerySet;
  readonly #stamps: GPUBuffer;
  readonly #backend: WebGpuDevice;
  /** The dispatch that each timed pass belongs to. */
  #passes: number[] = [];

  constructor(backend: WebGpuDevice) {
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
   * Starts a new run, and forgets the one before.
   *
   * @throws {RangeError} if the run has more passes than can be timed
   */
  start(dispatches: number[]): void {
    if (2 * dispatches.length > MOST_QUERIES) {
      throw refusal(
        RangeError,
        `profile a run of ${dispatches.length} passes`,
        `at most ${MOST_QUERIES / 2} can be timed`,
      );
    }
    this.#passes = dispatches;
  }

  /** Returns the `timestampWrites` of `beginComputePass` for the pass with this number in the run. */
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

  /** Returns the times of the latest run, with the passes of one dispatch added up. */
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
