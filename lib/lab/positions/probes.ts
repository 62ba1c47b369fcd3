/**
 * Linear probes, which show how well the best linear map can tell a token's position in its window
 * from a model's inner values at that token (Alain and Bengio 2016, arXiv 1610.01644). A probe is
 * fitted on some windows and scored on others.
 */

import type { Model } from "../../model/model.ts";
import { innerValues } from "./inner_values.ts";
import { apply, type LinearMap, NormalEquations } from "./ridge.ts";
import { permutation, type Windows } from "./windows.ts";

/** A part of the model, and the map from its residual stream to a position. */
export interface Probe {
  /** `embedding`, `block 1`, …, `final norm`. */
  readonly part: string;
  readonly map: LinearMap;
  /** A map fitted to positions in random order: a control with nothing to find. */
  readonly shuffledMap: LinearMap;
}

/** A probe's readings at each position, and their scores. */
export interface Reading {
  readonly part: string;
  /**
   * The coefficient of determination, 1 - Σ(p - p̂)² / Σ(p - p̄)²: 1 if every position is read
   * exactly, 0 if guessing the middle is as good.
   */
  readonly r2: number;
  /** Mean |p - p̂|, in tokens. Guessing the middle errs by T/4. */
  readonly error: number;
  /** As `r2`, for the shuffled map and the shuffled positions. */
  readonly shuffledR2: number;
  /** The mean p̂ at each position (T). */
  readonly means: readonly number[];
  /** The standard deviation of p̂ at each position (T). */
  readonly deviations: readonly number[];
}

/** Options of probes. */
export interface ProbeOptions {
  /** The seed of the control's random orders. */
  readonly seed: number;
  readonly signal?: AbortSignal | undefined;
}

/** Fits a probe at each part of a model. */
export async function fitProbes(
  model: Model,
  windows: Windows,
  { seed, signal }: ProbeOptions,
): Promise<Probe[]> {
  const { T } = windows;
  const C = model.config.nEmbd;
  const sums = new Map<string, NormalEquations>();
  for await (
    const { count, first, values } of innerValues(model, windows, {
      inside: "stream",
      signal,
    })
  ) {
    for (const [part, stream] of values) {
      const equations = sums.get(part) ??
        new NormalEquations({ features: C, targets: 2 });
      sums.set(part, equations);
      for (let n = 0; n < count; n++) {
        const shuffled = permutation(T, { seed, row: first + n });
        for (let t = 0; t < T; t++) {
          equations.add(stream, (n * T + t) * C, [t, shuffled[t]!]);
        }
      }
    }
  }
  return Array.from(sums, ([part, equations]) => {
    const [map, shuffledMap] = equations.solve() as [LinearMap, LinearMap];
    return { part, map, shuffledMap };
  });
}

/** Makes probes read other windows. */
export async function readProbes(
  model: Model,
  probes: readonly Probe[],
  { windows, seed, signal }: ProbeOptions & { readonly windows: Windows },
): Promise<Reading[]> {
  const { T } = windows;
  const C = model.config.nEmbd;
  const scores = probes.map((probe) => ({ probe, score: new Score(T) }));
  for await (
    const { count, first, values } of innerValues(model, windows, {
      inside: "stream",
      signal,
    })
  ) {
    for (const { probe, score } of scores) {
      const stream = values.get(probe.part)!;
      for (let n = 0; n < count; n++) {
        const shuffled = permutation(T, { seed, row: first + n });
        for (let t = 0; t < T; t++) {
          const at = (n * T + t) * C;
          score.add(t, apply(probe.map, stream, at));
          score.addShuffled(
            shuffled[t]!,
            apply(probe.shuffledMap, stream, at),
          );
        }
      }
    }
  }
  return scores.map(({ probe: { part }, score }) => ({
    part,
    ...score.result(),
  }));
}

/** Sums the errors of readings. */
class Score {
  readonly #T: number;
  readonly #sums: Float64Array;
  readonly #squares: Float64Array;
  #count = 0;
  #squaredError = 0;
  #absoluteError = 0;
  #shuffledError = 0;

  constructor(T: number) {
    this.#T = T;
    this.#sums = new Float64Array(T);
    this.#squares = new Float64Array(T);
  }

  add(position: number, read: number): void {
    const error = read - position;
    this.#sums[position]! += read;
    this.#squares[position]! += read ** 2;
    this.#squaredError += error ** 2;
    this.#absoluteError += Math.abs(error);
    this.#count++;
  }

  addShuffled(position: number, read: number): void {
    this.#shuffledError += (read - position) ** 2;
  }

  result(): Omit<Reading, "part"> {
    const T = this.#T;
    const n = this.#count;
    const each = n / T;
    const variance = (T ** 2 - 1) / 12; // of 0 … T - 1, each as often
    const means = Array.from(this.#sums, (sum) => sum / each);
    return {
      r2: 1 - this.#squaredError / n / variance,
      error: this.#absoluteError / n,
      shuffledR2: 1 - this.#shuffledError / n / variance,
      means,
      deviations: means.map((mean, t) =>
        Math.sqrt(Math.max(0, this.#squares[t]! / each - mean ** 2))
      ),
    };
  }
}
