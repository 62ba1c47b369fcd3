/** `lab works`: prints the ladder of a text and the rung that a trained model reaches. */

import { Dataset } from "../../text/dataset.ts";
import { digits } from "../../report/numbers.ts";
import { type Columns, tableOf } from "../../lab/table.ts";
import { splitsOf } from "../../lab/trial.ts";
import {
  type Evidence,
  Examiner,
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
import { placement, placementFor } from "../verbs/placement.ts";
import { textWork } from "../../checks/device_choice.ts";
import { StatusLine, writeOutput } from "../terminal/terminal.ts";
import {
  readTrainedModel,
  tokenizerOf,
  type TrainedModel,
} from "../verbs/trained_model.ts";
import type { LabWorksFlags } from "./flags.ts";

/** Rows of an evaluation's batch. */
const ROWS = 16;

/** Prints the ladder; returns the exit code. */
export async function labWorks(
  { flags, operand }: Arguments<LabWorksFlags>,
): Promise<number> {
  using interrupt = new Interrupt();
  const { signal } = interrupt;
  placement(flags); // refuses flags that contradict each other
  const trained = operand === undefined
    ? undefined
    : await readTrainedModel(operand, { best: flags.best });
  const options = {
    tokenizer: trained === undefined ? "chars" : tokenizerOf(trained),
    documents: false,
    signal,
  } as const;
  const { tokens, tokenizer } =
    flags.data === undefined && trained?.data !== undefined
      ? await loadRecorded(trained.data, options)
      : await loadCorpus(flags.data ?? "tinyshakespeare", options);
  const splits = splitsOf(tokens);
  const status = new StatusLine();
  status.show(() => "reading the text");
  const examiner = new Examiner({ ...splits, tokenizer, signal });
  const rungs = examiner.ladder();
  let evidence: Evidence | undefined;
  try {
    if (trained !== undefined) {
      status.show(() => "measuring its text", { now: true });
      const { checkpoint }: TrainedModel = trained;
      await using model = await Model.load(
        checkpoint,
        await placementFor(textWork(checkpoint), { blas: "off", ...flags }),
      );
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
          ? "it sees the tokens that it has to predict: its loss reaches no rung\n"
          : ""),
  );
  return exitCode.ok;
}

/** Returns the lines of the ladder, aligned. */
function ladderText(rungs: readonly Rung[], evidence?: Evidence): string {
  const measured: Columns<Rung> = evidence === undefined ? {} : {
    "this one": (rung) => {
      const found = rungValue(rung, evidence);
      return found === undefined ? "" : digits(found.value);
    },
    reached: (rung) => rungValue(rung, evidence)?.reached ? "yes" : "no",
  };
  const { head, rows } = tableOf("", rungs, {
    rung: ({ name }) => name,
    "a model that reaches it": ({ claim }) => claim,
    "asks for": ({ relation, threshold }) => `${relation} ${digits(threshold)}`,
    ...measured,
  });
  const all = [head, ...rows];
  const widths = head.map((_, i) =>
    Math.max(...all.map((cells) => cells[i]!.length))
  );
  return all.map((cells) =>
    `${cells.map((cell, i) => cell.padEnd(widths[i]!)).join("  ").trimEnd()}\n`
  ).join("");
}
