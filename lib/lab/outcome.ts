/** Results of trials, as plain data, and the merge of results from several places into one list. */

import { type Plan, seesFuture, type Setting, trialsOf } from "./plan.ts";
import type { OwnText } from "./works.ts";
import { refusal } from "../refusal.ts";

/** The result of a trial. Losses are plain cross-entropy in nats per token. */
export interface Outcome {
  /** The trial's id. */
  readonly id: string;
  /** The name of the trial's cell. */
  readonly cell: string;
  /** The trial's seed. */
  readonly seed: number;
  /** The setting of the trial, as the plan had it when the trial ran. */
  readonly setting: Setting;
  /** Number of the model's parameters. */
  readonly parameters: number;
  /** Steps done. */
  readonly steps: number;
  /** Tokens seen in training. */
  readonly tokens: number;
  /** Floating point operations of the training: `Model.flopsPerToken` for each token. */
  readonly flops?: number | undefined;
  /** Loss after the last step, on the whole validation split; null if the trial diverged. */
  readonly valLoss: number | null;
  /** The same loss in bits per character of the text; absent in outcomes of older versions, and null if the trial diverged. */
  readonly bitsPerChar?: number | null | undefined;
  /** Loss after the last step, on windows spread over the training split. */
  readonly trainLoss: number | null;
  /** All evaluations. */
  readonly curve: readonly {
    readonly step: number;
    readonly trainLoss: number;
    readonly valLoss: number;
  }[];
  /** True if no token changes a bit of the logits before it; present if the plan measures more than the loss. */
  readonly causal?: boolean | undefined;
  /** Scores of the model's text, if the plan measures them. */
  readonly own?: OwnText | undefined;
  /** The beginning of the model's text after a prompt, if the plan keeps it. */
  readonly sample?: string | undefined;
  /** The step at which the loss or the gradient stopped being a number; absent if both stayed finite. */
  readonly diverged?:
    | { readonly step: number; readonly message: string }
    | undefined;
  /** Wall time of the whole trial. */
  readonly seconds: number;
  /** Speed of the fastest steps. */
  readonly tokensPerSecond: number;
  /** The program's version and the device, in words. */
  readonly machine?: string | undefined;
}

/** Returns whether the model of an outcome saw the tokens that it had to predict: then its loss means nothing. */
export function sawFuture({ setting, causal }: Outcome): boolean {
  return seesFuture(setting.model, causal);
}

/** An outcome with a loss that means something. */
export type Finished = Outcome & { readonly valLoss: number };

/** Returns the outcomes that have a loss and whose models did not see the future. */
export function finished(outcomes: readonly Outcome[]): Finished[] {
  return outcomes.filter((outcome): outcome is Finished =>
    outcome.valLoss !== null && !sawFuture(outcome)
  );
}

/**
 * Returns one outcome for each trial of the plan that has one, in the plan's order, whatever the
 * order of the lists. Of several outcomes of a trial, the one that took the least time is kept;
 * outcomes from the same kind of device have the same results anyway.
 *
 * @throws {RangeError} if the plan has changed since one of its trials ran, naming the changes
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

/** Returns each field of a setting, as JSON. */
function fieldsOf({ model, train, ...rest }: Setting): Map<string, string> {
  const fields = Object.entries({ ...rest, ...model, ...train });
  return new Map(fields.map(([name, value]) => [name, JSON.stringify(value)]));
}

/** Orders outcomes of one trial totally, so that a merge never depends on the order of its inputs. */
function precedes(a: Outcome, b: Outcome): boolean {
  return a.seconds < b.seconds ||
    (a.seconds === b.seconds && JSON.stringify(a) < JSON.stringify(b));
}
