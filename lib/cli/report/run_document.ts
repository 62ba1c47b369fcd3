/** The report of one run. */

import { modelConfig } from "../../config/model.ts";
import { trainConfig } from "../../config/train.ts";
import { seesFuture } from "../../lab/plan.ts";
import {
  type Block,
  type Document,
  type Fact,
  present,
  type Section,
  verbatim,
} from "../../report/document.ts";
import { compact, count, duration } from "../../report/numbers.ts";
import { thinned } from "../../report/series.ts";
import { commandLine } from "../command/program.ts";
import { attentionMarkup } from "./attention.ts";
import { type Measurement, placeAmong } from "./measurement.ts";
import { passageMarkup, tokenLabel } from "./passage.ts";
import { lossFigure, trainingFigures, updateFigures } from "./run_charts.ts";
import {
  bestEval,
  corpusName,
  type Fields,
  lastStep,
  type RunRecord,
  tokensPerStep,
} from "./run_record.ts";

/** Most samples and evaluations shown. */
const MOST_SAMPLES = 12;
const MOST_EVALUATIONS = 500;

/** Returns the report. */
export function runDocument(
  run: RunRecord,
  measurement: Measurement,
): Document {
  const notes = notesOf(run);
  return {
    title: run.name,
    lead: [summaryOf(run)],
    blocks: [
      ...notes === "" ? [] : [note(notes)],
      { kind: "facts", facts: factsOf(run) },
      ...run.command.length > 0 ? [commandBlock(run)] : [],
    ],
    sections: present([
      lossSection(run, measurement),
      passageSection(measurement),
      attentionSection(measurement),
      sampleSection(run),
      trainingSection(run),
      updateSection(run),
      configSection(run),
    ]),
    source: `The run is ${verbatim(run.path)}, as of ${today()}.`,
  };
}

/** Returns today's date. */
export function today(): string {
  return new Date().toISOString().slice(0, 10);
}

/** Returns the command of a run. */
export function commandBlock({ command }: RunRecord): Block {
  return { kind: "code", text: commandLine(command), language: "sh" };
}

function note(text: string): Block {
  return { kind: "note", text };
}

function summaryOf(run: RunRecord): string {
  const { parameters, evals, seconds } = run;
  const [last, best] = [evals.at(-1), bestEval(run)];
  const loss = best === undefined
    ? ""
    : best === last
    ? `: lowest and last validation loss ${best.valLoss.toFixed(3)}`
    : `: lowest validation loss ${best.valLoss.toFixed(3)} at step ${
      count(best.step)
    }, last ${last!.valLoss.toFixed(3)}`;
  return [
    parameters === undefined ? "" : `${count(parameters)} parameters, `,
    `${count(lastStep(run))} steps on ${verbatim(corpusName(run))}${loss}`,
    seconds > 0 ? `, in ${duration(seconds)}` : "",
    ".",
  ].join("");
}

function factsOf(run: RunRecord): Fact[] {
  const [last, best] = [run.evals.at(-1), bestEval(run)];
  const steps = lastStep(run);
  const planned = Number(run.train["maxSteps"]);
  const tokens = steps * tokensPerStep(run);
  const fact = (name: string, value: string | undefined, about?: string) =>
    value === undefined ? undefined : { name, value, about };
  return present([
    fact("Last validation loss", last?.valLoss.toFixed(4), "nats per token"),
    fact(
      "Lowest validation loss",
      best?.valLoss.toFixed(4),
      `at step ${count(best?.step ?? 0)}`,
    ),
    fact(
      "Bits per character",
      last?.bitsPerChar?.toFixed(3),
      "of validation text",
    ),
    fact(
      "Steps",
      count(steps),
      planned > steps ? `of ${count(planned)}` : undefined,
    ),
    fact("Tokens seen", tokens > 0 ? compact(tokens) : undefined),
    fact(
      "Time",
      run.seconds > 0 ? duration(run.seconds) : undefined,
      "with evaluations",
    ),
  ]);
}

/** Returns warnings about the losses and about events that did not go as planned. */
function notesOf(run: RunRecord): string {
  const { resumedAt, skips, evals, model } = run;
  const part = evals.findLast(({ tokens, ofTokens }) => tokens < ofTokens);
  return present([
    seesFuture(model)
      ? `The mask is "${
        model["mask"]
      }", which shows the model the tokens that it is to predict: its losses are no result.`
      : undefined,
    part &&
    `Validation losses are those of ${count(part.tokens)} of ${
      count(part.ofTokens)
    } tokens of the validation split, spread evenly (--eval-tokens).`,
    endOf(run),
    resumedAt.length > 0
      ? `It was resumed at step ${resumedAt.map(count).join(", ")}.`
      : undefined,
    skips.length > 0
      ? `Steps skipped because they were not finite: ${
        skips.map(({ step }) => count(step)).join(", ")
      }.`
      : undefined,
  ]).join(" ");
}

/** Describes how a run ended; undefined if all steps were done. */
function endOf(run: RunRecord): string | undefined {
  const { reason, message, why } = run.end ?? {};
  const steps = `${count(lastStep(run))} steps`;
  switch (reason) {
    case "done":
      return undefined;
    case "failed":
      return `It failed: ${verbatim(String(message))}.`;
    case "aborted":
      return `It was stopped after ${steps}.`;
    case "stopped":
      return `It stopped after ${steps}${
        why === undefined ? "" : `, since ${why}`
      }.`;
    default:
      if (run.imported["format"] !== undefined && run.steps.length === 0) {
        return `It was imported: another program trained it, and left no record of losses.`;
      }
      return `Its end is not recorded: it is still running, or was cut off after ${steps}.`;
  }
}

function lossSection(
  run: RunRecord,
  { yardsticks, textProblem }: Measurement,
): Section {
  const { evals, steps, model } = run;
  const last = evals.at(-1);
  return {
    id: "loss",
    title: "Loss",
    about: [
      "Cross-entropy in nats per token",
      Number(model["labelSmoothing"]) > 0
        ? "; that of batches with label smoothing, and so higher"
        : "",
      last !== undefined && yardsticks.length > 0 && !seesFuture(model)
        ? `. The last validation loss is ${
          placeAmong(yardsticks, last.valLoss)
        }`
        : "",
      ".",
    ].join(""),
    blocks: [
      steps.length === 0 && evals.length === 0
        ? note("No step is recorded yet.")
        : { kind: "figure", ...lossFigure(run, yardsticks) },
      ...textProblem === undefined ? [] : [
        note(
          `No n-gram models to compare with: ${verbatim(textProblem)}.`,
        ),
      ],
      evals.length === 0 ? note("It was not evaluated yet.") : evalTable(run),
    ],
  };
}

function evalTable({ evals }: RunRecord): Block {
  const shown = thinned(evals, MOST_EVALUATIONS);
  return {
    kind: "table",
    caption: "Evaluations",
    folded: shown.length === evals.length
      ? `All evaluations: ${evals.length}`
      : `${shown.length} of ${
        count(evals.length)
      } evaluations, evenly spread; all are in metrics.jsonl`,
    head: ["step", "training split", "validation loss", "bits per character"],
    rows: shown.map(({ step, trainLoss, valLoss, bitsPerChar }) => [
      count(step),
      trainLoss.toFixed(4),
      valLoss.toFixed(4),
      Number.isFinite(bitsPerChar) ? bitsPerChar.toFixed(3) : "",
    ]),
  };
}

function passageSection({ reading, modelProblem }: Measurement): Section {
  const section = { id: "passage", title: "Loss by token" };
  if (reading === undefined) {
    const why = modelProblem ?? "there is no text to show the model";
    return { ...section, blocks: [note(`Not measured: ${verbatim(why)}.`)] };
  }
  const { ownText, weights, passage, tokenizer } = reading;
  return {
    ...section,
    about: `The loss of \`${weights}\` for each token of ${
      ownText
        ? "the model's own last sample, because the run's text cannot be read"
        : "a passage of the validation split"
    }. The stronger the colour, the less the model expected the token.`,
    blocks: [{ kind: "figure", draw: () => passageMarkup(passage, tokenizer) }],
  };
}

function attentionSection({ reading }: Measurement): Section | undefined {
  if (reading === undefined || reading.maps.length === 0) return undefined;
  const { prompt, tokenizer, maps, weights } = reading;
  const labels = Array.from(prompt, (id) => tokenLabel(tokenizer, id));
  return {
    id: "attention",
    title: "Attention",
    about:
      `The tokens that each head of \`${weights}\` looks at, at the beginning of the passage. A row is the token that looks; its probabilities add up to 100 %.`,
    blocks: [{ kind: "figure", draw: () => attentionMarkup(maps, labels) }],
  };
}

function sampleSection({ samples, evals }: RunRecord): Section | undefined {
  if (samples.length === 0) return undefined;
  const shown = thinned(samples, MOST_SAMPLES);
  const more = samples.length > shown.length
    ? ` ${shown.length} of ${samples.length}, evenly spread; all are in samples.txt.`
    : "";
  return {
    id: "samples",
    title: "Samples",
    about: `Texts that the model wrote during training.${more}`,
    blocks: [{
      kind: "samples",
      samples: shown.map(({ step, prompt, text }) => {
        const loss = evals.find((event) => event.step === step)?.valLoss;
        return {
          title: `step ${count(step)}`,
          ...loss !== undefined &&
            { about: `validation loss ${loss.toFixed(3)}` },
          text: `${prompt}${text}`,
        };
      }),
    }],
  };
}

function trainingSection(run: RunRecord): Section | undefined {
  if (run.steps.length === 0) return undefined;
  return {
    id: "training",
    title: "Training",
    blocks: [{ kind: "figures", figures: trainingFigures(run) }],
  };
}

function updateSection(run: RunRecord): Section | undefined {
  const figures = updateFigures(run);
  return figures && {
    id: "updates",
    title: "Update sizes",
    about:
      "How far the step after each evaluation moved a weight matrix: ‖Δw‖ / ‖w‖. The dotted line is 1/1000, a common rule of thumb for AdamW.",
    blocks: [{ kind: "figures", ...figures }],
  };
}

/** Lists all fields of a run's configuration, and the machine it began on. */
function configSection(run: RunRecord): Section {
  const { model, train, data, tokenizer, device, versions, began } = run;
  const { insteadOf, bytes, sha256 } = data;
  const vocabSize = Number(model["vocabSize"]);
  return {
    id: "configuration",
    title: "Configuration",
    about: "In bold what differs from the library's defaults.",
    blocks: [{
      kind: "beside",
      blocks: [
        fieldTable("Model", model, defaults(() => modelConfig({ vocabSize }))),
        fieldTable("Training", train, defaults(trainConfig)),
        fieldTable("Data", {
          text: corpusName(run),
          "instead of": insteadOf,
          bytes,
          sha256: typeof sha256 === "string"
            ? `${sha256.slice(0, 12)}…`
            : undefined,
          tokenizer: tokenizer["kind"],
          vocabulary: tokenizer["vocabSize"],
        }),
        fieldTable("Machine", {
          device: device["kind"],
          description: device["description"],
          ...versions,
          began: began?.replace("T", " ").replace(/\.\d+Z$/, " UTC"),
          directory: run.path,
        }),
      ],
    }],
  };
}

/** Returns the defaults to compare with; none if a configuration is from another version. */
function defaults(make: () => object): Fields {
  try {
    return make() as Fields;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return {};
  }
}

function fieldTable(title: string, fields: Fields, usual: Fields = {}): Block {
  return {
    kind: "table",
    caption: title,
    head: [title, "value"],
    prose: true,
    rows: Object.entries(fields).filter(([, value]) => value !== undefined)
      .map(([name, value]) => {
        const cells = [name, fieldText(value)];
        return name in usual && usual[name] !== value
          ? cells.map((cell) => `**${cell}**`)
          : cells;
      }),
  };
}

/** Formats a field's value in words. */
export function fieldText(value: unknown): string {
  if (value === null || value === false) return "off";
  if (value === true) return "on";
  if (typeof value !== "number") return verbatim(String(value));
  return Number.isInteger(value) && value >= 1e4
    ? count(value)
    : String(Number(value.toPrecision(12)));
}
