/** The page about one run. */

import { modelConfig, trainConfig } from "../../config.ts";
import { duration, short as shortCount } from "../progress.ts";
import { program, VERSION } from "../program.ts";
import { attentionSection } from "./attention_section.ts";
import {
  count,
  layerColor,
  lossChart,
  type SmallChart,
  trainingCharts,
  updateCharts,
} from "./charts.ts";
import { type Content, html, type Markup } from "./html.ts";
import type { Measurement } from "./measurement.ts";
import { page, type Section, table } from "./page.ts";
import { passageSection } from "./passage_section.ts";
import type { Plotter } from "./plotter.ts";
import {
  bestEval,
  corpusName,
  type Fields,
  lastStep,
  type RunRecord,
} from "./run_record.ts";
import { thinned } from "./series.ts";
import { tokenLabel } from "./token_text.ts";
import { placeAmong } from "./yardsticks.ts";

/** Samples that are shown at most. */
const MOST_SAMPLES = 12;

/** The page as text. */
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
    header: header(run),
    sections: sections.filter((section) => section !== undefined),
    footer: `Drawn by lm ${VERSION} on ${
      new Date().toISOString().slice(0, 10)
    }, from ${run.path}.`,
  });
}

/** A command as it can be typed. */
export function commandLine({ command }: RunRecord): string {
  const quoted = command.map((arg) =>
    /^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", `'\\''`)}'`
  );
  return [program(), ...quoted].join(" ");
}

function header(run: RunRecord): Markup {
  const { evals, parameters, name, command, end, train } = run;
  const [last, best] = [evals.at(-1), bestEval(run)];
  const steps = lastStep(run);
  const of = Number(train["maxSteps"]);
  const perStep = tokensPerStep(run);
  const time = run.seconds > 0 ? duration(run.seconds) : undefined;
  const tiles: [
    name: string,
    value: string | undefined,
    more: string | undefined,
  ][] = [
    ["Validation loss", last?.valLoss.toFixed(4), "nats per token, at the end"],
    ["Lowest", best?.valLoss.toFixed(4), best && `at step ${count(best.step)}`],
    ["Bits per character", last?.bitsPerChar?.toFixed(3), "at the end"],
    ["Steps", count(steps), of > steps ? `of ${count(of)}` : undefined],
    [
      "Tokens seen",
      perStep > 0 ? shortCount(steps * perStep) : undefined,
      undefined,
    ],
    ["Time", time, "with evaluations"],
  ];
  return html`
    <h1>${name}</h1>
    <p
      class="summary">${parameters === undefined
        ? "A"
        : `A ${count(parameters)}-parameter`} model, ${count(
          steps,
        )} steps on ${corpusName(run)}${best &&
        `, validation loss ${best.valLoss.toFixed(3)}`}${time &&
        `, in ${time}`}.</p>
    ${stopNote(run)}
    <dl class="tiles">${tiles.map(([name, value, more]) =>
      value !== undefined && html`
        <div>
          <dt>${name}</dt>
          <dd>${value}${more && html`<small>${more}</small>`}</dd>
        </div>
      `
    )}</dl>
    ${command.length > 0 &&
      html`<pre class="command">${commandLine(run)}</pre>`}
  `;

  function stopNote({ resumedAt }: RunRecord): Content {
    if (end?.reason === "done") return undefined;
    const message = end?.message !== undefined
      ? `It failed: ${end.message}`
      : end?.reason === "aborted"
      ? `It was stopped after ${count(steps)} of ${count(of)} steps.`
      : `It has not said that it ended: it is still going on, or something ended it after ${
        count(steps)
      } steps.`;
    const again = resumedAt.length > 0 &&
      ` It was resumed at step ${resumedAt.map(count).join(", ")}.`;
    return html`<p class="note">${message}${again}</p>`;
  }
}

/** Tokens that a step trains on; 0 if the configuration does not say. */
export function tokensPerStep({ model, train }: RunRecord): number {
  const tokens = Number(model["blockSize"]) * Number(train["batchSize"]) *
    Number(train["gradAccumulation"] ?? 1);
  return Number.isFinite(tokens) ? tokens : 0;
}

function lossSection(
  plotter: Plotter,
  run: RunRecord,
  { yardsticks, textProblem }: Measurement,
): Section {
  const { evals, steps, model } = run;
  const smoothing = Number(model["labelSmoothing"]) > 0;
  const last = evals.at(-1);
  const place = last && yardsticks.length > 0 &&
    ` The last validation loss is ${placeAmong(yardsticks, last.valLoss)}.`;
  return {
    id: "loss",
    title: "Loss",
    about: html`Cross-entropy in nats per token${
      smoothing &&
      "; that of batches is trained with label smoothing, and so higher"
    }.${place}`,
    content: html`${
      steps.length === 0 && evals.length === 0
        ? html`<p class="note">No step was told yet.</p>`
        : html`<div class="legend">
<span><i class="key" style="--c:var(--batch)"></i>training batches, smoothed</span>
${
          evals.length > 0 &&
          html`<span><i class="key" style="--c:var(--train)"></i>training split</span>
<span><i class="key" style="--c:var(--val)"></i>validation split</span>`
        }
${
          yardsticks.length > 0 &&
          html`<span>dotted: n-gram models of the same text, interpolated (Witten-Bell)</span>`
        }</div>
${lossChart(plotter, run, yardsticks)}`
    }
${evals.length === 0 && html`<p class="note">It was not evaluated yet.</p>`}
${
      textProblem !== undefined &&
      html`<p class="note">No n-gram models to compare with: ${textProblem}.</p>`
    }
${evals.length > 0 && evalTable(run)}`,
  };
}

function evalTable({ evals }: RunRecord): Markup {
  return html`<details><summary>All ${evals.length} evaluations</summary>${
    table({
      caption: "Evaluations",
      head: [
        "step",
        "training split",
        "validation split",
        "bits per character",
      ],
      rows: evals.map(({ step, trainLoss, valLoss, bitsPerChar }) => [
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
): Section {
  const section = { id: "passage", title: "Loss by character" };
  if (reading === undefined) {
    const why = modelProblem ?? "there is no text to show the model";
    return {
      ...section,
      content: html`<p class="note">Not measured: ${why}.</p>`,
    };
  }
  const { ownText, weights, passage, tokenizer } = reading;
  return {
    ...section,
    about: `What ${weights} makes of ${
      ownText
        ? "its own last sample, as the run's text is not at hand"
        : "a passage of the validation split"
    }: the darker a character, the less it was expected after those before it.`,
    content: passageSection(passage, tokenizer),
  };
}

function mapsSection({ reading }: Measurement): Section | undefined {
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

function sampleSection({ samples, evals }: RunRecord): Section | undefined {
  if (samples.length === 0) return undefined;
  const shown = thinned(samples, MOST_SAMPLES);
  const more = samples.length > shown.length
    ? ` ${shown.length} of ${samples.length}, evenly spread; all are in samples.txt.`
    : "";
  return {
    id: "samples",
    title: "Samples",
    about: `What the model wrote on the way.${more}`,
    content: html`<div class="samples">${
      shown.map(({ step, prompt, text }) => {
        const loss = evals.find((event) => event.step === step)?.valLoss;
        return html`
          <figure>
            <figcaption><b>step ${count(step)}</b>${loss !== undefined &&
              html`<span>validation loss ${
                loss.toFixed(3)
              }</span>`}</figcaption>
            <pre><i>${prompt.trimStart()}</i>${prompt.trim() === ""
              ? text.trimStart()
              : text}</pre>
          </figure>
        `;
      })
    }</div>`,
  };
}

function trainingSection(
  plotter: Plotter,
  run: RunRecord,
): Section | undefined {
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
): Section | undefined {
  const charts = updateCharts(plotter, run);
  if (charts.length === 0) return undefined;
  const layers = Number(run.model["nLayer"]);
  return {
    id: "updates",
    title: "Update sizes",
    about:
      "How far the step after each evaluation moved a weight matrix: ‖Δw‖ / ‖w‖. The dotted line is 1/1000, a common rule of thumb for AdamW.",
    content: html`<div class="legend">${
      Array.from(
        { length: layers },
        (_, layer) =>
          html`<span><i class="key" style="--c:${
            layerColor(layer, layers)
          }"></i>layer ${layer + 1}</span>`,
      )
    }</div>${smallCharts(charts)}`,
  };
}

function smallCharts(charts: readonly SmallChart[]): Markup {
  return html`<div class="charts">${
    charts.map(({ title, picture }) =>
      html`<figure><figcaption>${title}</figcaption>${picture}</figure>`
    )
  }</div>`;
}

function configSection(run: RunRecord): Section {
  const { model, train, data, tokenizer, device, versions, began } = run;
  const sum = data["sha256"];
  return {
    id: "configuration",
    title: "Configuration",
    about: "In bold what differs from the library's defaults.",
    content: html`
      <div class="configs">
        <div><h3>Model</h3>${fieldTable(
          model,
          defaults(() =>
            modelConfig({ vocabSize: Number(model["vocabSize"]) })
          ),
        )}</div>
        <div><h3>Training</h3>${fieldTable(train, defaults(trainConfig))}</div>
        <div><h3>Data</h3>${fieldTable({
          text: corpusName(run),
          ...data["insteadOf"] !== undefined &&
            { "instead of": data["insteadOf"] },
          bytes: data["bytes"],
          sha256: typeof sum === "string" ? `${sum.slice(0, 12)}…` : undefined,
          tokenizer: tokenizer["kind"],
          tokens: tokenizer["vocabSize"],
        })}<h3>Machine</h3>${fieldTable({
          device: device["kind"],
          "": device["description"],
          ...versions,
          began: began?.replace("T", " ").replace(/\.\d+Z$/, " UTC"),
          directory: run.path,
        })}</div>
      </div>
    `,
  };
}

/** Defaults to compare with; none where a configuration is from another version. */
function defaults(make: () => object): Fields {
  try {
    return make() as Fields;
  } catch {
    return {};
  }
}

function fieldTable(fields: Fields, usual: Fields = {}): Markup {
  return html`<table>${
    Object.entries(fields).map(([name, value]) =>
      value !== undefined &&
      html`
        <tr${name in usual && usual[name] !== value && html`
          class="other"
        `}>
          <td>${name}</td>
          <td>${fieldText(value)}</td>
          </tr>
      `
    )
  }</table>`;
}

/** A field's value in words. */
export function fieldText(value: unknown): string {
  if (value === null || value === false) return "off";
  if (value === true) return "on";
  return typeof value === "number" && Number.isInteger(value) && value >= 1e4
    ? count(value)
    : String(value);
}
