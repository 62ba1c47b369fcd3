/** Checks one recorded file by the checks of its kind. */

import { reasonGiven } from "../../lib/refusal.ts";
import type { Backend } from "../../lib/backends/backend.ts";
import {
  decodeSafetensors,
  type Safetensors,
} from "../../lib/formats/safetensors.ts";
import { passes, Report } from "./comparison.ts";
import { checkConstants } from "./constants.ts";
import { convert } from "./convert.ts";
import { checkModel } from "./model.ts";
import { NotUnderstoodError, Recording, refuse } from "./recording.ts";
import { checkRotation } from "./rotation.ts";
import { checkSampling } from "./sampling.ts";

/** The verdict on a file. */
export interface Outcome {
  readonly report: Report;
  /** The parts of the file that could not be judged; absent if all could. */
  readonly notUnderstood?: string;
  /** Everything was understood, something was compared, and nothing missed. */
  readonly passed: boolean;
}

/** Checks everything in a recording (tools/record/README.md), or in a file that `convert.ts` makes one or more of. */
export async function verifyFile(
  bytes: Uint8Array,
  backend: Backend,
): Promise<Outcome> {
  const report = new Report();
  try {
    const files = recordingsOf(bytes, report);
    for (const file of files) {
      const recording = new Recording(file);
      report.label = files.length > 1 ? recording.text("source") ?? "" : "";
      await checkByKind(recording, report, backend);
      const [unread, ...others] = recording.unread;
      if (unread !== undefined) {
        const more = others.length === 0 ? "" : ` (nor ${others.length} more)`;
        refuse(
          `${unread} is not one that can be checked here${more}`,
        );
      }
    }
    if (report.checks.length === 0) {
      refuse("it holds nothing to compare");
    }
  } catch (error) {
    if (!(error instanceof NotUnderstoodError)) throw error;
    return { report, notUnderstood: error.message, passed: false };
  }
  return { report, passed: report.checks.every(passes) };
}

function recordingsOf(bytes: Uint8Array, report: Report): Safetensors[] {
  let file: Safetensors;
  try {
    file = decodeSafetensors(bytes);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    refuse(reasonGiven(error));
  }
  // The older format does not record its name.
  return file.metadata["format"] === undefined ? convert(file, report) : [file];
}

async function checkByKind(
  recording: Recording,
  report: Report,
  backend: Backend,
): Promise<void> {
  const kind = recording.text("kind");
  switch (kind) {
    case "model":
      return await checkModel(recording, report, backend);
    case "rotation":
      return await checkRotation(recording, report, backend);
    case "sampler":
      return checkSampling(recording, report);
    case "constants":
      return checkConstants(recording, report);
    default:
      refuse(
        `metadata kind is ${
          JSON.stringify(kind)
        }, not model, rotation, sampler or constants`,
      );
  }
}
