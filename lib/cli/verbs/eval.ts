/** `eval`: measures a trained model's loss on a whole split of a text. */

import { evaluationWork } from "../../checks/device_choice.ts";
import { batchesWithin, evalWindows, trainSize } from "../../text/dataset.ts";
import { charactersIn } from "../../text/tokenizer.ts";
import type { Tokens } from "../../text/tokens.ts";
import type { Arguments } from "../command/arguments.ts";
import { corpusName } from "../text/corpus.ts";
import { deviceName } from "./device_name.ts";
import { commandError, exitCode, usageError } from "../command/errors.ts";
import { Interrupt } from "../terminal/interrupt.ts";
import { placementFor } from "./placement.ts";
import { count } from "../../report/numbers.ts";
import {
  forOutput,
  StatusLine,
  writeError,
  writeOutput,
} from "../terminal/terminal.ts";
import { OpenedModel, textOf, tokenizerOf } from "./trained_model.ts";
import type { EvalFlags, EvalSplit } from "./flags.ts";

/** Evaluates; returns the exit code. */
export async function evaluate(
  { flags, operand }: Arguments<EvalFlags>,
): Promise<number> {
  using interrupt = new Interrupt();
  using trained = await OpenedModel.open(operand, { best: flags.best });
  const { config, training } = trained.checkpoint;
  const blockSize = flags.blockSize ?? config.blockSize;
  const batchSize = flags.batchSize ?? 16;
  if (blockSize > config.blockSize) {
    throw usageError(
      "evaluate",
      `--block-size (${blockSize}) is above the model's own (${config.blockSize})`,
    );
  }
  const tokenizer = tokenizerOf(trained);
  const { signal } = interrupt;
  const documents = flags.documentSeparator;
  if (documents !== undefined && flags.data === undefined) {
    throw usageError(
      "use --document-separator without --data",
      "the run's own text is read as in training",
    );
  }
  const textOptions = { tokenizer, signal, documents };
  const { tokens, record } = await textOf(trained, flags.data, textOptions);
  const isOther = trained.data !== undefined &&
    trained.data.sha256 !== record.sha256;
  const split = flags.split ?? (isOther ? "all" : "val");
  const name = corpusName(record);
  const part = partOf(tokens, { split, name });
  await using model = await trained.load(
    await placementFor(evaluationWork(trained.checkpoint, batchSize), flags),
  );
  writeError(`${trained.path} on ${deviceName(model.backend)}\n`);

  const status = new StatusLine();
  const shape = { blockSize, batchSize };
  const limit = flags.evalTokens || Infinity;
  const maxBatches = batchesWithin(limit, part, shape);
  const windows = evalWindows(part, { ...shape, maxBatches });
  const most = Math.min(limit, part.length - 1);
  let measured = 0;
  let characters = 0;
  const batches = function* () {
    for (const batch of windows) {
      const share = Math.floor(100 * measured / most);
      status.show(() => `evaluating, ${share} %`);
      measured += batch.count;
      characters += charactersIn(tokenizer, batch.targets);
      yield batch;
    }
  };
  let loss: number;
  try {
    loss = await model.evaluate(batches(), { signal });
  } finally {
    status.clear();
  }
  const event = {
    event: "eval",
    split,
    [`${split}Loss`]: loss,
    step: training?.step,
    data: name,
    tokens: measured,
    ofTokens: part.length - 1,
    bitsPerChar: loss * measured / Math.LN2 / Math.max(1, characters),
    perplexity: Math.exp(loss),
  };
  const { step, ofTokens } = event;
  const text = [
    ...(step === undefined ? [] : [`after step          ${step}`]),
    `text                ${name}, ${splitNames[split]}`,
    `tokens              ${count(measured)}${
      measured < ofTokens ? ` of ${count(ofTokens)}` : ""
    }`,
    `loss                ${loss.toFixed(4)} nats per token`,
    `bits per character  ${event.bitsPerChar.toFixed(4)}`,
    `perplexity          ${event.perplexity.toFixed(3)}`,
  ].join("\n");
  const output = flags.json ? JSON.stringify(event) : forOutput(text);
  await writeOutput(`${output}\n`);
  return exitCode.ok;
}

/** Returns the tokens of a split; refuses one without anything to predict. */
function partOf(
  tokens: Tokens,
  { split, name }: { readonly split: EvalSplit; readonly name: string },
): Tokens {
  const size = trainSize(tokens.length);
  const part = split === "all"
    ? tokens
    : split === "val"
    ? tokens.subarray(size)
    : tokens.subarray(0, size);
  if (part.length >= 2) return part;
  throw commandError(
    `evaluate on the ${splitNames[split]} of ${name}`,
    `it has ${part.length} tokens, needs at least 2`,
    split === "all" ? undefined : "--split all measures the whole text",
  );
}

const splitNames: Readonly<Record<EvalSplit, string>> = {
  val: "validation split",
  train: "training split",
  all: "whole text",
};
