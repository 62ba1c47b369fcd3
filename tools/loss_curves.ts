/**
 * Converts finished runs to the tables and the chart in docs/runs/:
 *
 *     deno run -A tools/loss_curves.ts runs/original runs/nano-cpu
 *
 * writes the losses of each run into docs/runs/NAME.csv, where NAME is that of the run's directory, and
 * draws all of them in docs/runs/loss.svg. Without a run it draws the picture again.
 */

import { basename, fromFileUrl, join } from "@std/path";
import { lossLines } from "../lib/cli/report/run_charts.ts";
import { readRun } from "../lib/cli/report/run_record.ts";
import { picture } from "../lib/report/picture.ts";
import { Plotter } from "../lib/report/plotter.ts";

/** Steps whose training losses become one number. */
const STRIDE = 10;

/** The validation loss that a recorded run of the PyTorch program ended with, on the same split. */
const recorded = [
  {
    run: "original",
    loss: 1.732,
    of: "dashed: the original in PyTorch, 1.732",
  },
  {
    run: "nano-cpu",
    loss: 1.911,
    of: "dashed: nanoGPT in PyTorch, 1.911 (200 batches)",
  },
];

const curves = [
  {
    column: "training",
    line: lossLines.batch,
    of: `training batches, as optimised (mean of ${STRIDE} steps)`,
  },
  { column: "trainSplit", line: lossLines.train, of: "training split" },
  { column: "validationSplit", line: lossLines.val, of: "validation split" },
] as const;

const folder = fromFileUrl(new URL("../docs/runs/", import.meta.url));

/** Returns a table of a run's losses with a line for each step that has one. */
async function csv(directory: string): Promise<string> {
  const { steps, evals } = await readRun(directory);
  const rows = new Map<number, (number | undefined)[]>();
  for (let end = STRIDE; end <= steps.length; end += STRIDE) {
    const losses = steps.slice(end - STRIDE, end).map(({ loss }) => loss);
    const mean = losses.reduce((sum, loss) => sum + loss, 0) / STRIDE;
    rows.set(steps[end - 1]!.step, [mean]);
  }
  for (const { step, trainLoss, valLoss } of evals) {
    rows.set(step, [rows.get(step)?.[0], trainLoss, valLoss]);
  }
  return [
    ["step", ...curves.map(({ column }) => column)],
    ...[...rows].toSorted(([a], [b]) => a - b).map(([step, losses]) => [
      step,
      ...curves.map((_, i) => losses[i]?.toFixed(4) ?? ""),
    ]),
  ].map((cells) => `${cells.join()}\n`).join("");
}

/** Returns all points of docs/runs/NAME.csv. */
async function pointsOf(run: string) {
  const text = await Deno.readTextFile(join(folder, `${run}.csv`));
  return text.trimEnd().split("\n").slice(1).flatMap((line) => {
    const [step, ...losses] = line.split(",");
    return curves.flatMap(({ column }, i) =>
      losses[i] === ""
        ? []
        : [{ run, column, step: Number(step), loss: Number(losses[i]) }]
    );
  });
}

async function draw(): Promise<string> {
  const points = (await Promise.all(recorded.map(({ run }) => pointsOf(run))))
    .flat();
  const plotter = await Plotter.open();
  const { plot } = plotter;
  const [{ run: first }] = recorded as [typeof recorded[number]];
  return picture(plotter.draw({
    width: 840,
    height: 340,
    marginLeft: 40,
    ariaLabel: "Line charts of losses by step, one for each preset",
    fx: { label: null, domain: recorded.map(({ run }) => run) },
    x: { label: "optimizer steps", ticks: 5 },
    y: {
      ...{ label: "nats per character", grid: true },
      ...{ domain: [1.2, 3.2], clamp: true },
    },
    marks: [
      plot.ruleY(recorded, {
        ...{ y: "loss", fx: "run", stroke: "var(--dim)" },
        strokeDasharray: "5 4",
      }),
      plot.text(recorded, {
        ...{ fx: "run", text: "of", fill: "var(--dim)" },
        ...{ frameAnchor: "bottom-left", dx: 6, dy: -6 },
      }),
      ...curves.map(({ column, line }) =>
        plot.line(points.filter((point) => point.column === column), {
          ...{ x: "step", y: "loss", fx: "run", stroke: line.color },
          strokeDasharray: "dash" in line ? line.dash : "none",
        })
      ),
      ...curves.map(({ of, line }, i) =>
        plot.text([{ run: first, of }], {
          ...{ fx: "run", text: "of", fill: line.color },
          ...{ frameAnchor: "top-right", dx: -6, dy: 6 + 14 * i },
        })
      ),
    ],
  }));
}

for (const directory of Deno.args) {
  const path = join(folder, `${basename(directory)}.csv`);
  await Deno.writeTextFile(path, await csv(directory));
}
await Deno.writeTextFile(join(folder, "loss.svg"), await draw());
