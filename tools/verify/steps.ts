/**
 * Checks of the optimizer's steps: losses and gradient norms along the way, and
 * parameters after some of them.
 *
 * AdamW divides a gradient by its own size, so where a gradient is nothing but noise
 * the parameter moves by up to the learning rate all the same. There only that is
 * checked: that it moved no further (twice the rate, for steps in opposite directions).
 */

import type { Numbers } from "../../lib/backends/backend.ts";
import type { TrainConfig } from "../../lib/config/train.ts";
import { recordsOf } from "./gradients.ts";
import {
  pairParameters,
  type Parameter,
  toRecorded,
  zeroGradients,
} from "./parameter_names.ts";
import type { Recording } from "./recording.ts";
import type { Subject } from "./subject.ts";
import type { TrainingRun } from "./training.ts";

/** How many optimizer steps it takes to compute all that is recorded of them. */
export function recordedSteps(recording: Recording, prefix: string): number {
  return Math.max(
    recording.lengthOf(`${prefix}losses`),
    recording.lengthOf(`${prefix}grad_norms`),
    ...recordedStates(recording, prefix),
  );
}

/** The steps after which parameters are recorded, ascending. */
function recordedStates(recording: Recording, prefix: string): number[] {
  const escaped = prefix.replaceAll(".", "\\.");
  const pattern = new RegExp(`^(?:ref64\\.)?${escaped}step([1-9]\\d*)\\.`);
  const steps = recording.matching(pattern).map(([, step]) => Number(step));
  return [...new Set(steps)].sort((a, b) => a - b);
}

/** Checks all records of optimizer steps. */
export function checkSteps(
  subject: Subject,
  run: TrainingRun,
  { prefix, optimizer }: { prefix: string; optimizer: TrainConfig },
): void {
  const { recording } = subject;
  for (
    const [quantity, values, kind] of [
      [`${prefix}losses`, run.losses, "losses"],
      [`${prefix}grad_norms`, run.gradNorms, "gradientNorms"],
    ] as const
  ) {
    const steps = recording.lengthOf(quantity);
    subject.compare(quantity, values.slice(0, steps), { kind, shape: [steps] });
  }
  for (const step of recordedStates(recording, prefix)) {
    checkState(subject, run, { prefix, step, optimizer });
  }
}

function checkState(
  subject: Subject,
  run: TrainingRun,
  { prefix, step, optimizer }: {
    prefix: string;
    step: number;
    optimizer: TrainConfig;
  },
): void {
  const { recording, report, parameters, config, tolerances } = subject;
  const zeros = zeroGradients(recording, parameters, config);
  const isReal = ({ recorded }: Parameter) => (index: number) =>
    !zeros.get(recorded)?.has(index);
  const isClear = clearGradients(subject, run, { prefix, optimizer });
  const drift = {
    measure: "absolute",
    limit: 2 * optimizer.learningRate * step,
  } as const;
  for (const record of recordsOf(`${prefix}step${step}`)) {
    const quantity = record.prefix.slice(0, -1);
    const compare = (
      what: string,
      only: (parameter: Parameter) => (index: number) => boolean,
      tolerance: Parameters<typeof report.compare>[2],
    ) => {
      const pairs = pairParameters(recording, parameters, {
        prefix: record.prefix,
        flat: run.parameters[step - 1] as Numbers,
        only,
      });
      report.compare(quantity + what, pairs, tolerance);
    };
    if (tolerances.isExact(record.precision)) {
      compare("", isReal, tolerances.of("laterStep", record.precision));
    } else if (step === 1) {
      const only = (parameter: Parameter) => {
        const [real, clear] = [isReal(parameter), isClear(parameter)];
        return (index: number) => real(index) && clear(index);
      };
      compare("", only, tolerances.of("firstStep", record.precision));
    } else {
      const { measure, limit } = tolerances.of("laterStep", record.precision);
      // The noise that the limit allows for was that of ten steps.
      const growth = Math.max(1, step / 10);
      compare("", isReal, { measure, limit: limit * growth });
    }
    compare(", any element", () => () => true, drift);
  }
}

/** Where |c · gradient| >= 1e-5, a thousand times AdamW's usual ε: there the noise of a gradient stays noise. */
function clearGradients(
  { recording }: Subject,
  run: TrainingRun,
  { prefix, optimizer }: { prefix: string; optimizer: TrainConfig },
): (parameter: Parameter) => (index: number) => boolean {
  const { gradClip } = optimizer;
  const clip = gradClip === 0
    ? 1
    : Math.min(1, gradClip / (run.gradNorms[0]! + 1e-6));
  return (parameter) => {
    const { recorded, entry } = parameter;
    const name = [`ref64.${prefix}grad.`, `${prefix}grad.`]
      .map((start) => start + recorded)
      .find((name) => recording.has(name));
    const gradient = name === undefined
      ? toRecorded(parameter, run.gradients)
      : recording.floats(name, entry.shape);
    return (index) => clip * Math.abs(gradient[index]!) >= 1e-5;
  };
}
