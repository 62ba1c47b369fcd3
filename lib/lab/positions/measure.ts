/** Measurements of the study of positions on a trained model, as plain data. */

import { Model } from "../../model/model.ts";
import type { Outcome } from "../outcome.ts";
import type { Trial } from "../plan.ts";
import { runTrial, splitsOf, type TrialRoom } from "../trial.ts";
import { attentionSpread, lengthened, lossByPosition } from "./inner_values.ts";
import { LONGER } from "./plan.ts";
import { fitProbes, type Reading, readProbes } from "./probes.ts";
import { orderChange } from "./order.ts";
import {
  constantWindows,
  shuffledWindows,
  spreadWindows,
  type Windows,
} from "./windows.ts";
import type { Tokens } from "../../text/tokens.ts";

/** Scores of a probe that reads positions at one part of a model, with its controls. */
export interface PartResult extends Reading {
  /** R² of a probe of the same model before training. */
  readonly untrainedR2: number;
  readonly untrainedError: number;
  /** R² of the same probe on the same windows with their tokens in random order. */
  readonly shuffledTextR2: number;
  /** Largest less smallest reading of the same probe on windows of one repeated token, in tokens. */
  readonly constantTextRange: number;
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

/** Number of windows that probes are fitted on and scored on; losses are measured on the whole held-out text. */
const WINDOWS = 256;

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

async function measure(
  model: Model,
  { training, heldOut, seed, signal }: {
    readonly training: Tokens;
    readonly heldOut: Tokens;
    /** The model's seed, which repeats its weights before training. */
    readonly seed: number;
    readonly signal: AbortSignal | undefined;
  },
): Promise<PositionMeasures> {
  const { backend, config } = model;
  const { blockSize: T, vocabSize } = config;
  await using untrained = await Model.create(config, { backend, seed });
  const fit = spreadWindows(training, { T, atMost: WINDOWS });
  const text = spreadWindows(heldOut, { T, atMost: WINDOWS });
  const probes = await fitProbes(model, fit, { seed, signal });
  const read = (windows: Windows) =>
    readProbes(model, probes, { windows, seed, signal });
  const readings = await read(text);
  const before = await readProbes(
    untrained,
    await fitProbes(untrained, fit, { seed, signal }),
    { windows: text, seed, signal },
  );
  const shuffled = await read(shuffledWindows(text, seed));
  const constant = await read(constantWindows(vocabSize, T));
  return rounded({
    probes: readings.map(({ means, deviations, ...scores }, i) => ({
      ...scores,
      untrainedR2: before[i]!.r2,
      untrainedError: before[i]!.error,
      shuffledTextR2: shuffled[i]!.r2,
      constantTextRange: Math.max(...constant[i]!.means) -
        Math.min(...constant[i]!.means),
      ...{ means, deviations },
    })),
    losses: await lossByPosition(model, wholeText(heldOut, T), signal),
    ...await longLosses(model, heldOut, signal),
    spread: await attentionSpread(model, text, signal),
    untrainedSpread: await attentionSpread(untrained, text, signal),
    orderChange: (await orderChange(model, text.tokens.slice(0, T))).largest,
  });
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
  const text = wholeText(heldOut, T);
  return { longLosses: await lossByPosition(reader, text, signal) };
}

/** Returns the windows of a text, one after the other. */
function wholeText(text: Tokens, T: number): Windows {
  return spreadWindows(text, { T, atMost: Math.floor((text.length - 1) / T) });
}

/** Rounds all numbers to five digits, because a committed study is read more often than it is computed with. */
function rounded<Value>(value: Value): Value {
  const text = JSON.stringify(
    value,
    (_, part) => typeof part === "number" ? Number(part.toPrecision(5)) : part,
  );
  return JSON.parse(text);
}
