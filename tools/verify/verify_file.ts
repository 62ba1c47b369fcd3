/** Checks one recorded file: recognises it and hands it to the checks of its kind. */

import type { Backend } from "../../lib/backends/backend.ts";
import { passes, Report } from "./comparison.ts";
import { checkNetwork } from "./network.ts";
import { NotUnderstoodError } from "./not_understood.ts";
import { Recording } from "./recording.ts";
import { checkRotation } from "./rotation.ts";
import { checkSampling } from "./sampling.ts";

/** What came of a file. */
export interface Outcome {
  readonly report: Report;
  /** What about the file could not be judged; absent if all could. */
  readonly notUnderstood?: string;
  /** Everything was understood, something was compared, and nothing missed. */
  readonly passed: boolean;
}

/** Checks everything in a file of the format in tests/golden/README.md. */
export async function verifyFile(
  bytes: Uint8Array,
  backend: Backend,
): Promise<Outcome> {
  const report = new Report();
  try {
    const recording = new Recording(bytes);
    await checkByModel(recording, report, backend);
    remarkUncompared(recording, report);
    requireEverySeen(recording);
    if (report.checks.length === 0) {
      throw new NotUnderstoodError("it holds nothing to compare");
    }
  } catch (error) {
    if (!(error instanceof NotUnderstoodError)) throw error;
    return { report, notUnderstood: error.message, passed: false };
  }
  return { report, passed: report.checks.every(passes) };
}

async function checkByModel(
  recording: Recording,
  report: Report,
  backend: Backend,
): Promise<void> {
  const model = recording.text("model");
  switch (model) {
    case "seed":
    case "nanogpt":
    case "own":
      return await checkNetwork(recording, report, { family: model, backend });
    case "equation":
      return await checkRotation(recording, report, backend);
    case "definition":
      return checkSampling(recording, report);
    default:
      throw new NotUnderstoodError(
        model === undefined
          ? "metadata model is missing"
          : `metadata model is ${
            JSON.stringify(model)
          }, known are seed, nanogpt, own, equation, definition`,
      );
  }
}

function remarkUncompared(recording: Recording, report: Report): void {
  const reasons = Map.groupBy(recording.uncompared, ({ reason }) => reason);
  for (const [reason, facts] of reasons) {
    report.remark(
      `metadata ${facts.map(({ key }) => key).join(", ")}: ${reason}`,
    );
  }
}

/** Refuses a file with tensors that no check asked for. */
function requireEverySeen({ unseen }: Recording): void {
  const [name, ...others] = unseen;
  if (name === undefined) return;
  const more = others.length === 0 ? "" : ` (nor ${others.length} more)`;
  throw new NotUnderstoodError(
    `tensor ${name} is not one that can be checked here${more}`,
  );
}
