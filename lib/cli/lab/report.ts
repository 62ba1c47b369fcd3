/** `lab merge` and `lab report`: gather and report a study's outcomes. */

import { openBackend } from "../../backends/open.ts";
import { studyDocument } from "../../lab/document.ts";
import { trialsOf } from "../../lab/plan.ts";
import { positionsDocument } from "../../lab/positions/document.ts";
import type { PositionOutcome } from "../../lab/positions/measure.ts";
import { type OrderResult, orderResults } from "../../lab/positions/order.ts";
import type { Document } from "../../report/document.ts";
import type { Arguments } from "../command/arguments.ts";
import { exitCode } from "../command/errors.ts";
import { program } from "../command/program.ts";
import { writeError, writeOutput } from "../terminal/terminal.ts";
import { ladderOf } from "./ladder.ts";
import { reportMuseum } from "./museum.ts";
import { openStudy } from "./run.ts";
import { files, Study, writeDocument } from "./study.ts";
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
    const orders = await study.saved(files.orders, measureOrders);
    return positionsDocument({ plan, outcomes, orders, command });
  }
  const outcomes = await study.outcomes();
  const rungs = plan.measure === "works"
    ? await study.saved(
      files.ladder,
      async () => (await ladderOf(plan)).rungs,
    )
    : [];
  return studyDocument({ plan, outcomes, rungs });
}

/** Measures the effects of the order of tokens on each backend; on WebGPU only where `auto` chooses it. */
async function measureOrders(): Promise<readonly OrderResult[]> {
  const results: OrderResult[] = [];
  for (const device of ["reference", "wasm", "auto"] as const) {
    await using backend = await openBackend(device, { blas: "off" });
    if (device === "auto" && backend.kind !== "webgpu") continue;
    results.push(...await orderResults(backend));
  }
  return results;
}
