/** The report of the study of positions, as Markdown and as a page. */

import { openBackend } from "../../backends/open.ts";
import { trialsOf } from "../../lab/plan.ts";
import { positionFindings } from "../../lab/positions/findings.ts";
import type { PositionOutcome } from "../../lab/positions/measure.ts";
import { type OrderResult, orderResults } from "../../lab/positions/order.ts";
import { positionsText, unlikeNone } from "../../lab/positions/report.ts";
import {
  cellResults,
  describeChanges,
  markdownTable,
} from "../../lab/table.ts";
import { program } from "../command/program.ts";
import { isRough, provenance, roughness } from "./provenance.ts";
import { files, type Study } from "./study.ts";

/** Writes it; gives the Markdown. */
export async function writePositionsReport(study: Study): Promise<string> {
  const { plan } = study;
  const outcomes: PositionOutcome[] = await study.outcomes();
  const findings = positionFindings(plan, outcomes);
  const orders = await ordersOf(study);
  const missing = trialsOf(plan).length - outcomes.length;
  const alone = unlikeNone(findings);
  const notes = [
    ...isRough(plan) ? [`Rough: ${roughness(plan)}.`] : [],
    ...missing > 0 ? [`${missing} trials are missing.`] : [],
    ...alone === undefined ? [] : [alone],
  ];
  const text = [
    `# ${plan.study}`,
    "",
    ...notes.flatMap((note) => [`**${note}**`, ""]),
    positionsText(findings, orders),
    "## The trials",
    "",
    `The base: ${describeChanges(plan.base)}.`,
    "",
    markdownTable(cellResults(plan, outcomes)),
    "",
    provenance(plan, outcomes),
    "",
    `To repeat it: \`${program()} lab positions\`.`,
    "",
  ].join("\n");
  await study.write(files.report, text);
  const { openPlotter } = await import("../report/open_plotter.ts");
  const { positionsPage } = await import("../report/positions_page.ts");
  const html = await positionsPage(await openPlotter(), {
    title: plan.study,
    about: plan.about,
    findings,
    orders,
    base: describeChanges(plan.base),
    provenance: provenance(plan, outcomes).replaceAll("**", ""),
    notes,
  });
  await study.write(files.page, html);
  return text;
}

/** What each backend says of the order of tokens; WebGPU where `auto` takes it. Kept once it is found. */
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
