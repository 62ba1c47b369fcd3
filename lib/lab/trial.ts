/** One trial of a study: a model is made, trained, measured and freed. */

import type { Backend } from "../backends/backend.ts";
import { continuations } from "../checks/leaks.ts";
import { type ModelConfig, modelConfig } from "../config/model.ts";
import { type TrainConfig, trainConfig } from "../config/train.ts";
import { Dataset, type DatasetOptions, trainSize } from "../text/dataset.ts";
import { Model } from "../model/model.ts";
import { NonFiniteError } from "../train/metrics.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { Trainer } from "../train/trainer.ts";
import type { Outcome } from "./outcome.ts";
import type { Setting, Trial } from "./plan.ts";
import { type Examiner, isCausal, measureOwnText } from "./works.ts";
import type { Tokens } from "../text/tokens.ts";

/** Resources that all trials of a process share. */
export interface TrialRoom {
  /** The device that computes. */
  readonly backend: Backend;
  /** The tokenizer of the text. */
  readonly tokenizer: Tokenizer;
  /** Tokens of the whole text. */
  readonly tokens: Tokens;
  /** True to keep a sample of the model's text. */
  readonly sample?: boolean | undefined;
  /** The measure of a model's text; if left out, the text is not measured. With it a sample is kept too. */
  readonly examiner?: Examiner | undefined;
  /** Ends a trial early; then it has no outcome. */
  readonly signal?: AbortSignal | undefined;
  /** Called after each step. */
  readonly onStep?: ((step: number, maxSteps: number) => void) | undefined;
  /** Called with each trained model before it is freed, but not if its training diverged. */
  readonly onTrained?: ((model: Model) => Promise<void>) | undefined;
}

/**
 * A sample: tokens of its prompt, which is the beginning of the held-out text, tokens that are
 * kept, and their seed.
 */
const SAMPLE = { prompt: 100, tokens: 300, seed: 1 } as const;

/** Splits a text into the part that may be trained on and the part that validates. */
export function splitsOf(
  tokens: Tokens,
): { training: Tokens; heldOut: Tokens } {
  const size = trainSize(tokens.length);
  return { training: tokens.subarray(0, size), heldOut: tokens.subarray(size) };
}

/** Returns the configurations of a trial's model and training, for a tokenizer. */
export function trainingOf(
  { model, train }: Setting,
  { vocabSize }: Pick<Tokenizer, "vocabSize">,
): { readonly model: ModelConfig; readonly train: TrainConfig } {
  return {
    model: modelConfig({ ...model, vocabSize }),
    train: trainConfig({
      evalInterval: 0,
      sampleInterval: 0,
      checkpointInterval: 0,
      ...train,
    }),
  };
}

/**
 * Runs a trial. A trial that diverges has an outcome too.
 *
 * @throws the signal's reason if it is aborted: then there is no outcome
 */
export async function runTrial(
  trial: Trial,
  room: TrialRoom,
): Promise<Outcome> {
  const { backend, tokenizer, tokens, signal, onStep } = room;
  const begun = performance.now();
  const { seed, setting } = trial;
  const { model: config, train } = trainingOf(setting, tokenizer);
  const { blockSize } = config;
  const { batchSize } = train;
  const options = { blockSize, batchSize, seed };
  const dataset = shareOf(tokens, setting.dataShare, options);
  await using model = await Model.create(config, { backend, seed });
  const trainer = new Trainer(model, dataset, {
    ...train,
    tokenizer,
    evalTokens: Infinity, // outcomes are of the whole split
  });
  const curve: Outcome["curve"][number][] = [];
  let bitsPerChar: number | null = null;
  let diverged: Outcome["diverged"];
  let tokensPerSecond = 0;
  try {
    for await (const event of trainer.run({ signal })) {
      if (event.kind === "step") {
        tokensPerSecond = Math.max(tokensPerSecond, event.tokensPerSecond);
        onStep?.(event.step, train.maxSteps);
      } else if (event.kind === "eval") {
        const { step, trainLoss, valLoss } = event;
        curve.push({ step, trainLoss, valLoss });
        bitsPerChar = event.bitsPerChar;
      }
    }
  } catch (error) {
    if (!(error instanceof NonFiniteError)) throw error;
    diverged = { step: error.step, message: error.message };
  }
  signal?.throwIfAborted();
  const written = diverged === undefined ? await write(model, room) : {};
  if (diverged === undefined) await room.onTrained?.(model);
  const last = diverged === undefined ? curve.at(-1) : undefined;
  const seen = trainer.step * train.gradAccumulation * batchSize * blockSize;
  return {
    ...trial,
    parameters: model.parameterCount,
    steps: trainer.step,
    tokens: seen,
    flops: seen * model.flopsPerToken,
    valLoss: last?.valLoss ?? null,
    bitsPerChar: last === undefined ? null : bitsPerChar,
    trainLoss: last?.trainLoss ?? null,
    curve,
    ...written,
    ...(diverged && { diverged }),
    seconds: (performance.now() - begun) / 1000,
    tokensPerSecond,
  };
}

/** Makes a model write the texts to measure and to keep. */
async function write(
  model: Model,
  { tokenizer, tokens, examiner, sample, signal }: TrialRoom,
): Promise<Pick<Outcome, "causal" | "own" | "sample">> {
  if (!sample && examiner === undefined) return {};
  const { heldOut } = splitsOf(tokens);
  const causal = await isCausal(model, heldOut);
  const decode = (text: Int32Array) =>
    tokenizer.decode(text.subarray(0, SAMPLE.tokens));
  if (examiner !== undefined) {
    const { own, texts: [first] } = await measureOwnText(model, {
      examiner,
      heldOut,
      signal,
    });
    return { causal, own, sample: decode(first!) };
  }
  const prompt = heldOut.subarray(0, SAMPLE.prompt);
  const [text] = await continuations(model, [prompt], { ...SAMPLE, signal });
  return { causal, sample: decode(text!) };
}

/**
 * Returns the dataset with only a share of its training text: the end of it, next to the
 * validation split, which stays as it is.
 */
export function shareOf(
  tokens: Tokens,
  share: number,
  options: DatasetOptions,
  Kind: typeof Dataset = Dataset,
): Dataset {
  const whole = splitsOf(tokens).training.length;
  const kept = Math.max(1, Math.round(whole * share));
  const rest = tokens.subarray(whole - kept);
  // Between two counts, so that rounding does not move the cut.
  const trainFraction = (kept + 0.5) / rest.length;
  return new Kind(rest, { ...options, trainFraction });
}
