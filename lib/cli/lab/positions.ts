/** `lab positions`: plans, runs and reports the study of positions. */

import type { Arguments } from "../command/arguments.ts";
import { exitCode } from "../command/errors.ts";
import { placement } from "../verbs/placement.ts";
import { writeOutput } from "../terminal/terminal.ts";
import { runAndMerge, startPositions } from "./experiment.ts";
import { writeReport } from "./report.ts";
import type { LabPositionsFlags } from "./flags.ts";

/** Runs the rest of the study; returns the exit code. */
export async function labPositions(
  { flags }: Arguments<LabPositionsFlags>,
): Promise<number> {
  placement(flags);
  const study = await startPositions(flags);
  const code = await runAndMerge(study, flags);
  if (code === exitCode.ok) await writeOutput(await writeReport(study));
  return code;
}
