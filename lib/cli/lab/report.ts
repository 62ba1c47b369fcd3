/** `lab merge` and `lab report`: what became of a study. */

import type { Outcome } from "../../lab/outcome.ts";
import { type Plan, trialsOf } from "../../lab/plan.ts";
import {
  ladderTable,
  reachedRungs,
  reachedTable,
} from "../../lab/rung_table.ts";
import {
  scalingResult,
  scalingText,
  UNFITTED,
  verdictText,
} from "../../lab/scaling/scaling.ts";
import {
  baselineText,
  cellResults,
  describeChanges,
  incomparable,
  markdownTable,
  tableNotes,
} from "../../lab/table.ts";
import type { Rung } from "../../lab/works.ts";
import type { Arguments } from "../command/arguments.ts";
import { exitCode } from "../command/errors.ts";
import { Interrupt } from "../terminal/interrupt.ts";
import { writeError, writeOutput } from "../terminal/terminal.ts";
import { ladderOf } from "./ladder.ts";
import { reportMuseum } from "./museum.ts";
import { writePositionsReport } from "./positions_report.ts";
import { isRough, provenance, roughness } from "./provenance.ts";
import { openStudy } from "./run.ts";
import { files, Study } from "./study.ts";
import type { LabMergeFlags } from "./flags.ts";

/** Gathers outcomes; gives the exit code. */
export async function labMerge(
  { flags: { from = [] }, operand }: Arguments<LabMergeFlags>,
): Promise<number> {
  const study = await openStudy(operand);
  const others = await Promise.all(from.map((path) => Study.open(path)));
  const lists = await Promise.all(
    [study, ...others].map((each) => each.outcomes()),
  );
  const outcomes = study.gather(lists);
  const path = await study.merge(outcomes);
  const planned = trialsOf(study.plan).length;
  writeError(`${path}: ${outcomes.length} of ${planned} trials\n`);
  return exitCode.ok;
}

/** Writes the report; gives the exit code. */
export async function labReport(
  { operand }: Arguments<unknown>,
): Promise<number> {
  const text = operand && await reportMuseum(operand);
  await writeOutput(text || await writeReport(await openStudy(operand)));
  return exitCode.ok;
}

/** Writes a study's report, as Markdown and as a page; gives the Markdown. */
export async function writeReport(study: Study): Promise<string> {
  const { plan } = study;
  if (plan.measure === "positions") return await writePositionsReport(study);
  const outcomes = await study.outcomes();
  const rungs = plan.measure === "works" ? await rungsOf(study) : [];
  const text = studyReport(plan, { outcomes, rungs });
  await study.write(files.report, text);
  const { openPlotter } = await import("../report/open_plotter.ts");
  const { studyPage } = await import("../report/study_page.ts");
  const plotter = await openPlotter();
  const html = await studyPage(plotter, { plan, outcomes, rungs });
  await study.write(files.page, html);
  return text;
}

/** The rungs of a study's text, which are kept once they are found. */
async function rungsOf(study: Study): Promise<readonly Rung[]> {
  const kept = await study.rungs();
  if (kept !== undefined) return kept;
  using interrupt = new Interrupt();
  const { data, tokenizer } = study.plan;
  const { signal } = interrupt;
  const { rungs } = await ladderOf({ data, tokenizer, signal });
  await study.write(files.ladder, `${JSON.stringify(rungs, null, 2)}\n`);
  return rungs;
}

/** A study's report in Markdown. */
function studyReport(
  plan: Plan,
  { outcomes, rungs }: {
    readonly outcomes: readonly Outcome[];
    readonly rungs: readonly Rung[];
  },
): string {
  const order = plan.experiment === "ablate" ? "worst" : "best";
  const results = cellResults(plan, outcomes, order);
  const scaling = plan.experiment === "scaling"
    ? scalingResult(plan, outcomes)
    : undefined;
  const alone = incomparable(plan, results);
  return [
    `# ${plan.study}`,
    "",
    plan.about,
    "",
    ...isRough(plan) ? [`**Rough**: ${roughness(plan)}.`, ""] : [],
    `Losses are nats per token of ${plan.data} (${plan.tokenizer}), on the whole`,
    "validation split after the last step; ± is a 95 % confidence interval over seeds" +
    (alone === undefined
      ? `, of a difference over pairs of the same seed. ${
        baselineText(plan, results)
      }`
      : "."),
    "",
    ...alone === undefined ? [] : [`**${alone}**`, ""],
    `The base: ${describeChanges(plan.base)}.`,
    "",
    ...plan.experiment !== "scaling"
      ? []
      : scaling === undefined
      ? [`**${UNFITTED}**`, ""]
      : [scalingText(scaling), "", `**${verdictText(scaling)}**`, ""],
    markdownTable(results),
    "",
    ...tableNotes(results, scaling && [scaling.predicted, scaling.difference])
      .flatMap((note) => [note, ""]),
    ...rungs.length === 0 ? [] : [
      "What a model has to score to work, which the text itself sets (docs/works.md):",
      "",
      ladderTable(rungs),
      "",
      reachedTable(reachedRungs(plan, outcomes, rungs)),
      "",
    ],
    provenance(plan, outcomes),
    "",
  ].join("\n");
}
