/** The museum as a page: what losses and texts said of each mistake, and each exhibit with its curves. */

import {
  type Bell,
  type Curve,
  type Finding,
  isLoud,
  rang,
} from "../../lab/museum/exhibit.ts";
import {
  figureOf,
  type Making,
  numberOf,
  pairOf,
  type Shown,
  visible,
  words,
} from "../../lab/museum/report.ts";
import { VERSION } from "../command/program.ts";
import { count } from "../../report/numbers.ts";
import { wideAndNarrow } from "../../report/charts.ts";
import {
  coded,
  type Content,
  type Markup,
  markup,
} from "../../report/markup.ts";
import { page, type Section, table } from "../../report/page.ts";
import type { Plotter } from "../../report/plotter.ts";

/** The page as text. */
export async function museumPage(
  plotter: Plotter,
  shown: readonly Shown[],
  { about, command }: Making,
): Promise<string> {
  return await page({
    title: words.title,
    header: markup`<h1>${words.title}</h1>
<p class="summary">${words.about}</p>
<p class="about">${about}</p>
<pre class="command">${command}</pre>`,
    sections: [
      overview(plotter, shown),
      ...shown.map((one) => exhibitSection(plotter, one)),
    ],
    footer: `Drawn by lm ${VERSION}. findings.json has the numbers.`,
  });
}

/** The questions that the overview asks of each exhibit. */
const questions = [
  { tells: "loss", name: "the loss", color: "var(--val)" },
  { tells: "text", name: "the text", color: "var(--train)" },
] as const;

function overview(plotter: Plotter, shown: readonly Shown[]): Section {
  return {
    id: "overview",
    title: "What the loss said, and what the text",
    about: words.sides,
    content: markup`<div class="legend">${
      questions.map(({ name, color }) => key(color, name))
    }<span>nats, the mistake's less the right one's: to the left looks better, to the right worse</span></div>
${differenceChart(plotter, shown)}
<div class="told">${
      table({
        caption: "Exhibits, what loss and text said of each, and what rang",
        head: [
          "exhibit",
          ...questions.map(({ name }) => `${name}: right, mistake`),
          "the mistake",
          "what rang",
        ],
        rows: shown.map(({ exhibit: { name, title }, finding }): Content[] => [
          markup`<a href="#${name}">${name}</a>`,
          ...questions.map(({ tells }) => pairOf(finding, tells)),
          title,
          finding.bells.filter(rang).map(({ check }) => check).join("; "),
        ]),
      })
    }</div>`,
  };
}

/** A dot of the overview. */
interface Difference {
  readonly exhibit: string;
  readonly name: string;
  readonly color: string;
  readonly value: number;
}

function differenceChart(plotter: Plotter, shown: readonly Shown[]): Markup {
  const { plot } = plotter;
  const dots = shown.flatMap(({ exhibit, finding }) =>
    questions.flatMap(({ tells, name, color }): Difference[] => {
      const [right, mistake] = figureOf(finding, tells)?.values ?? [];
      if (typeof right !== "number" || typeof mistake !== "number") return [];
      return [{ exhibit: exhibit.name, name, color, value: mistake - right }];
    })
  );
  const place = { x: "value", y: "exhibit" } as const;
  return wideAndNarrow(({ width }) =>
    plotter.draw({
      width,
      height: 60 + 22 * shown.length,
      marginLeft: width < 500 ? 112 : 140,
      marginRight: 20,
      marginTop: 30,
      ariaLabel:
        "Dot chart of how loss and text change by each mistake, a row for each; the numbers are in the table below it",
      x: {
        label: null,
        grid: true,
        axis: "top",
        ticks: width < 500 ? 5 : 9,
      },
      y: {
        domain: shown.map(({ exhibit }) => exhibit.name),
        label: null,
        tickSize: 0,
      },
      marks: [
        plot.ruleX([0], { stroke: "currentColor" }),
        plot.ruleY(dots, {
          ...{ y: "exhibit", x1: 0, x2: "value", stroke: "color" },
          strokeWidth: 2,
          strokeOpacity: 0.5,
        }),
        plot.dot(dots, {
          ...place,
          fill: "color",
          r: 5,
          title: ({ exhibit, name, value }: Difference) =>
            `${exhibit}: ${name} ${value >= 0 ? "+" : ""}${value.toFixed(3)}`,
        }),
      ],
      color: { type: "identity" },
    })
  );
}

/** Of the columns of an exhibit, in their order. */
const columnColors = [
  "var(--val)",
  "var(--train)",
  "var(--run2)",
  "var(--run3)",
];

function exhibitSection(
  plotter: Plotter,
  { exhibit, finding }: Shown,
): Section {
  const { name, title, claim, see, deceives, catches, repair, source } =
    exhibit;
  const { setup, columns, figures, curve, text, bells } = finding;
  return {
    id: name,
    title,
    about: markup`<code>lab museum ${name}</code>: ${coded(claim)}.`,
    content: markup`${part("What you see", see)}
<div class="beside">${
      curve !== undefined && curveFigure(plotter, columns, curve)
    }<div>${
      table({
        caption: "What was measured",
        head: ["", ...columns],
        rows: figures.map((figure): Content[] => [
          figure.what,
          ...figure.values.map((value) => numberOf(value, figure)),
        ]),
      })
    }<p class="about">${setup}.</p></div></div>
${text !== undefined && samples(columns, text)}
${part("Why it deceives", deceives)}
${part("What catches it", catches)}
${bellTable(columns, bells)}
${part("The repair", repair)}
${source !== undefined && part("Known from", source)}`,
  };
}

function part(title: string, text: string): Markup {
  return markup`<p class="prose"><b>${title}.</b> ${coded(text)}</p>`;
}

function key(color: string, name: string): Markup {
  return markup`<span><i class="key" style="--c:${color}"></i>${name}</span>`;
}

function curveFigure(
  plotter: Plotter,
  columns: readonly string[],
  { what, steps, values }: Curve,
): Markup {
  const points = values.flatMap((column, of) =>
    column.map((value, i) => ({
      step: Math.round((i + 0.5) * steps / column.length),
      value,
      color: columnColors[of],
      name: columns[of],
    }))
  );
  const place = { x: "step", y: "value", z: "name" } as const;
  const picture = (size: { width: number; height: number }) =>
    plotter.draw({
      ...size,
      marginLeft: 36,
      marginRight: 8,
      marginTop: 12,
      ariaLabel: `Line chart of the ${what}, by step, a line for each column`,
      x: { label: "step", domain: [0, steps], ticks: 5 },
      y: { label: null, grid: true, zero: true, ticks: 5 },
      marks: [
        plotter.plot.line(points, {
          ...{ ...place, stroke: "color" },
          strokeWidth: 1.8,
        }),
        plotter.plot.dot(points, {
          ...{ ...place, fill: "color", fillOpacity: 0, r: 5 },
          title: ({ step, value, name }: typeof points[number]) =>
            `${name}, step ${count(step)}: ${value.toFixed(3)}`,
        }),
      ],
      color: { type: "identity" },
    });
  return markup`<figure><figcaption>${what}</figcaption>
<div class="legend">${
    columns.map((name, i) => key(columnColors[i]!, name))
  }</div>${picture({ width: 480, height: 260 })}</figure>`;
}

function samples(
  columns: readonly string[],
  { prompt, texts }: NonNullable<Finding["text"]>,
): Markup {
  return markup`<h3>What each writes after ${JSON.stringify(prompt)}</h3>
<div class="samples">${
    texts.map((text, i) => {
      const first = texts.indexOf(text);
      return markup`<figure><figcaption><b>${columns[i]}</b></figcaption><pre>${
        first < i ? `The same as ${columns[first]}.` : visible(text).trim()
      }</pre></figure>`;
    })
  }</div>`;
}

/** What each check said that rang, and which did not. */
function bellTable(
  columns: readonly string[],
  bells: readonly Bell[],
): Markup {
  const silent = bells.filter((bell) => !rang(bell)).map(({ check }) => check);
  return markup`<div class="told">${
    table({
      caption: "What rang",
      head: ["what rang", ...columns],
      rows: bells.filter(rang).map(({ check, verdicts }): Content[] => [
        check,
        ...verdicts.map((verdict) =>
          isLoud(verdict)
            ? markup`<b>${verdict.status}</b>: ${verdict.found}`
            : verdict.found
        ),
      ]),
    })
  }</div>${
    silent.length > 0 &&
    markup`<p class="about">Silent: ${silent.join("; ")}.</p>`
  }`;
}
