/** `lab merge` and `lab report`: gather and report a study's outcomes. */

import { openBackend } from "../../backends/open.ts";
import { studyDocument } from "../../lab/document.ts";
import { trialsOf } from "../../lab/plan.ts";
import { positionsDocument } from "../../lab/positions/document.ts";
import type { PositionOutcome } from "../../lab/positions/measure.ts";
import { type OrderResult, orderResults } from "../../lab/positions/order.ts";
import type { Rung } from "../../lab/works.ts";
import type { Document } from "../../report/document.ts";
import type { Arguments } from "../command/arguments.ts";
import { exitCode } from "../command/errors.ts";
import { program } from "../command/program.ts";
import { Interrupt } from "../terminal/interrupt.ts";
import { writeError, writeOutput } from "../terminal/terminal.ts";
import { ladderOf } from "./ladder.ts";
import { reportMuseum } from "./museum.ts";
import { openStudy } from "./run.ts";
import { files, Study } from "./study.ts";
import { writeDocument } from "./write_document.ts";
import type { LabMergeFlags } from "./flags.ts";

/** Gathers outcomes; returns the exit code. */
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

/** Writes the report; returns the exit code. */
export async function labReport(
  { operand }: Arguments<unknown>,
): Promise<number> {
  const text = operand && await reportMuseum(operand);
  await writeOutput(text || await writeReport(await openStudy(operand)));
  return exitCode.ok;
}

/** Writes a study's report, as Markdown and as a page; returns the Markdown. */
export async function writeReport(study: Study): Promise<string> {
  return await writeDocument(study.path, await documentOf(study));
}

async function documentOf(study: Study): Promise<Document> {
  const { plan } = study;
  if (plan.measure === "positions") {
    const outcomes: PositionOutcome[] = await study.outcomes();
    const command = `${program()} lab positions`;
    const orders = await ordersOf(study);
    return positionsDocument({ plan, outcomes, orders, command });
  }
  const outcomes = await study.outcomes();
  const rungs = plan.measure === "works" ? await rungsOf(study) : [];
  return studyDocument({ plan, outcomes, rungs });
}

/** Returns the rungs of a study's text, and saves them in the study once they are found. */
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

/** Measures the effects of the order of tokens on each backend (WebGPU only where `auto` chooses it), and saves the results in the study. */
async function ordersOf(study: Study): Promise<readonly OrderResult[]> {
  const kept = await study.orders();
  if (kept !== undefined) return kept;
  const results: OrderResult[] = [];
  for (const device of ["reference", "wasm", "auto"] as const) {
    await using backend = await openBackend(device);
    if (device === "auto" && backend.kind !== "webgpu") continue;
    results.push(...await orderResults(backend));
  }
  await study.write(files.orders, `${JSON.stringify(results, null, 2)}\n`);
  return results;
}
