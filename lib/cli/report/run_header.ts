/** The head of a run's page: its name, its results, and the command that repeats it. */

import { seesFuture } from "../../lab/plan.ts";
import { short as shortCount } from "../terminal/progress.ts";
import { count, duration } from "../../report/numbers.ts";
import { commandLine } from "../command/program.ts";
import { type Markup, markup } from "../../report/markup.ts";
import {
  bestEval,
  corpusName,
  lastStep,
  type RunRecord,
} from "./run_record.ts";

/** Returns the head. */
export function runHeader(run: RunRecord): Markup {
  const { parameters, name, command } = run;
  const [last, best] = [run.evals.at(-1), bestEval(run)];
  const steps = count(lastStep(run));
  const summary = [
    parameters !== undefined && `${count(parameters)} parameters, `,
    `${steps} steps on ${corpusName(run)}`,
    best !== undefined &&
    (best === last
      ? `: lowest and last validation loss ${best.valLoss.toFixed(3)}`
      : `: lowest validation loss ${best.valLoss.toFixed(3)} at step ${
        count(best.step)
      }, last ${last!.valLoss.toFixed(3)}`),
    run.seconds > 0 && `, in ${duration(run.seconds)}`,
  ];
  const tiles = tilesOf(run).map(([name, value, more]) =>
    value !== undefined &&
    markup`<div><dt>${name}</dt><dd>${value}${
      more !== undefined && markup`<small>${more}</small>`
    }</dd></div>
`
  );
  return markup`<h1>${name}</h1>
<p class="summary">${summary}.</p>
${notes(run)}
<dl class="tiles">${tiles}</dl>
${
    command.length > 0 &&
    markup`<pre class="command">${commandLine(command)}</pre>`
  }`;
}

/** A tile's title, its value and the text below; a tile without a value is not shown. */
type Tile = [
  about: string,
  value: string | undefined,
  more?: string | undefined,
];

function tilesOf(run: RunRecord): Tile[] {
  const [last, best] = [run.evals.at(-1), bestEval(run)];
  const steps = lastStep(run);
  const planned = Number(run.train["maxSteps"]);
  const tokens = steps * tokensPerStep(run);
  return [
    ["Last validation loss", last?.valLoss.toFixed(4), "nats per token"],
    [
      "Lowest validation loss",
      best?.valLoss.toFixed(4),
      best && `at step ${count(best.step)}`,
    ],
    ["Bits per character", last?.bitsPerChar?.toFixed(3), "of validation text"],
    [
      "Steps",
      count(steps),
      planned > steps ? `of ${count(planned)}` : undefined,
    ],
    ["Tokens seen", tokens > 0 ? shortCount(tokens) : undefined],
    [
      "Time",
      run.seconds > 0 ? duration(run.seconds) : undefined,
      "with evaluations",
    ],
  ];
}

/** Returns warnings about the losses and about events that did not go as planned; undefined if there are none. */
function notes(run: RunRecord): Markup | undefined {
  const { resumedAt, skips, evals, model } = run;
  const part = evals.findLast(({ tokens, ofTokens }) => tokens < ofTokens);
  const texts = [
    seesFuture(model) &&
    `The mask is "${
      model["mask"]
    }", which shows the model the tokens that it is to predict: its losses are no result.`,
    part !== undefined &&
    `Validation losses are those of ${count(part.tokens)} of ${
      count(part.ofTokens)
    } tokens of the validation split, spread evenly (--eval-tokens).`,
    endOf(run),
    resumedAt.length > 0 &&
    `It was resumed at step ${resumedAt.map(count).join(", ")}.`,
    skips.length > 0 &&
    `Steps left out, as they were not finite: ${
      skips.map(({ step }) => count(step)).join(", ")
    }.`,
  ].filter((text) => text !== undefined && text !== false);
  return texts.length === 0
    ? undefined
    : markup`<p class="note">${texts.join(" ")}</p>`;
}

/** Describes how a run ended; undefined if all steps were done. */
function endOf(run: RunRecord): string | undefined {
  const { reason, message, why } = run.end ?? {};
  const steps = `${count(lastStep(run))} steps`;
  switch (reason) {
    case "done":
      return undefined;
    case "failed":
      return `It failed: ${message}.`;
    case "aborted":
      return `It was stopped after ${steps}.`;
    case "stopped":
      return `It stopped after ${steps}${
        why === undefined ? "" : `, since ${why}`
      }.`;
    default:
      return `It has not told its end: it goes on still, or was cut off after ${steps}.`;
  }
}

/** Returns the tokens that a step trains on; 0 if the configuration does not say. */
export function tokensPerStep({ model, train }: RunRecord): number {
  const tokens = Number(model["blockSize"]) * Number(train["batchSize"]) *
    Number(train["gradAccumulation"] ?? 1);
  return Number.isFinite(tokens) ? tokens : 0;
}
