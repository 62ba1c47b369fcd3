/**
 * Checks of what a network makes of its batches: logits, loss, gradients, and
 * what the optimizer's steps do. Running the steps is here; judging gradients and
 * steps is in `gradients.ts` and `steps.ts`.
 *
 * A prefix such as `correct.` tells apart several networks in one file.
 */

import type { Numbers } from "../../lib/backends/backend.ts";
import type { ModelConfig } from "../../lib/config/model.ts";
import { type TrainConfig, trainConfig } from "../../lib/config/train.ts";
import type { Model } from "../../lib/model/model.ts";
import {
  METRIC_SLOTS,
  METRIC_WIDTH,
  scheduleAt,
} from "../../lib/train/optimizer.ts";
import { trainPlan } from "../../lib/train/plan.ts";
import type { Batches } from "./batches.ts";
import { readOptimizer } from "./configuration.ts";
import { checkGradients, recordsGradients } from "./gradients.ts";
import { NotUnderstoodError } from "./not_understood.ts";
import { checkSteps, recordedSteps } from "./steps.ts";
import type { Subject } from "./subject.ts";
import { internalsOf } from "../../lib/model/internals.ts";

/** One of the networks of a file. */
export interface Variant {
  /** Stands before the names of its quantities. */
  readonly prefix: string;
  /** What is different about it. */
  readonly change?: Partial<ModelConfig>;
}

/** What a few steps of training gave. */
export interface TrainingRun {
  /** Of batch 0 at the initial parameters. */
  readonly loss: number;
  /** Of that loss, before clipping; the flat store. */
  readonly gradients: Numbers;
  /** For each step, before its update. */
  readonly losses: readonly number[];
  /** For each step, before clipping. */
  readonly gradNorms: readonly number[];
  /** The flat store of parameters after each step. */
  readonly parameters: readonly Numbers[];
}

/** Checks everything that is recorded of a network on its batches. */
export async function checkTraining(
  subject: Subject,
  batches: Batches,
  { prefix, change }: Variant,
): Promise<void> {
  await using model = await subject.model(change);
  await checkLogits(subject, model, { batches, prefix });
  const steps = recordedSteps(subject.recording, prefix);
  const isNeeded = steps > 0 || subject.recording.records(`${prefix}loss`) ||
    recordsGradients(subject, prefix);
  if (!isNeeded) return;
  const optimizer = steps > 0 ? optimizerOf(subject) : trainConfig();
  const run = await train(model, { batches, steps, optimizer });
  subject.compare(`${prefix}loss`, [run.loss], { kind: "loss", shape: [1] });
  checkGradients(subject, run.gradients, prefix);
  checkSteps(subject, run, { prefix, optimizer });
}

/** All logits (B, T, V), or those of the last position (B, V). */
async function checkLogits(
  subject: Subject,
  model: Model,
  { batches, prefix }: { batches: Batches; prefix: string },
): Promise<void> {
  const { recording } = subject;
  const [all, last] = [`${prefix}logits`, `${prefix}last_logits`];
  if (!recording.records(all) && !recording.records(last)) return;
  const { B, T } = batches;
  const V = model.config.vocabSize;
  const logits = await model.forward(batches.tokens(0), { B, T });
  subject.compare(all, logits, { kind: "logits", shape: [B, T, V] });
  const lastLogits = logits.filter((_, i) => Math.floor(i / V) % T === T - 1);
  subject.compare(last, lastLogits, { kind: "logits", shape: [B, V] });
}

function optimizerOf(
  { recording, network, parameters }: Subject,
): TrainConfig {
  return readOptimizer(recording, {
    family: network.family,
    parameters: new Map(
      parameters.map(({ recorded, entry }) => [
        recorded,
        { isMatrix: entry.shape.length >= 2 },
      ]),
    ),
  });
}

/** Runs the train plan: one batch's gradient, and so many whole steps. */
async function train(
  model: Model,
  { batches, steps, optimizer }: {
    batches: Batches;
    steps: number;
    optimizer: TrainConfig;
  },
): Promise<TrainingRun> {
  const { B, T, count } = batches;
  if (steps > count) {
    throw new NotUnderstoodError(
      `there are records of ${steps} optimizer steps, and ${count} batches`,
    );
  }
  const plan = trainPlan(model.config, optimizer, { B, T });
  const program = await internalsOf(model).executor.compile(
    plan,
    internalsOf(model).stores,
  );
  const gradientOf = (step: number) => {
    program.buffer("tokens").write(batches.tokens(step));
    program.buffer("targets").write(batches.targets(step));
    program.buffer("key").write([0, step, step % METRIC_SLOTS, 0]);
    program.run(["gradient"]);
  };
  gradientOf(0);
  const loss = (await program.buffer("loss").read())[0]!;
  const gradients = await program.buffer("grads").read();
  const [losses, gradNorms, parameters] = [
    [] as number[],
    [] as number[],
    [] as Numbers[],
  ];
  for (let step = 0; step < steps; step++) {
    if (step > 0) gradientOf(step);
    program.buffer("schedule").write(scheduleAt(optimizer, step));
    program.run(["update"]);
    const row = (step % METRIC_SLOTS) * METRIC_WIDTH;
    const metrics = await program.buffer("metrics").read(row, 2);
    losses.push(metrics[0]!);
    gradNorms.push(metrics[1]!);
    parameters.push(await program.buffer("params").read());
  }
  program.destroy();
  return { loss, gradients, losses, gradNorms, parameters };
}
