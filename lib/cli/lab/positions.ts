/** `lab positions`: plans, runs and reports the study of positions. */

import type { Arguments } from "../arguments.ts";
import { positionsPlan } from "../../lab/positions/plan.ts";
import { exitCode } from "../errors.ts";
import { writeOutput } from "../terminal.ts";
import { runAndMerge } from "./experiment.ts";
import { writeReport } from "./report.ts";
import { Study } from "./study.ts";
import type { LabPositionsFlags } from "./positions_verb.ts";

/** Does what is left of it; gives the exit code. */
export async function labPositions(
  { flags }: Arguments<LabPositionsFlags>,
): Promise<number> {
  const { quick = false, out } = flags;
  const path = out ?? `studies/positions${quick ? "-quick" : ""}`;
  const study = await Study.start(path, positionsPlan({ quick }));
  const code = await runAndMerge(study, flags);
  if (code === exitCode.ok) await writeOutput(await writeReport(study));
  return code;
}
