/** `report`: writes a run, or a comparison of several, as one self-contained HTML file. */

import { join } from "@std/path";
import type { Arguments } from "../command/arguments.ts";
import { exitCode } from "../command/errors.ts";
import { replaceFile } from "../run/files.ts";
import { Interrupt } from "../terminal/interrupt.ts";
import { placement, placementFor } from "./placement.ts";
import { evaluationWork } from "../../checks/device_choice.ts";
import type { Document } from "../../report/document.ts";
import { comparisonDocument } from "../report/comparison_document.ts";
import { measure } from "../report/measurement.ts";
import { openPlotter, pageOf } from "../report/page.ts";
import { runDocument } from "../report/run_document.ts";
import { readRun } from "../report/run_record.ts";
import { files, hasCheckpoint } from "../run/directory.ts";
import { StatusLine, warn, writeOutput } from "../terminal/terminal.ts";
import type { ReportFlags } from "./flags.ts";

/** Writes the report; returns the exit code. */
export async function report(
  { flags, operands }: Arguments<ReportFlags>,
): Promise<number> {
  using interrupt = new Interrupt();
  placement(flags); // refuses flags that contradict each other
  const given = operands.length === 0 ? [undefined] : operands;
  const runs = await Promise.all(given.map(readRun));
  const [run] = runs as [typeof runs[number]];
  const status = new StatusLine();
  const onStage = (doing: string) => status.show(() => doing, { now: true });
  try {
    onStage("loading the plotting library");
    const plotter = await openPlotter();
    const several = runs.length > 1;
    let document: Document;
    if (several) document = comparisonDocument(runs);
    else {
      const measured = await measure(run, {
        placementFor: (checkpoint) =>
          placementFor(evaluationWork(checkpoint, 1), flags),
        signal: interrupt.signal,
        onStage,
      });
      status.clear();
      // Weights that exist but cannot be read may be damaged.
      const { modelProblem } = measured;
      if (modelProblem && await hasCheckpoint(run.path)) warn(modelProblem);
      document = runDocument(run, measured);
    }
    const text = await pageOf(document, plotter);
    const path = flags.out ??
      join(run.path, several ? files.comparison : files.report);
    await replaceFile(path, text);
    status.clear();
    await writeOutput(`${path}\n`);
    return exitCode.ok;
  } finally {
    status.clear();
  }
}
