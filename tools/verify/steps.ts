/**
 * Checks of optimizer steps: losses and gradient norms along the way, and parameters after some of them.
 *
 * AdamW divides a gradient by its own size, so where a gradient is nothing but noise
 * the parameter moves by up to the learning rate all the same. There the check is only
 * that it moved no further (twice the rate, for steps in opposite directions).
 */

import type { Numbers } from "../../lib/backends/backend.ts";
import type { TrainConfig } from "../../lib/config/train.ts";
import type { LayoutEntry } from "../../lib/graph/layout.ts";
import type { Pair, Tolerance } from "./comparison.ts";
import type { Recording } from "./recording.ts";
import { partOf, type Subject } from "./subject.ts";

/** The results of a few steps of training. */
export interface TrainingRun {
  /** Of batch 0 at the initial parameters, before clipping; the flat store. */
  readonly gradients: Numbers;
  /** For each step, before its update. */
  readonly losses: readonly number[];
  /** For each step, before clipping. */
  readonly gradNorms: readonly number[];
  /** The flat store of parameters after each step. */
  readonly parameters: readonly Numbers[];
}

/** Returns the number of optimizer steps needed to compute everything that is recorded of them. */
export function recordedSteps(recording: Recording): number {
  const lengths = ["losses", "grad_norms"]
    .filter((name) => recording.has(name))
    .map((name) => recording.shape(name)[0] ?? 0);
  return Math.max(0, ...lengths, ...recordedStates(recording));
}

/** Returns the steps after which parameters are recorded. */
function recordedStates(recording: Recording): number[] {
  const steps = recording.matching(/^step([1-9]\d*)\./)
    .map(([, step]) => Number(step));
  return [...new Set(steps)];
}

/** Checks all records of optimizer steps. */
export function checkSteps(
  subject: Subject,
  run: TrainingRun,
  optimizer: TrainConfig,
): void {
  const { recording } = subject;
  for (
    const [name, values, kind] of [
      ["losses", run.losses, "losses"],
      ["grad_norms", run.gradNorms, "gradientNorms"],
    ] as const
  ) {
    if (!recording.has(name)) continue;
    const count = recording.shape(name)[0] ?? 0;
    subject.compare(name, values.slice(0, count), { kind, shape: [count] });
  }
  for (const step of recordedStates(recording)) {
    checkState(subject, run, { step, optimizer });
  }
}

function checkState(
  subject: Subject,
  run: TrainingRun,
  { step, optimizer }: { step: number; optimizer: TrainConfig },
): void {
  const { recording, report, tolerances } = subject;
  const compare = (
    what: string,
    tolerance: Tolerance,
    only?: (parameter: LayoutEntry) => Pair["only"],
  ) =>
    recording.compare(report, {
      quantity: `step${step}${what}`,
      computed: subject.partsOf(
        run.parameters[step - 1]!,
        `step${step}.`,
        only,
      ),
      tolerance: () => tolerance,
    });
  const [first] = subject.recorded(`step${step}.`);
  if (first === undefined) return;
  const { precision } = recording.floats(
    `step${step}.${first.name}`,
    first.shape,
  );
  const later = tolerances.of("laterStep", precision);
  if (tolerances.isExact(precision)) return compare("", later);
  if (step === 1) {
    const clear = clearGradients(subject, run, optimizer);
    compare("", tolerances.of("firstStep", precision), clear);
  } else {
    // The limit allows for the noise of ten steps.
    const limit = later.limit * Math.max(1, step / 10);
    compare("", { ...later, limit }, (parameter) => {
      const noisy = ignoredKeyBiases(subject, parameter);
      return (index) => !(index >= noisy.from && index < noisy.to);
    });
  }
  const { learningRate, muonLearningRate, optimizer: name } = optimizer;
  const rate = name === "muon"
    ? Math.max(learningRate, muonLearningRate)
    : learningRate;
  compare(
    ", any element",
    { measure: "absolute", limit: 2 * rate * step },
  );
}

/** Selects the elements with |c · gradient| >= 1e-5, a thousand times AdamW's usual ε, where AdamW does not magnify a gradient's noise. */
function clearGradients(
  { recording }: Subject,
  { gradNorms, gradients }: TrainingRun,
  { gradClip }: TrainConfig,
): (parameter: LayoutEntry) => Pair["only"] {
  const clip = gradClip === 0 ? 1 : Math.min(1, gradClip / gradNorms[0]!);
  return (parameter) => {
    const { name, shape } = parameter;
    const gradient = recording.has(`grad.${name}`)
      ? recording.floats(`grad.${name}`, shape).values
      : partOf(parameter, gradients);
    return (index) => clip * Math.abs(gradient[index]!) >= 1e-5;
  };
}

/** Returns the range of key biases whose gradient is 0: a softmax ignores what all keys of a query share, unless keys are treated one by one. */
function ignoredKeyBiases(
  { config: { qkNorm, position, mask, nHead, nKvHead, headSize } }: Subject,
  { name }: LayoutEntry,
): { from: number; to: number } {
  const matters = qkNorm || position.startsWith("rope") || mask === "zeroed";
  return matters || !name.endsWith("c_attn.bias")
    ? { from: 0, to: 0 }
    : { from: nHead * headSize, to: (nHead + nKvHead) * headSize };
}
