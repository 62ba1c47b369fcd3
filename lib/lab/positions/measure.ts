/** Measurements of the study of positions on a trained model, as plain data. */

import { Model } from "../../model/model.ts";
import type { Outcome } from "../outcome.ts";
import type { Trial } from "../plan.ts";
import { runTrial, splitsOf, type TrialRoom } from "../trial.ts";
import { lengthened, lossByPosition } from "./losses.ts";
import { LONGER } from "./plan.ts";
import { fitProbes, readProbes } from "./probes.ts";
import { orderChange } from "./order.ts";
import { attentionSpread } from "./spread.ts";
import {
  constantWindows,
  shuffledWindows,
  spreadWindows,
  type Windows,
} from "./windows.ts";
import type { Tokens } from "../../text/tokens.ts";

/** Scores of a probe that reads positions at one part of a model. See `Reading` in `probes.ts`. */
export interface PartResult {
  readonly part: string;
  readonly r2: number;
  /** Mean error, in tokens. */
  readonly error: number;
  /** R² of the probe that was fitted to shuffled positions. */
  readonly shuffledR2: number;
  /** R² of a probe of the same model before training. */
  readonly untrainedR2: number;
  readonly untrainedError: number;
  /** R² of the same probe on the same windows with their tokens in random order. */
  readonly shuffledTextR2: number;
  /** Largest less smallest reading of the same probe on windows of one repeated token, in tokens. */
  readonly constantTextRange: number;
  /** Mean readings at each position of held-out text (T). */
  readonly means: readonly number[];
  readonly deviations: readonly number[];
}

/** Measurements on one model. */
export interface PositionMeasures {
  /** Scores of the probes by part, in the order in which a token passes the parts. */
  readonly probes: readonly PartResult[];
  /** The loss at each position (T), in nats. */
  readonly losses: readonly number[];
  /**
   * The losses of the same weights with a context `LONGER` times as long; null if the context
   * cannot be made longer.
   */
  readonly longLosses: readonly number[] | null;
  /** Reason why the context cannot be made longer. */
  readonly refused?: string;
  /** Variance of the first attention's output at each position (T), trained and untrained. */
  readonly spread: readonly number[];
  readonly untrainedSpread: readonly number[];
  /** Largest change of the last token's logits when the tokens before it change places. */
  readonly orderChange: number;
}

/** The result of a trial of this study. */
export interface PositionOutcome extends Outcome {
  /** The measurements; absent if the trial diverged. */
  readonly positions?: PositionMeasures;
}

/** Numbers of windows that probes are fitted on and scored on; losses are measured on the whole held-out text. */
const counts = { fit: 256, score: 256, spread: 256 };

/** Trains a model and measures it. */
export async function runPositionTrial(
  trial: Trial,
  room: TrialRoom,
): Promise<PositionOutcome> {
  const { seed } = trial;
  let positions: PositionMeasures | undefined;
  const outcome = await runTrial(trial, {
    ...room,
    onTrained: async (model) => {
      positions = await measure(model, {
        ...splitsOf(room.tokens),
        seed,
        signal: room.signal,
      });
    },
  });
  return { ...outcome, ...(positions && { positions }) };
}

interface Given {
  readonly training: Tokens;
  readonly heldOut: Tokens;
  /** The model's seed, which repeats its weights before training. */
  readonly seed: number;
  readonly signal: AbortSignal | undefined;
}

async function measure(
  model: Model,
  { training, heldOut, seed, signal }: Given,
): Promise<PositionMeasures> {
  const { backend, config } = model;
  const { blockSize: T, vocabSize } = config;
  await using untrained = await Model.create(config, { backend, seed });
  const fit = spreadWindows(training, { T, atMost: counts.fit });
  const text = spreadWindows(heldOut, { T, atMost: counts.score });
  const read = async (of: Model) => {
    const probes = await fitProbes(of, fit, { seed, signal });
    const options = { seed, signal };
    return {
      probes,
      readings: await readProbes(of, probes, { windows: text, ...options }),
    };
  };
  const trained = await read(model);
  const before = await read(untrained);
  const onText = async (windows: typeof text) =>
    await readProbes(model, trained.probes, { windows, seed, signal });
  const shuffled = await onText(shuffledWindows(text, seed));
  const constant = await onText(constantWindows(vocabSize, T));
  const spreadText = spreadWindows(heldOut, { T, atMost: counts.spread });
  const spreadOf = async (of: Model) =>
    rounded(await attentionSpread(of, spreadText, signal));
  const losses = await lossByPosition(
    model,
    wholeText(heldOut, T),
    signal,
  );
  return {
    probes: trained.readings.map((reading, i) => ({
      part: reading.part,
      r2: short(reading.r2),
      error: short(reading.error),
      shuffledR2: short(reading.shuffledR2),
      untrainedR2: short(before.readings[i]!.r2),
      untrainedError: short(before.readings[i]!.error),
      shuffledTextR2: short(shuffled[i]!.r2),
      constantTextRange: short(
        Math.max(...constant[i]!.means) - Math.min(...constant[i]!.means),
      ),
      means: rounded(reading.means),
      deviations: rounded(reading.deviations),
    })),
    losses: rounded(losses),
    ...await longLosses(model, heldOut, signal),
    spread: await spreadOf(model),
    untrainedSpread: await spreadOf(untrained),
    orderChange: short(
      (await orderChange(model, text.tokens.slice(0, T))).largest,
    ),
  };
}

async function longLosses(
  model: Model,
  heldOut: Tokens,
  signal: AbortSignal | undefined,
): Promise<Pick<PositionMeasures, "longLosses" | "refused">> {
  const T = LONGER * model.config.blockSize;
  let long: Model;
  try {
    long = await lengthened(model, T);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { longLosses: null, refused: error.message };
  }
  await using reader = long;
  const losses = await lossByPosition(reader, wholeText(heldOut, T), signal);
  return { longLosses: rounded(losses) };
}

/** Returns the windows of a text, one after the other. */
function wholeText(text: Tokens, T: number): Windows {
  return spreadWindows(text, { T, atMost: Math.floor((text.length - 1) / T) });
}

/** Rounds a value to five digits, because a committed study is read more often than it is computed with. */
function short(value: number): number {
  return Number(value.toPrecision(5));
}

function rounded(values: Iterable<number>): number[] {
  return Array.from(values, short);
}
