/** What came of trials, as plain data, and how outcomes from several places become one list. */

import { type Plan, seesFuture, type Setting, trialsOf } from "./plan.ts";
import type { OwnText } from "./works.ts";
import { refusal } from "../refusal.ts";

/** What came of a trial. Losses are plain cross-entropy in nats per token. */
export interface Outcome {
  /** The trial's. */
  readonly id: string;
  readonly cell: string;
  readonly seed: number;
  /** What was run, as the plan said it then. */
  readonly setting: Setting;
  readonly parameters: number;
  /** Steps done. */
  readonly steps: number;
  /** Tokens seen in training. */
  readonly tokens: number;
  /** Floating point operations of the training: `Model.flopsPerToken` for each token. */
  readonly flops?: number;
  /** After the last step, on the whole validation split; null if the trial diverged. */
  readonly valLoss: number | null;
  /** After the last step, on windows spread over the training split. */
  readonly trainLoss: number | null;
  /** All evaluations. */
  readonly curve: readonly {
    readonly step: number;
    readonly trainLoss: number;
    readonly valLoss: number;
  }[];
  /** Whether no token changes a bit of the logits before it, if the plan has more than the loss measured. */
  readonly causal?: boolean;
  /** What its text shows, if the plan has that measured. */
  readonly own?: OwnText;
  /** The beginning of what it writes to a prompt, if the plan has that kept. */
  readonly sample?: string;
  /** Where the loss or the gradient stopped being a number; absent if they never did. */
  readonly diverged?: { readonly step: number; readonly message: string };
  /** Wall time of the whole trial. */
  readonly seconds: number;
  /** Of the fastest steps. */
  readonly tokensPerSecond: number;
  /** What ran it: versions and device, in words. */
  readonly machine?: string;
}

/** Returns whether the model of an outcome saw what it was to predict: then its loss means nothing. */
export function sawFuture({ setting, causal }: Outcome): boolean {
  return seesFuture(setting.model, causal);
}

/**
 * One outcome for each trial of the plan that has one, in the plan's order: the same whatever
 * the order of the lists. Of several the one that took the least time is kept; the results
 * of outcomes that ran on the same kind of device are the same anyway.
 *
 * @throws {RangeError} if the plan has changed since one of its trials ran, naming what
 */
export function mergeOutcomes(
  plan: Plan,
  lists: Iterable<readonly Outcome[]>,
): Outcome[] {
  const trials = new Map(trialsOf(plan).map((trial) => [trial.id, trial]));
  const byId = new Map<string, Outcome>();
  for (const outcome of Array.from(lists).flat()) {
    const trial = trials.get(outcome.id);
    if (trial === undefined) continue;
    checkSetting(outcome, trial.setting);
    const other = byId.get(outcome.id);
    if (other === undefined || precedes(outcome, other)) {
      byId.set(outcome.id, outcome);
    }
  }
  return [...trials.keys()].flatMap((id) => byId.get(id) ?? []);
}

function checkSetting({ id, setting }: Outcome, planned: Setting): void {
  const ran = fieldsOf(setting);
  const now = fieldsOf(planned);
  for (const field of new Set([...ran.keys(), ...now.keys()])) {
    const [before, after] = [ran, now].map((of) => of.get(field) ?? "none");
    if (before === after) continue;
    throw refusal(
      RangeError,
      "use this outcome",
      `${id} ran with ${field} ${before}, and the plan has ${after}`,
    );
  }
}

/** Each field of a setting, as JSON. */
function fieldsOf({ model, train, ...rest }: Setting): Map<string, string> {
  const fields = Object.entries({ ...rest, ...model, ...train });
  return new Map(fields.map(([name, value]) => [name, JSON.stringify(value)]));
}

/** A total order of outcomes of one trial, so that a merge never depends on who came first. */
function precedes(a: Outcome, b: Outcome): boolean {
  return a.seconds < b.seconds ||
    (a.seconds === b.seconds && JSON.stringify(a) < JSON.stringify(b));
}
