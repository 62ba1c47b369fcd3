/** The page about one run. */

import { seesFuture } from "../../lab/plan.ts";
import { VERSION } from "../command/program.ts";
import { attentionSection } from "./attention_section.ts";
import {
  lossChart,
  lossLines,
  type SmallChart,
  trainingCharts,
} from "./charts.ts";
import { count } from "../../report/numbers.ts";
import { configSection } from "./config_section.ts";
import { type Markup, markup } from "../../report/markup.ts";
import type { Measurement } from "./measurement.ts";
import { page, type PageSection, table } from "../../report/page.ts";
import { legend } from "../../report/charts.ts";
import { note, samples as samplesMarkup } from "../../report/html.ts";
import { passageSection } from "./passage_section.ts";
import type { Plotter } from "../../report/plotter.ts";
import { runHeader } from "./run_header.ts";
import type { RunRecord } from "./run_record.ts";
import { thinned } from "../../report/series.ts";
import { tokenLabel } from "./token_text.ts";
import { updateCharts } from "./update_charts.ts";
import { placeAmong, type Yardstick } from "./yardsticks.ts";

/** Most samples and evaluations shown. */
const MOST_SAMPLES = 12;
const MOST_EVALUATIONS = 500;

/** Returns the page as text. */
export async function runPage(
  plotter: Plotter,
  run: RunRecord,
  measurement: Measurement,
): Promise<string> {
  const sections = [
    lossSection(plotter, run, measurement),
    readingSection(measurement),
    mapsSection(measurement),
    sampleSection(run),
    trainingSection(plotter, run),
    updateSection(plotter, run),
    configSection(run),
  ];
  return await page({
    title: run.name,
    header: runHeader(run),
    sections: sections.filter((section) => section !== undefined),
    footer: `Drawn by lm ${VERSION} on ${
      new Date().toISOString().slice(0, 10)
    }, from ${run.path}.`,
  });
}

function lossSection(
  plotter: Plotter,
  run: RunRecord,
  { yardsticks, textProblem }: Measurement,
): PageSection {
  const { evals, steps, model } = run;
  const last = evals.at(-1);
  const about = [
    "Cross-entropy in nats per token",
    Number(model["labelSmoothing"]) > 0 &&
    "; that of batches with label smoothing, and so higher",
    last !== undefined && yardsticks.length > 0 && !seesFuture(model) &&
    `. The last validation loss is ${placeAmong(yardsticks, last.valLoss)}`,
    ".",
  ];
  const nothing = steps.length === 0 && evals.length === 0;
  return {
    id: "loss",
    title: "Loss",
    about,
    content: [
      nothing
        ? note("No step was told yet.")
        : [lossLegend(run, yardsticks), lossChart(plotter, run, yardsticks)],
      textProblem !== undefined &&
      note(`No n-gram models to compare with: ${textProblem}.`),
      evals.length === 0 ? note("It was not evaluated yet.") : evalTable(run),
    ],
  };
}

function lossLegend(
  { evals }: RunRecord,
  yardsticks: readonly Yardstick[],
): Markup {
  const { batch, train, val } = lossLines;
  return legend([
    { name: "training batches, smoothed", ...batch },
    ...evals.length > 0
      ? [
        { name: "training split", ...train },
        { name: "validation split", ...val },
      ]
      : [],
    ...yardsticks.length > 0
      ? [{
        name: "n-gram models of the same text, interpolated (Witten-Bell)",
        color: "var(--dim)",
        dash: "2 4",
      }]
      : [],
  ]);
}

function evalTable({ evals }: RunRecord): Markup {
  const shown = thinned(evals, MOST_EVALUATIONS);
  return markup`<details><summary>${
    shown.length === evals.length
      ? `All evaluations: ${evals.length}`
      : `${shown.length} of ${
        count(evals.length)
      } evaluations, evenly spread; all are in metrics.jsonl`
  }</summary>${
    table({
      caption: "Evaluations",
      head: [
        "step",
        "training split",
        "validation loss",
        "bits per character",
      ],
      rows: shown.map(({ step, trainLoss, valLoss, bitsPerChar }) => [
        count(step),
        trainLoss.toFixed(4),
        valLoss.toFixed(4),
        Number.isFinite(bitsPerChar) ? bitsPerChar.toFixed(3) : "",
      ]),
    })
  }</details>`;
}

function readingSection(
  { reading, modelProblem }: Measurement,
): PageSection {
  const section = { id: "passage", title: "Loss by character" };
  if (reading === undefined) {
    const why = modelProblem ?? "there is no text to show the model";
    return {
      ...section,
      content: note(`Not measured: ${why}.`),
    };
  }
  const { ownText, weights, passage, tokenizer } = reading;
  return {
    ...section,
    about: `What ${weights} makes of ${
      ownText
        ? "its own last sample, as the run's text is not at hand"
        : "a passage of the validation split"
    }: the stronger the colour of a character, the less it was expected after those before it.`,
    content: passageSection(passage, tokenizer),
  };
}

function mapsSection({ reading }: Measurement): PageSection | undefined {
  if (reading === undefined || reading.maps.length === 0) return undefined;
  const { prompt, tokenizer, maps, weights } = reading;
  return {
    id: "attention",
    title: "Attention",
    about:
      `What each head of ${weights} looks at while it reads the passage's beginning. A row is the token that looks, and adds up to 100 %.`,
    content: attentionSection({
      maps,
      labels: Array.from(prompt, (id) => tokenLabel(tokenizer, id)),
    }),
  };
}

function sampleSection({ samples, evals }: RunRecord): PageSection | undefined {
  if (samples.length === 0) return undefined;
  const shown = thinned(samples, MOST_SAMPLES);
  const more = samples.length > shown.length
    ? ` ${shown.length} of ${samples.length}, evenly spread; all are in samples.txt.`
    : "";
  return {
    id: "samples",
    title: "Samples",
    about: `What the model wrote on the way.${more}`,
    content: samplesMarkup(shown.map(({ step, prompt, text }) => {
      const loss = evals.find((event) => event.step === step)?.valLoss;
      return {
        title: `step ${count(step)}`,
        ...loss !== undefined &&
          { about: `validation loss ${loss.toFixed(3)}` },
        text: `${prompt}${text}`,
      };
    })),
  };
}

function trainingSection(
  plotter: Plotter,
  run: RunRecord,
): PageSection | undefined {
  if (run.steps.length === 0) return undefined;
  return {
    id: "training",
    title: "Training",
    content: smallCharts(trainingCharts(plotter, run)),
  };
}

function updateSection(
  plotter: Plotter,
  run: RunRecord,
): PageSection | undefined {
  const { charts, lines } = updateCharts(plotter, run);
  if (charts.length === 0) return undefined;
  return {
    id: "updates",
    title: "Update sizes",
    about:
      "How far the step after each evaluation moved a weight matrix: ‖Δw‖ / ‖w‖. The dotted line is 1/1000, a common rule of thumb for AdamW.",
    content: markup`${legend(lines)}${smallCharts(charts)}`,
  };
}

function smallCharts(charts: readonly SmallChart[]): Markup {
  return markup`<div class="charts">${
    charts.map(({ title, about, picture }) =>
      markup`<figure><figcaption>${title}${
        about !== undefined && markup`<div class="legend">${about}</div>`
      }</figcaption>${picture}</figure>`
    )
  }</div>`;
}
