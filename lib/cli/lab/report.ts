/** `lab merge` and `lab report`: what became of a study. */

import { mergeOutcomes } from "../../lab/outcome.ts";
import { baselineOf, trialsOf } from "../../lab/plan.ts";
import {
  cellResults,
  describeChanges,
  markdownTable,
} from "../../lab/table.ts";
import type { Arguments } from "../arguments.ts";
import { exitCode } from "../errors.ts";
import { duration } from "../progress.ts";
import { writeError, writeOutput } from "../terminal.ts";
import { openStudy } from "./run.ts";
import { files, Study } from "./study.ts";
import type { LabMergeFlags, LabReportFlags } from "./verbs.ts";

/** Gathers outcomes; gives the exit code. */
export async function labMerge(
  { flags: { from = [] }, operand }: Arguments<LabMergeFlags>,
): Promise<number> {
  const study = await openStudy(operand);
  const others = await Promise.all(from.map((path) => Study.open(path)));
  const lists = await Promise.all(
    [study, ...others].map((each) => each.outcomes()),
  );
  const outcomes = mergeOutcomes(study.plan, lists);
  const path = await study.merge(outcomes);
  const planned = trialsOf(study.plan).length;
  writeError(`${path}: ${outcomes.length} of ${planned} trials\n`);
  return exitCode.ok;
}

/** Writes the report; gives the exit code. */
export async function labReport(
  { operand }: Arguments<LabReportFlags>,
): Promise<number> {
  await writeOutput(await writeReport(await openStudy(operand)));
  return exitCode.ok;
}

/** Writes a study's report; gives its text. */
export async function writeReport(study: Study): Promise<string> {
  const { plan } = study;
  const outcomes = await study.outcomes();
  const seconds = outcomes.reduce((sum, outcome) => sum + outcome.seconds, 0);
  const machines = [...new Set(outcomes.map(({ machine }) => machine))];
  const text = [
    `# ${plan.study}`,
    "",
    plan.about,
    "",
    `Losses are nats per token of ${plan.data} (${plan.tokenizer}), on the whole`,
    "validation split after the last step; ± is a 95 % confidence interval over seeds, of a",
    `difference over pairs of the same seed. The baseline is \`${
      baselineOf(plan)
    }\`.`,
    "",
    `The base: ${describeChanges(plan.base)}.`,
    "",
    markdownTable(cellResults(plan, outcomes)),
    "",
    `${outcomes.length} of ${trialsOf(plan).length} trials in ${
      duration(seconds)
    } of computing (${machines.join("; ") || "none yet"}); each line of`,
    `${files.merged} is one of them.`,
    "",
  ].join("\n");
  await study.write(files.report, text);
  return text;
}
