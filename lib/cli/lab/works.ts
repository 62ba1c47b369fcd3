/** `lab works`: prints the ladder of a text and the rung that a trained model reaches. */

import { Dataset } from "../../text/dataset.ts";
import { digits } from "../../report/numbers.ts";
import { splitsOf } from "../../lab/trial.ts";
import {
  type Evidence,
  isCausal,
  measureOwnText,
  type Rung,
  rungValue,
} from "../../lab/works.ts";
import { Model } from "../../model/model.ts";
import type { Arguments } from "../command/arguments.ts";
import { loadCorpus, loadRecorded } from "../text/corpus.ts";
import { exitCode } from "../command/errors.ts";
import { Interrupt } from "../terminal/interrupt.ts";
import { placement } from "../verbs/placement.ts";
import { canRedraw, StatusLine, writeOutput } from "../terminal/terminal.ts";
import {
  readTrainedModel,
  tokenizerOf,
  type TrainedModel,
} from "../verbs/trained_model.ts";
import { openExaminer } from "./ladder.ts";
import type { LabWorksFlags } from "./flags.ts";

/** Rows of an evaluation's batch. */
const ROWS = 16;

/** Prints the ladder; returns the exit code. */
export async function labWorks(
  { flags, operand }: Arguments<LabWorksFlags>,
): Promise<number> {
  using interrupt = new Interrupt();
  const { signal } = interrupt;
  const where = placement({ blas: "off", ...flags });
  const trained = operand === undefined
    ? undefined
    : await readTrainedModel(operand, { best: flags.best });
  const options = {
    tokenizer: trained === undefined ? "chars" : tokenizerOf(trained),
    signal,
  } as const;
  const { tokens, tokenizer } =
    flags.data === undefined && trained?.data !== undefined
      ? await loadRecorded(trained.data, options)
      : await loadCorpus(flags.data ?? "tinyshakespeare", options);
  const splits = splitsOf(tokens);
  const status = new StatusLine(canRedraw());
  status.show(() => "reading the text");
  const examiner = openExaminer({ ...splits, tokenizer, signal });
  const rungs = examiner.ladder();
  let evidence: Evidence | undefined;
  try {
    if (trained !== undefined) {
      status.show(() => "reading what it writes", { now: true });
      const { checkpoint }: TrainedModel = trained;
      await using model = await Model.load(checkpoint, where);
      const { blockSize } = model.config;
      const dataset = new Dataset(tokens, { blockSize, batchSize: ROWS });
      const { heldOut } = splits;
      const { own } = await measureOwnText(model, {
        examiner,
        heldOut,
        signal,
      });
      evidence = {
        valLoss: await model.evaluate(dataset.evalBatches("val"), { signal }),
        causal: await isCausal(model, heldOut),
        own,
      };
    }
  } finally {
    status.clear();
  }
  signal.throwIfAborted();
  await writeOutput(
    flags.json
      ? `${JSON.stringify({ rungs, ...(evidence && { evidence }) })}\n`
      : ladderText(rungs, evidence) +
        (evidence?.causal === false
          ? "it sees what it is to predict: its loss reaches no rung\n"
          : ""),
  );
  return exitCode.ok;
}

/** Returns the lines of the ladder, aligned. */
function ladderText(rungs: readonly Rung[], evidence?: Evidence): string {
  const lines = rungs.map((rung): string[] => {
    const asks = `${rung.relation} ${digits(rung.threshold)}`;
    if (evidence === undefined) return [rung.name, rung.claim, asks];
    const found = rungValue(rung, evidence);
    return [
      rung.name,
      rung.claim,
      asks,
      found === undefined ? "" : digits(found.value),
      found?.reached ? "yes" : "no",
    ];
  });
  const head = ["rung", "a model that reaches it", "asks for"];
  if (evidence !== undefined) head.push("this one", "reached");
  const all = [head, ...lines];
  const widths = head.map((_, i) =>
    Math.max(...all.map((cells) => cells[i]!.length))
  );
  return all.map((cells) =>
    `${cells.map((cell, i) => cell.padEnd(widths[i]!)).join("  ").trimEnd()}\n`
  ).join("");
}
