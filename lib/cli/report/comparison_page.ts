/** The page that compares runs: their curves in one picture, what differs, and what came of it. */

import { modelFields, trainFields } from "../../config_fields.ts";
import { duration, short as shortCount } from "../progress.ts";
import { program, VERSION } from "../program.ts";
import { count, wideAndNarrow } from "./charts.ts";
import { fieldText } from "./config_section.ts";
import { type Content, type Markup, markup } from "./markup.ts";
import { page, type Section, table } from "./page.ts";
import type { Plotter } from "./plotter.ts";
import {
  bestEval,
  corpusName,
  type Fields,
  lastStep,
  type RunRecord,
} from "./run_record.ts";
import { commandLine, tokensPerStep } from "./run_header.ts";
import { thinned } from "./series.ts";

/** Colours that runs take in turn, and dashes that tell apart those that share one. */
const COLORS = 7;
const DASHES = ["none", "7 3", "2 3", "9 3 2 3"];

/** A run and how it is drawn. */
interface DrawnRun {
  readonly run: RunRecord;
  readonly label: string;
  readonly color: string;
  readonly dash: string;
}

/** A point of a validation curve. */
interface CurvePoint {
  readonly run: DrawnRun;
  readonly step: number;
  /** Of training, without evaluations. */
  readonly minutes: number;
  readonly loss: number;
}

/** The page as text. */
export async function comparisonPage(
  plotter: Plotter,
  runs: readonly RunRecord[],
): Promise<string> {
  const labels = labelsOf(runs);
  const drawn = runs.map((run, i): DrawnRun => ({
    run,
    label: labels[i]!,
    color: `var(--run${i % COLORS})`,
    dash: DASHES[Math.floor(i / COLORS) % DASHES.length]!,
  }));
  const sections = [
    resultSection(drawn),
    curveSection(plotter, drawn),
    sampleSection(drawn),
    commandSection(drawn),
  ];
  return await page({
    title: `${runs.length} runs: ${labels.join(", ")}`,
    header: markup`<h1>${runs.length} runs compared</h1>
<p class="summary">${labels.join(", ")}.</p>`,
    sections: sections.filter((section) => section !== undefined),
    footer: markup`Drawn by lm ${VERSION} on ${
      new Date().toISOString().slice(0, 10)
    }. More of each run: <code>${program()} report RUN</code>`,
  });
}

/** The names of their directories, or the paths where names are the same. */
function labelsOf(runs: readonly RunRecord[]): string[] {
  return runs.map(({ name, path }) =>
    runs.filter((run) => run.name === name).length > 1 ? path : name
  );
}

function key({ color, label }: DrawnRun): Markup {
  return markup`<span><i class="key" style="--c:${color}"></i>${label}</span>`;
}

function resultSection(drawn: readonly DrawnRun[]): Section {
  const fields = differingFields(drawn.map(({ run }) => run));
  const lowest = Math.min(
    ...drawn.map(({ run }) => bestEval(run)?.valLoss ?? Infinity),
  );
  const texts = new Set(drawn.map(({ run }) => run.data["sha256"]));
  const tokenizers = new Set(drawn.map(({ run }) => run.tokenizer["kind"]));
  return {
    id: "results",
    title: "Results",
    about:
      "Losses are nats per token of the whole validation split; fields that are the same everywhere are left out.",
    content: markup`${
      (texts.size > 1 || tokenizers.size > 1) &&
      markup`
        <p
          class="note">These runs read different ${
        texts.size > 1 ? "texts" : "tokens"
      }: their losses cannot be compared.</p>
      `
    }${
      table({
        caption: "Results and differing fields",
        head: [
          "run",
          "lowest loss",
          "at step",
          "last loss",
          "parameters",
          "steps",
          "tokens",
          "time",
          ...fields.map(({ name }) => name),
        ],
        rows: drawn.map((one): Content[] => {
          const { run } = one;
          const [best, last] = [bestEval(run), run.evals.at(-1)];
          const loss = best?.valLoss.toFixed(4) ?? "";
          return [
            key(one),
            best?.valLoss === lowest ? markup`<b>${loss}</b>` : loss,
            best === undefined ? "" : count(best.step),
            last?.valLoss.toFixed(4) ?? "",
            run.parameters === undefined ? "" : count(run.parameters),
            count(lastStep(run)),
            shortCount(lastStep(run) * tokensPerStep(run)),
            run.seconds > 0 ? duration(run.seconds) : "",
            ...fields.map(({ of }) => fieldText(of(run))),
          ];
        }),
      })
    }`,
  };
}

/** A field that not all runs have the same. */
interface Field {
  readonly name: string;
  readonly of: (run: RunRecord) => unknown;
}

function differingFields(runs: readonly RunRecord[]): Field[] {
  const inPart = (part: (run: RunRecord) => Fields, names: Iterable<string>) =>
    Array.from(names, (name): Field => ({
      name,
      of: (run) => part(run)[name] ?? "",
    }));
  const all: Field[] = [
    { name: "text", of: corpusName },
    ...inPart((run) => run.tokenizer, ["kind", "vocabSize"]),
    ...inPart(({ model }) => model, modelFields.keys()),
    ...inPart(({ train }) => train, trainFields.keys()),
    ...inPart(({ device }) => device, ["description"]),
    ...inPart(({ versions }) => versions, ["lm", "deno"]),
  ];
  const names = new Set<string>();
  return all.filter(({ name, of }) => {
    if (new Set(runs.map((run) => JSON.stringify(of(run)))).size === 1) {
      return false;
    }
    return !names.has(name) && names.add(name);
  });
}

function curveSection(
  plotter: Plotter,
  drawn: readonly DrawnRun[],
): Section {
  const points = drawn.flatMap((run) => curveOf(run));
  const missing = drawn.filter(({ run }) => run.evals.length === 0);
  const note = missing.length > 0 &&
    markup`<p class="note">Not evaluated yet: ${
      missing.map(({ label }) => label).join(", ")
    }.</p>`;
  return {
    id: "curves",
    title: "Validation loss",
    content: points.length === 0 ? note : markup`${note}
<div class="legend">${drawn.map((run) => key(run))}</div>
<h3>By step</h3>${curves(plotter, points, "step")}
<h3>By time spent on steps, without evaluations</h3>${
      curves(plotter, points, "minutes")
    }`,
  };
}

function curveOf(one: DrawnRun): CurvePoint[] {
  const { steps, evals } = one.run;
  const tokens = tokensPerStep(one.run);
  let seconds = 0;
  const timeAt = new Map<number, number>();
  for (const { step, tokensPerSecond } of steps) {
    if (tokensPerSecond > 0) seconds += tokens / tokensPerSecond;
    timeAt.set(step, seconds);
  }
  return thinned(evals, 160).map(({ step, valLoss }) => ({
    run: one,
    step,
    minutes: (timeAt.get(step) ?? 0) / 60,
    loss: valLoss,
  }));
}

function curves(
  plotter: Plotter,
  points: readonly CurvePoint[],
  x: "step" | "minutes",
): Markup {
  const runs = Map.groupBy(points, ({ run }) => run);
  const most = points.reduce((a, point) => Math.max(a, point[x]), 0);
  return wideAndNarrow((size) =>
    plotter.draw({
      ...size,
      marginLeft: 40,
      marginRight: 12,
      ariaLabel:
        `Line chart of validation losses by ${x}, a line for each run; the table of results has the lowest and the last`,
      x: { label: x, domain: [0, most || 1], ticks: size.width < 500 ? 4 : 8 },
      y: { label: "nats per token", grid: true, nice: true },
      marks: [...runs].flatMap(([{ color, dash, label }, points]) => [
        plotter.plot.line(points, {
          ...{ x, y: "loss", stroke: color },
          strokeWidth: 2,
          strokeDasharray: dash,
        }),
        plotter.plot.dot(points, {
          ...{ x, y: "loss", fill: color },
          r: 3,
          title: ({ step, loss, minutes }: CurvePoint) =>
            `${label}, step ${count(step)}, ${minutes.toFixed(1)} min: ${
              loss.toFixed(4)
            }`,
        }),
      ]),
    })
  );
}

function sampleSection(drawn: readonly DrawnRun[]): Section | undefined {
  const wrote = drawn.filter(({ run }) => run.samples.length > 0);
  if (wrote.length === 0) return undefined;
  return {
    id: "samples",
    title: "Last samples",
    content: markup`<div class="samples">${
      wrote.map((one) => {
        const { step, prompt, text } = one.run.samples.at(-1)!;
        return markup`
          <figure>
            <figcaption><b>${one.label}</b><span>step ${
          count(
            step,
          )
        }</span></figcaption>
            <pre>${`${prompt}${text}`.trim()}</pre>
          </figure>
        `;
      })
    }</div>`,
  };
}

function commandSection(drawn: readonly DrawnRun[]): Section {
  return {
    id: "commands",
    title: "Commands",
    content: markup`${
      drawn.map((one) =>
        markup`
          <h3>${one.label}</h3>
          <pre class="command">${commandLine(one.run)}</pre>
        `
      )
    }`,
  };
}
