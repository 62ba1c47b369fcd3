/**
 * Generation for many readers at once: a text joins a running batch when it arrives and leaves it
 * when it ends, so that nobody waits for another's text to end. Each text has a row of the batch
 * while it runs, with a sampler, a length and a signal of its own. Its tokens are those of
 * `Model.generate`. On a GPU the device chooses them, in blocks (`chosen_tokens.ts`).
 *
 * One row is a separate batch, so a single text does not pay for unused rows. The other rows share a
 * batch, and a reader encodes their prompts beside it.
 */

import type { Backend } from "../backends/backend.ts";
import type { ModelConfig } from "../config/model.ts";
import type { Plan } from "../graph/plan.ts";
import { checkWithin, positive } from "../range.ts";
import type { Logits } from "../text/sampler.ts";
import { blockLength, firstTokens, writeText } from "./chosen_tokens.ts";
import {
  checkGeneration,
  type GenerateOptions,
  type TokenGenerator,
} from "./generate.ts";
import { Generation, isCausal, paddedLength } from "./generation.ts";
import { internalsOf, type ModelInternals } from "./internals.ts";
import { cachedPlan, textSlots } from "./plans.ts";
import { PIECE, PromptReader } from "./prompt_reader.ts";
import { RunningText } from "./running_text.ts";

/** Most prompts that a step reads a piece of. */
const MOST_READ = 4;

/** Continues prompts that come and go, in the rows of one batch. */
export class RunningBatch implements TokenGenerator {
  /** Architecture of the model. */
  readonly config: ModelConfig;
  /** Number of texts that are generated at a time. */
  readonly rows: number;
  readonly #backend: Backend;
  readonly #lanes: readonly Lane[];
  /** Texts without a row, in the order of their arrival. */
  readonly #waiting = new Set<RunningText>();
  #isRunning = false;

  /**
   * Creates a batch without texts.
   *
   * @param model a `Model`; it must live as long as the batch
   * @param options.rows number of texts that are generated at a time
   * @throws {RangeError} if `rows` is not an integer of at least 1
   * @throws {OutOfMemoryError} if the rows do not fit into memory
   */
  constructor(
    model: { readonly config: ModelConfig },
    { rows }: { readonly rows: number },
  ) {
    checkWithin(positive, "create RunningBatch", { rows });
    const internals = internalsOf(model);
    this.config = model.config;
    this.#backend = internals.executor;
    this.rows = rows;
    const sizes = rows === 1 ? [1] : [1, rows - 1];
    // A read waits for the queue of a GPU, in Deno for 10 ms and more.
    const chooses = internals.executor.kind === "webgpu" &&
      isCausal(model.config);
    const plans = sizes.map((B) => lanePlans(model.config, B, { chooses }));
    // The reader of the second lane has the plans of the first lane, and separate caches.
    const groups = rows === 1 ? plans : [...plans, plans[0]!];
    internals.checkRoomFor(
      "generate",
      groups.map((plans) => [...plans.values()]),
    );
    this.#lanes = sizes.map((B, i) =>
      new Lane(internals, B, { own: plans[i]!, single: plans[0]!, chooses })
    );
  }

  /** Number of texts that have a row. */
  get active(): number {
    return this.#lanes.reduce((sum, { active }) => sum + active, 0);
  }

  /** Number of texts that wait for a row. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Continues a prompt and yields one id at a time, as `Model.generate` does. Tokens are generated
   * whether or not the caller has taken the earlier ones. An abort of the signal, or the end of the
   * caller's loop, frees the row before the next token or, on a GPU, the next block of tokens.
   *
   * @throws {RangeError} if the prompt is empty or has an id outside the vocabulary, or an option is out of range
   */
  async *generate(
    prompt: ArrayLike<number>,
    options: GenerateOptions,
  ): AsyncGenerator<number, void> {
    checkGeneration(this.config, [prompt], options);
    const text = new RunningText(prompt, options);
    if (text.isOver) return;
    this.#waiting.add(text);
    if (!this.#isRunning) void this.#run();
    try {
      yield* text.ids();
    } finally {
      text.end();
      this.#waiting.delete(text);
    }
  }

  /** Takes steps until no text is left. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    const turn = new Turn();
    // Every text gets as many tokens in a turn, those of a few dozen milliseconds.
    let length = firstTokens(this.config, this.rows);
    try {
      while (this.#seat()) {
        const begun = performance.now();
        let most = 0;
        for (const lane of this.#lanes) {
          if (lane.active > 0) most = Math.max(most, await lane.step(length));
        }
        if (most > 0) length = blockLength(most, performance.now() - begun);
        else await this.#backend.finish(); // queued work cannot be cancelled
        // Readers take their tokens, and requests arrive and are cancelled.
        await turn.wait();
      }
    } catch (error) {
      for (const lane of this.#lanes) lane.fail(error);
      for (const text of this.#waiting) text.end(error);
      this.#waiting.clear();
    } finally {
      turn.close();
      this.#isRunning = false;
    }
  }

  /** Frees the rows of texts that are over and gives them to those that wait; returns whether any text has a row. */
  #seat(): boolean {
    for (const lane of this.#lanes) {
      lane.clear();
      for (const text of this.#waiting) {
        if (!lane.hasRoom) break;
        this.#waiting.delete(text);
        if (!text.isOver) lane.seat(text);
      }
    }
    return this.active > 0;
  }

  /** Frees the memory of all rows. Texts that still run end with an error. */
  destroy(): void {
    for (const text of this.#waiting) text.end();
    this.#waiting.clear();
    for (const lane of this.#lanes) lane.destroy();
  }
}

/** Returns the plans of a batch, keyed by T, the padded number of tokens encoded per run. With `chooses` that of single tokens chooses the next. */
function lanePlans(
  config: ModelConfig,
  B: number,
  { chooses }: { readonly chooses: boolean },
): Map<number, Plan> {
  const { blockSize } = config;
  // A reader reads prompts for several rows.
  const longest = !isCausal(config)
    ? blockSize
    : B > 1
    ? 1
    : Math.min(PIECE, blockSize);
  const lengths = Array.from(
    { length: longest },
    (_, i) => paddedLength(i + 1, blockSize),
  );
  return new Map(
    [...new Set(lengths)].map((T) => [
      T,
      cachedPlan(config, { B, T }, { chooses: chooses && T === 1 }),
    ]),
  );
}

/** A batch of a fixed number of rows, each with a text or free. */
class Lane {
  readonly #generation: Generation;
  /** Reads prompts for several rows; undefined if each row encodes its own. */
  readonly #reader: PromptReader | undefined;
  readonly #texts: (RunningText | undefined)[];
  readonly #most: number;
  readonly #config: ModelConfig;
  readonly #chooses: boolean;
  /** For each row, the text that the device has the end of, and its length. */
  readonly #onDevice: {
    readonly text: RunningText;
    readonly length: number;
  }[] = [];
  /** Row whose prompt was read last. */
  #lastRead = 0;

  /**
   * @param plans.own plans of all rows
   * @param plans.single plans of one row
   * @param plans.chooses true if the plans of single tokens choose the next
   */
  constructor(model: ModelInternals, rows: number, plans: {
    readonly own: ReadonlyMap<number, Plan>;
    readonly single: ReadonlyMap<number, Plan>;
    readonly chooses: boolean;
  }) {
    this.#chooses = plans.chooses;
    this.#generation = new Generation(model, {
      rows,
      plans: plans.own,
      onSlide: ({ row, forgotten }) =>
        this.#texts[row]?.onSlide?.({ row: 0, forgotten }),
    });
    const causal = isCausal(model.config);
    if (causal && rows > 1) {
      this.#reader = new PromptReader(model, this.#generation, plans.single);
    }
    this.#texts = new Array(rows).fill(undefined);
    // Without a causal mask every token encodes its whole window again.
    this.#most = causal ? PIECE : Infinity;
    this.#config = model.config;
  }

  get active(): number {
    return this.#texts.filter((text) => text?.isOver === false).length;
  }

  get hasRoom(): boolean {
    return this.#texts.includes(undefined);
  }

  seat(text: RunningText): void {
    this.#texts[this.#texts.indexOf(undefined)] = text;
  }

  /** Frees the rows of texts that are over. */
  clear(): void {
    this.#texts.forEach((text, row) => {
      if (!text?.isOver) return;
      this.#texts[row] = undefined;
      this.#generation.reset(row);
      this.#reader?.forget(row);
    });
  }

  /** Ends all texts with an error. */
  fail(error: unknown): void {
    for (const text of this.#texts) text?.end(error);
    this.clear();
  }

  /**
   * Generates tokens of each text whose history is encoded, and encodes a part of the others.
   *
   * @param most most tokens that the device chooses of a text
   * @returns how many tokens of a text were generated
   */
  async step(most: number): Promise<number> {
    if (this.#reader !== undefined) await this.#read(this.#reader);
    const texts = this.#texts.map((text, row) =>
      text?.isOver === false &&
        (this.#reader === undefined || this.#pending(row) === 1)
        ? text
        : undefined
    );
    if (!texts.some((text) => text !== undefined)) return 0;
    const isRead = () =>
      texts.every((text, row) =>
        text === undefined || this.#pending(row) === 1
      );
    if (this.#chooses) {
      if (!isRead()) {
        const histories = texts.map((text) => text?.history.slice(0, -1));
        await this.#generation.encode(histories, this.#most);
      }
      return isRead() ? await this.#choose(texts, most) : 0;
    }
    const histories = texts.map((text) => text?.history);
    const logits = await this.#generation.advance(histories, this.#most);
    texts.forEach((text, row) => {
      if (text === undefined) return;
      if (!this.#generation.holds(row, text.history.length)) return;
      text.extend(this.#rowOf(logits, row));
    });
    return 1;
  }

  #rowOf(logits: Logits, row: number): Logits {
    const V = this.#config.vocabSize;
    return logits.subarray(row * V, (row + 1) * V);
  }

  /**
   * Lets the device choose tokens of texts of which all but the last token is encoded: several of each, or one if the host
   * draws those of any text. Returns how many.
   */
  async #choose(
    texts: readonly (RunningText | undefined)[],
    most: number,
  ): Promise<number> {
    const generation = this.#generation;
    const seated = [...texts.entries()].flatMap(([row, text]) =>
      text === undefined
        ? []
        : [{ row, text, length: text.history.length, isPlain: text.isPlain }]
    );
    const onHost = seated.some(({ isPlain }) => !isPlain);
    const count = onHost ? 1 : Math.min(
      ...[most, Math.max(...seated.map(({ text }) => text.left))],
      ...seated.map(({ row }) => generation.room(row)),
    );
    for (const { row, text, length } of seated) {
      const known = this.#onDevice[row];
      if (known?.text === text && known.length === length) continue;
      await writeText(generation, this.#config, { row, ...text.written });
    }
    await generation.choose(texts.map((text) => text?.history.length), count);
    const store = await generation.store("text");
    const [ids, logits] = await Promise.all([
      store.read(),
      onHost ? generation.logits() : undefined,
    ]);
    const S = textSlots(this.#config);
    for (const { row, text, length, isPlain } of seated) {
      delete this.#onDevice[row];
      if (!isPlain) {
        text.extend(this.#rowOf(logits!, row));
        continue;
      }
      for (let at = length; at < length + count && !text.isOver; at++) {
        const id = ids[row * S + at % S]!;
        if (id >= 0) {
          text.take(id);
          continue;
        }
        // A logit is not finite: the host judges it in the next step.
        text.isPlain = false;
        generation.rewind(row, at);
        break;
      }
      this.#onDevice[row] = { text, length: length + count };
    }
    return count;
  }

  /** Reads a piece of some prompts, in turn. */
  async #read(reader: PromptReader): Promise<void> {
    const { length } = this.#texts;
    const inTurn = this.#texts.map((_, i) => (this.#lastRead + 1 + i) % length);
    const unread = inTurn.filter((row) => this.#pending(row) > 1);
    for (const row of unread.slice(0, MOST_READ)) {
      this.#lastRead = row;
      const text = this.#texts[row]!;
      // Where the device chooses tokens, the last token is encoded with those of the other rows.
      const history = this.#chooses ? text.history.slice(0, -1) : text.history;
      const logits = await reader.read(row, history);
      if (this.#chooses || logits === undefined) continue;
      text.extend(await logits.read() as Logits);
    }
  }

  /** Returns how many tokens of a row's text are not encoded. */
  #pending(row: number): number {
    const text = this.#texts[row];
    if (text === undefined || text.isOver) return 0;
    return this.#generation.pending(row, text.history.length);
  }

  destroy(): void {
    for (const text of this.#texts) text?.end();
    this.#generation.destroy();
    this.#reader?.destroy();
  }
}

/** Yields to the event loop, sooner than a timer would: a timer waits for at least a millisecond. */
class Turn {
  readonly #channel = new MessageChannel();

  wait(): Promise<void> {
    const { port1, port2 } = this.#channel;
    return new Promise((resolve) => {
      port1.onmessage = () => resolve();
      port2.postMessage(0);
    });
  }

  close(): void {
    this.#channel.port1.close();
    this.#channel.port2.close();
  }
}
