/** Checks a recorded network: a file whose model is `seed`, `nanogpt` or `own`. */

import type { Backend } from "../../lib/backends/backend.ts";
import { readBatches } from "./batches.ts";
import type { Report } from "./comparison.ts";
import type { Family } from "./configuration.ts";
import { checkGeneration } from "./generation.ts";
import { checkMasks } from "./leaks.ts";
import { checkPositionTables } from "./position_tables.ts";
import type { Recording } from "./recording.ts";
import { Subject } from "./subject.ts";
import { checkTraining } from "./training.ts";

/** Runs every check that the file holds something for. */
export async function checkNetwork(
  recording: Recording,
  report: Report,
  options: { family: Family; backend: Backend },
): Promise<void> {
  const subject = new Subject(recording, report, options);
  const { vocabSize } = subject.config;
  const batches = readBatches(recording, report, vocabSize);
  if (batches !== undefined) {
    await checkTraining(subject, batches, { prefix: "" });
    await checkMasks(subject, batches);
  }
  checkPositionTables(subject, batches);
  await checkGeneration(subject);
}
