/**
 * Turns finished runs into what docs/runs/ keeps of them:
 *
 *     deno run -A tools/loss_curves.ts runs/original runs/nano-cpu
 *
 * writes docs/runs/NAME.csv, the losses of each run, and docs/runs/loss.svg, all of them as a
 * picture. NAME is that of the run's directory.
 */

import { basename, fromFileUrl, join } from "@std/path";
import type { TrainEvent } from "../lib/train/events.ts";

/** Draws the picture. It runs in a process of its own, so that nobody else downloads it. */
const plotter = "npm:vega-lite@6.5.0/vl2svg";

/** Steps whose training losses become one number. */
const STRIDE = 10;

/** The validation loss that a recorded run of the PyTorch program ended with, on the same split. */
const recorded: Record<string, { loss: number; of: string }> = {
  original: { loss: 1.732, of: "the original in PyTorch: 1.732" },
  "nano-cpu": {
    loss: 1.911,
    of: "nanoGPT in PyTorch: 1.911 (200 batches)",
  },
};

interface Point {
  readonly run: string;
  readonly step: number;
  readonly loss: number;
  readonly of: string;
}

const TRAINING = `training batches, as optimised (mean of ${STRIDE} steps)`;
const SPLITS = { train: "training split", val: "validation split" };

/** The losses of a run, from its metrics.jsonl. */
async function pointsOf(directory: string): Promise<Point[]> {
  const run = basename(directory);
  const text = await Deno.readTextFile(join(directory, "metrics.jsonl"));
  const points: Point[] = [];
  let sum = 0;
  for (const line of text.trimEnd().split("\n")) {
    const event = JSON.parse(line) as TrainEvent;
    if (event.event === "step") {
      sum += event.loss;
      if (event.step % STRIDE !== 0) continue;
      const loss = sum / STRIDE;
      points.push({ run, step: event.step, loss, of: TRAINING });
      sum = 0;
    } else if (event.event === "eval") {
      const { step, trainLoss, valLoss } = event;
      points.push({ run, step, loss: trainLoss, of: SPLITS.train });
      points.push({ run, step, loss: valLoss, of: SPLITS.val });
    }
  }
  return points;
}

/** A table with a line for each step that has a loss. */
function csv(points: readonly Point[]): string {
  const columns = [TRAINING, SPLITS.train, SPLITS.val];
  const lines = [["step", "training", "trainSplit", "validationSplit"].join()];
  for (const [step, here] of Map.groupBy(points, (point) => point.step)) {
    const cells = columns.map((of) =>
      here.find((point) => point.of === of)?.loss.toFixed(4) ?? ""
    );
    lines.push([step, ...cells].join());
  }
  return lines.join("\n") + "\n";
}

/** The picture, as a Vega-Lite specification. */
function chart(points: readonly Point[]): unknown {
  const x = { field: "step", type: "quantitative", title: "optimizer steps" };
  const y = {
    field: "loss",
    type: "quantitative",
    title: "loss, nats per character",
    scale: { domain: [1.2, 3.2], clamp: true },
  };
  const color = {
    field: "of",
    type: "nominal",
    title: null,
    sort: [TRAINING, SPLITS.train, SPLITS.val],
    scale: {
      domain: [TRAINING, SPLITS.train, SPLITS.val],
      range: ["#b5c4d8", "#e08b2c", "#1f5fa8"],
    },
    legend: {
      orient: "bottom",
      symbolType: "stroke",
      columns: 1,
      labelLimit: 400,
    },
  };
  const charts = [...new Set(points.map(({ run }) => run))].map((run) => {
    const values = points.filter((point) => point.run === run);
    const goal = recorded[run];
    return {
      title: `--preset ${run}`,
      width: 380,
      height: 260,
      data: { values },
      layer: [
        { mark: { type: "line", strokeWidth: 1.5 }, encoding: { x, y, color } },
        ...goal === undefined ? [] : [{
          data: { values: [goal] },
          mark: { type: "rule", strokeDash: [5, 4], color: "#555" },
          encoding: { y: { ...y, type: "quantitative" } },
        }, {
          data: { values: [goal] },
          mark: { type: "text", align: "left", x: 6, dy: 11, color: "#555" },
          encoding: { y, text: { field: "of" } },
        }],
      ],
    };
  });
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    background: "white",
    padding: 10,
    config: { font: "sans-serif", axis: { gridColor: "#eee" } },
    hconcat: charts,
  };
}

async function draw(specification: unknown, target: string): Promise<void> {
  const file = await Deno.makeTempFile({ suffix: ".vl.json" });
  try {
    await Deno.writeTextFile(file, JSON.stringify(specification));
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--quiet", "--no-config", "--no-lock", plotter],
        ...[file, target],
      ],
    }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
  } finally {
    await Deno.remove(file);
  }
}

const folder = fromFileUrl(new URL("../docs/runs/", import.meta.url));
await Deno.mkdir(folder, { recursive: true });
const runs = await Promise.all(Deno.args.map(pointsOf));
for (const points of runs) {
  await Deno.writeTextFile(join(folder, `${points[0]!.run}.csv`), csv(points));
}
await draw(chart(runs.flat()), join(folder, "loss.svg"));
