/**
 * Checks of a recorded model: its logits, loss, gradients, optimizer steps, what its mask lets through, and
 * generation. Parameters, configuration and training are named as in a checkpoint.
 */

import type { Backend, Numbers } from "../../lib/backends/backend.ts";
import { type TrainConfig, trainConfig } from "../../lib/config/train.ts";
import type { Model } from "../../lib/model/model.ts";
import { internalsOf } from "../../lib/model/internals.ts";
import {
  METRIC_SLOTS,
  METRIC_WIDTH,
  scheduleAt,
} from "../../lib/train/optimizer.ts";
import { trainPlan } from "../../lib/train/plan.ts";
import type { Report } from "./comparison.ts";
import { checkGeneration } from "./generation.ts";
import { type Recording, refuse } from "./recording.ts";
import { checkSteps, recordedSteps, type TrainingRun } from "./steps.ts";
import { partOf, Subject } from "./subject.ts";

/** Checks everything that is recorded of a model. */
export async function checkModel(
  recording: Recording,
  report: Report,
  backend: Backend,
): Promise<void> {
  const subject = new Subject(recording, report, backend);
  await using model = await subject.model();
  const batches = readBatches(subject);
  await checkGeneration(subject, model);
  if (batches === undefined) return;
  await checkLogits(subject, model, batches);
  await checkLeak(subject, model, batches);
  await checkTraining(subject, model, batches); // last: it changes the parameters
}

/** Batches of token ids and their targets. */
interface Batches {
  readonly B: number;
  readonly T: number;
  readonly count: number;
  /** Inputs of a batch, (B, T). */
  tokens(batch: number): Int32Array;
  /** Targets of a batch, (B, T). */
  targets(batch: number): Int32Array;
}

/** Reads `tokens` and `targets`, (batches, B, T) both; undefined if there are none. */
function readBatches({ recording, config }: Subject): Batches | undefined {
  if (!recording.has("tokens")) return undefined;
  const read = (name: string) => recording.ids(name, 3, config.vocabSize);
  const tokens = read("tokens");
  const targets = recording.has("targets") ? read("targets") : undefined;
  const [count, B, T] = tokens.shape as [number, number, number];
  if (targets !== undefined && targets.shape.join() !== tokens.shape.join()) {
    refuse(
      `tensor targets has shape [${targets.shape}], tokens [${tokens.shape}]`,
    );
  }
  if (T > config.blockSize) {
    refuse(
      `sequences of ${T} are longer than blockSize (${config.blockSize})`,
    );
  }
  const batch = (data: Int32Array, number: number) =>
    data.slice(number * B * T, (number + 1) * B * T);
  return {
    ...{ B, T, count },
    tokens: (number) => batch(tokens.data, number),
    targets: (number) => {
      if (targets !== undefined) return batch(targets.data, number);
      refuse("tensor targets is missing");
    },
  };
}

/** Checks the logits of batch 0: all (B, T, V), or those of the last position (B, V). */
async function checkLogits(
  subject: Subject,
  model: Model,
  { B, T, tokens }: Batches,
): Promise<void> {
  const V = model.config.vocabSize;
  const logits = await model.forward(tokens(0), { B, T });
  subject.compare("logits", logits, { kind: "logits", shape: [B, T, V] });
  const last = logits.filter((_, i) => Math.floor(i / V) % T === T - 1);
  subject.compare("last_logits", last, { kind: "logits", shape: [B, V] });
}

/** Checks `leak` (T, T): [j, t] is the largest change of a logit at position t when token j becomes (token + leakShift) mod V. */
async function checkLeak(
  subject: Subject,
  model: Model,
  { B, T, tokens }: Batches,
): Promise<void> {
  const { recording, report } = subject;
  if (!recording.has("leak")) return;
  const { vocabSize: V, mask } = model.config;
  const shift = recording.json("leakShift", (value) => {
    if (Number.isSafeInteger(value) && Number(value) >= 0) return Number(value);
    refuse(`${value} is not an integer of at least 0`);
  });
  const before = await model.forward(tokens(0), { B, T });
  const leak = new Float64Array(T * T);
  for (let j = 0; j < T; j++) {
    const changed = tokens(0).map((id, i) =>
      i % T === j ? (id + shift) % V : id
    );
    const after = await model.forward(changed, { B, T });
    before.forEach((logit, i) => {
      const at = j * T + Math.floor(i / V) % T;
      leak[at] = Math.max(leak[at]!, Math.abs(after[i]! - logit));
    });
  }
  subject.compare("leak", leak, { kind: "leak", shape: [T, T] });
  if (mask !== "causal") return;
  const future = leak.filter((_, i) => i % T < Math.floor(i / T));
  report.compare("leak, from the future", [
    { name: "leak", recorded: future.map(() => 0), computed: future },
  ], { measure: "count", limit: 0 });
}

async function checkTraining(
  subject: Subject,
  model: Model,
  batches: Batches,
): Promise<void> {
  const { recording, report, tolerances } = subject;
  const steps = recordedSteps(recording);
  const isNeeded = steps > 0 ||
    recording.matching(/^(loss$|grad_norm$|grad\.|grad_norm\.)/).length > 0;
  if (!isNeeded) return;
  const optimizer = steps > 0 ? readTraining(recording) : trainConfig();
  const run = await train(model, { batches, steps, optimizer });
  subject.compare("loss", run.losses.slice(0, 1), { kind: "loss", shape: [1] });
  recording.compare(report, {
    quantity: "grad",
    computed: subject.partsOf(run.gradients, "grad."),
    tolerance: (precision) => tolerances.of("gradient", precision),
  });
  const normKind = { kind: "gradientNorms", shape: [1] } as const;
  subject.compare("grad_norm", run.gradNorms.slice(0, 1), normKind);
  recording.compare(report, {
    quantity: "grad_norm of each parameter",
    computed: subject.parameters.map((parameter) => ({
      name: `grad_norm.${parameter.name}`,
      shape: [1],
      values: [norm(partOf(parameter, run.gradients))],
    })),
    tolerance: (precision) => tolerances.of("gradientNorms", precision),
  });
  if (steps > 0) checkSteps(subject, run, optimizer);
}

/** Reads metadata `training`, as in a checkpoint. */
function readTraining(recording: Recording): TrainConfig {
  return recording.json("training", (value) => {
    const { step, config } = value as { step: unknown; config: object };
    const training = trainConfig(config);
    if (step !== 0 || training.gradAccumulation !== 1) {
      refuse(
        `step is ${step} and gradAccumulation ${training.gradAccumulation}, not 0 and 1`,
      );
    }
    return training;
  });
}

/** Runs so many whole steps, or where there are none the first batch's gradient. */
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
    refuse(
      `there are records of ${steps} optimizer steps, and ${count} batches`,
    );
  }
  const { executor, stores } = internalsOf(model);
  const plan = trainPlan(model.config, optimizer, { B, T });
  const program = await executor.compile(plan, stores);
  let gradients: Numbers = new Float32Array();
  const losses: number[] = [];
  const gradNorms: number[] = [];
  const parameters: Numbers[] = [];
  try {
    for (let step = 0; step < Math.max(1, steps); step++) {
      program.buffer("tokens").write(batches.tokens(step));
      program.buffer("targets").write(batches.targets(step));
      program.buffer("key").write([0, step, step % METRIC_SLOTS, 0]);
      program.run(["gradient"]);
      if (step === 0) gradients = await program.buffer("grads").read();
      program.buffer("schedule").write(scheduleAt(optimizer, step));
      program.run(["update"]);
      const row = (step % METRIC_SLOTS) * METRIC_WIDTH;
      const metrics = await program.buffer("metrics").read(row, 2);
      losses.push(metrics[0]!);
      gradNorms.push(metrics[1]!);
      parameters.push(await program.buffer("params").read());
    }
  } finally {
    program.destroy();
  }
  return { gradients, losses, gradNorms, parameters };
}

/** Returns the 2-norm. */
function norm(values: Numbers): number {
  let square = 0;
  for (const value of values) square += value ** 2;
  return Math.sqrt(square);
}
