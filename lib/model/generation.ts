/**
 * Texts in a key/value cache: prefills prompts, then decodes one token at a time.
 *
 * When a text outgrows the model's context, the window slides: the newest
 * `blockSize` / 2 tokens are encoded again from position 0, older tokens are dropped,
 * and `onSlide` is called. If the mask is not causal, old positions depend on new
 * ones and the cache is never valid: each token encodes the whole window again.
 */

import type { DeviceBuffer, Stores } from "../backends/backend.ts";
import type { ModelConfig } from "../config/model.ts";
import type { Plan } from "../graph/plan.ts";
import type { Logits } from "../text/sampler.ts";
import type { ModelInternals } from "./internals.ts";
import { flopsPerToken } from "./parameters.ts";
import { cutPlan, PartRunner } from "./parts.ts";
import { cachedPlan } from "./plans.ts";

/** Sizes of a generation, which determine its plans. */
export interface GenerationSizes {
  readonly rows: number;
  /** Tokens of the longest prompt. */
  readonly promptLength: number;
  readonly maxNewTokens: number;
}

/**
 * Returns the plans that a generation may run, keyed by T, the padded number of tokens encoded per run.
 *
 * @param options.chooses for {@linkcode Generation.choose}
 */
export function generationPlans(
  config: ModelConfig,
  { rows: B, promptLength, maxNewTokens }: GenerationSizes,
  options?: { readonly chooses: boolean },
): Map<number, Plan> {
  const { blockSize } = config;
  const first = Math.min(promptLength, blockSize);
  const last = promptLength + maxNewTokens - 1;
  const lengths = [first];
  if (!isCausal(config)) {
    const longest = Math.min(last, blockSize);
    for (let length = first; length <= longest; length++) lengths.push(length);
  } else if (maxNewTokens > 1) {
    lengths.push(1);
    if (last > blockSize) lengths.push(halfOf(blockSize));
  }
  const padded = lengths.map((length) => paddedLength(length, blockSize));
  return new Map(
    [...new Set(padded)].map((T) => [T, cachedPlan(config, { B, T }, options)]),
  );
}

/** Returns a padded length. There are few such lengths, so few plans are compiled. */
export function paddedLength(length: number, blockSize: number): number {
  let T = 1;
  while (T < length) T *= T === 1 ? 16 : 4;
  return Math.min(T, blockSize);
}

/** Returns the number of tokens kept when a window slides. */
function halfOf(blockSize: number): number {
  return Math.max(1, Math.floor(blockSize / 2));
}

/** A slide of a row's window; `forgotten` is the number of dropped tokens. */
export interface Slide {
  readonly row: number;
  readonly forgotten: number;
}

/** The part of a text that a run encodes. */
interface Span {
  readonly from: number;
  readonly to: number;
}

/** Device state of the generated texts: one cache row for each text. */
export class Generation {
  readonly #model: ModelInternals;
  readonly #rows: number;
  /** Plans by padded length. */
  readonly #plans: ReadonlyMap<number, Plan>;
  readonly #onSlide: ((slide: Slide) => void) | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #stores: Stores;
  /** Stores that belong to the model. */
  readonly #shared: ReadonlySet<DeviceBuffer>;
  readonly #programs = new Map<number, PartRunner>();
  /** For each row, where the window begins in the history, and how many tokens of the window are cached. */
  readonly #window: { begin: number; cached: number }[];

  /** @param options.signal signal that ends a long run between two of its parts, which leaves nothing of use */
  constructor(model: ModelInternals, { rows, plans, onSlide, signal }: {
    readonly rows: number;
    readonly plans: ReadonlyMap<number, Plan>;
    readonly onSlide: ((slide: Slide) => void) | undefined;
    readonly signal?: AbortSignal | undefined;
  }) {
    this.#signal = signal;
    this.#model = model;
    this.#rows = rows;
    this.#plans = plans;
    this.#onSlide = onSlide;
    this.#stores = new Map(model.stores);
    this.#shared = new Set(this.#stores.values());
    this.#window = Array.from(
      { length: rows },
      () => ({ begin: 0, cached: 0 }),
    );
  }

  /**
   * Extends the cache to the given histories and returns the logits (rows, V) after the last token of each history.
   *
   * @param most longest part of a history that is encoded; a longer one takes several calls, and its logits
   * are of use once {@linkcode Generation.holds} it
   */
  async advance(
    histories: readonly (readonly number[] | undefined)[],
    most: number = Infinity,
  ): Promise<Logits> {
    return await (await this.encode(histories, most)).read() as Logits;
  }

  /**
   * Queues what {@linkcode Generation.advance} does, and returns the buffer of the logits. A row without a history
   * computes something that nobody reads, after its cached tokens or, if the cache is full, in the place of the last.
   */
  async encode(
    histories: readonly (readonly number[] | undefined)[],
    most: number,
  ): Promise<DeviceBuffer> {
    const lengths = histories.map((history) => history?.length);
    const { runner, spans, T } = await this.#begin(lengths, {
      most,
      onSlide: this.#onSlide,
    });
    const tokens = new Int32Array(this.#rows * T);
    spans.forEach(({ from, to }, row) =>
      tokens.set(histories[row]?.slice(from, to) ?? [], row * T)
    );
    const { program } = runner;
    program.buffer("tokens").write(tokens);
    await this.#run(runner);
    return program.buffer("logits");
  }

  /**
   * Queues the choice of `count` tokens of each text on the device, where the texts have these lengths; of a row without a
   * length the tokens are of no use. Needs plans with `chooses`, and the texts in their stores.
   *
   * @returns the slides of windows, each with the index of the token that is chosen after it
   */
  async choose(
    lengths: readonly (number | undefined)[],
    count: number,
  ): Promise<(Slide & { readonly token: number })[]> {
    const { blockSize } = this.#model.config;
    const slides: (Slide & { readonly token: number })[] = [];
    for (let token = 0; token < count;) {
      const { runner, T } = await this.#begin(
        lengths.map((length) => length === undefined ? length : length + token),
        { onSlide: (slide) => slides.push({ ...slide, token }) },
      );
      const used = this.#window.filter((_, row) => lengths[row] !== undefined);
      const fullest = Math.max(...used.map(({ cached }) => cached));
      // With one token in each row a run leaves everything ready for the next, until a window is full.
      const { program, isCut } = runner;
      const runs = T > 1 || isCut
        ? 1
        : Math.min(count - token, blockSize - fullest + 1);
      if (isCut) {
        program.run(["fetch"]);
        await this.#run(runner, ["choose"]);
      } else {
        // A token is drawn where the next run reads it.
        const again = [program.plan.name, "choose"];
        const all = Array.from({ length: runs }, () => again).flat();
        program.run(["fetch", ...all]);
      }
      for (const window of used) window.cached += runs - 1;
      token += runs;
    }
    return slides;
  }

  /** Begins a run after texts of these lengths: lets windows slide, and writes where the new tokens go. */
  async #begin(lengths: readonly (number | undefined)[], { most, onSlide }: {
    readonly most?: number;
    readonly onSlide: ((slide: Slide) => void) | undefined;
  }): Promise<{ runner: PartRunner; spans: Span[]; T: number }> {
    const { blockSize } = this.#model.config;
    const spans = lengths.map((length, row): Span => {
      if (length === undefined) return { from: 0, to: 1 };
      const from = this.#encoded(row, length, onSlide);
      return { from, to: Math.min(length, from + (most ?? Infinity)) };
    });
    const counts = spans.map(({ from, to }) => to - from);
    const T = paddedLength(Math.max(...counts), blockSize);
    const runner = await this.#program(T);
    const { program } = runner;
    const starts = this.#window.map(({ cached }, row) =>
      lengths[row] === undefined ? Math.min(cached, blockSize - 1) : cached
    );
    program.buffer("start").write(starts);
    program.buffer("count").write(counts);
    this.#window.forEach((window, row) => {
      if (lengths[row] !== undefined) window.cached += counts[row]!;
    });
    return { runner, spans, T };
  }

  /** Returns how many tokens of a text of this length are encoded or forgotten. Its window slides before, if it has to. */
  #encoded(
    row: number,
    length: number,
    onSlide: ((slide: Slide) => void) | undefined,
  ): number {
    if (!isCausal(this.#model.config)) this.#window[row]!.cached = 0;
    const forgotten = this.#slide(length, row);
    if (forgotten > 0) onSlide?.({ row, forgotten });
    const { begin, cached } = this.#window[row]!;
    return begin + cached;
  }

  /** Returns how many tokens are to be encoded for a history of this length. Its window slides before, if it has to. */
  pending(row: number, length: number): number {
    return length - this.#encoded(row, length, this.#onSlide);
  }

  /** Adds what a row of another generation of the model has encoded beyond what this row has of the same text. */
  async takeRow(row: number, from: Generation, fromRow: number): Promise<void> {
    const other = from.#window[fromRow]!;
    const { cached } = this.#window[row]!;
    const count = other.cached - cached;
    this.#window[row] = { ...other };
    if (count <= 0) return;
    await Promise.all([this.#program(1), from.#program(1)]); // which make the caches
    const caches = this.#stores.entries()
      .filter(([name]) => name.endsWith(".cache"));
    for (const [name, cache] of caches) {
      const size = cache.spec.length / this.#rows; // of a row
      const width = size / this.#model.config.blockSize; // of a position
      const at = cached * width;
      cache.copy(from.#stores.get(name)!, {
        from: fromRow * size + at,
        to: row * size + at,
        length: count * width,
      });
    }
  }

  /** Returns how many tokens of a row can be encoded before its window slides. */
  room(row: number): number {
    return this.#model.config.blockSize - this.#window[row]!.cached;
  }

  /** Keeps of a row what a text of this length has encoded before its last token. */
  rewind(row: number, length: number): void {
    const window = this.#window[row]!;
    window.cached = length - 1 - window.begin;
  }

  /** Returns the logits (rows, V) that the last tokens were chosen from, one a row. */
  async logits(): Promise<Logits> {
    const { program } = await this.#program(1);
    return await program.buffer("logits").read() as Logits;
  }

  /** Returns whether the cache of a row reaches the end of a history of this length. */
  holds(row: number, length: number): boolean {
    const { begin, cached } = this.#window[row]!;
    return begin + cached === length;
  }

  /** Returns where the window of each row begins in its history. */
  begins(): number[] {
    return this.#window.map(({ begin }) => begin);
  }

  /** Empties the cache of a row, for another text or for this one from `begin` on. */
  reset(row: number, begin = 0): void {
    this.#window[row] = { cached: 0, begin };
  }

  /** Returns a store of the plans. */
  async store(name: string): Promise<DeviceBuffer> {
    const [T] = this.#plans.keys();
    await this.#program(T!); // which creates the stores
    return this.#stores.get(name)!;
  }

  /** Slides the window of a row if a text of this length does not fit; returns the number of tokens that it drops. */
  #slide(length: number, row: number): number {
    const { blockSize } = this.#model.config;
    const window = this.#window[row]!;
    if (length - window.begin <= blockSize) return 0;
    // A prompt may fill the whole window. A growing text keeps half of it free, so that
    // one encoding of the window serves many tokens.
    const kept = window.cached === 0 ? blockSize : halfOf(blockSize);
    const begin = length - kept;
    const forgotten = begin - window.begin;
    this.#window[row] = { begin, cached: 0 };
    return forgotten;
  }

  /** Runs the network, then the phases `after` it; on a GPU in several submissions if it takes long. */
  async #run(runner: PartRunner, after: readonly string[] = []): Promise<void> {
    const isOver = () => !!this.#signal?.aborted;
    await runner.run({ isOver, after });
  }

  async #program(T: number): Promise<PartRunner> {
    let runner = this.#programs.get(T);
    if (runner === undefined) {
      const { config, executor, layout } = this.#model;
      const shape = { B: this.#rows, T };
      const plan = this.#plans.get(T) ?? cachedPlan(config, shape);
      const flops = this.#rows * T * flopsPerToken(config, layout) / 3;
      // The CPU engine takes several texts through the whole plan at once.
      const isGpu = executor.kind === "webgpu";
      const cut = isGpu ? cutPlan(plan, plan.name, flops) : plan;
      const program = await this.#model.bind(cut, this.#stores);
      runner = new PartRunner(program, executor, plan.name);
      this.#programs.set(T, runner);
    }
    return runner;
  }

  destroy(): void {
    for (const { program } of this.#programs.values()) program.destroy();
    for (const store of this.#stores.values()) {
      if (!this.#shared.has(store)) store.destroy();
    }
  }
}

/**
 * Returns whether no position depends on later ones, so that cached keys and values stay valid.
 * A finite mask gives no guarantee: it has no effect on scores far above its value.
 */
export function isCausal({ attention, mask }: ModelConfig): boolean {
  return !attention || mask === "causal";
}
