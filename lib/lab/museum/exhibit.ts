/** Types of the museum's exhibits and findings: plain data. */

import type { Verdict } from "../../checks/verdict.ts";
import type { Room } from "./room.ts";

/** A famous mistake that can be reproduced. */
export interface Exhibit {
  /** The exhibit's name on the command line. */
  readonly name: string;
  /** The mistake, in a few words. */
  readonly title: string;
  /** The effect of the mistake, in one line. */
  readonly claim: string;
  /** The symptoms that somebody who makes the mistake sees. */
  readonly see: string;
  /** The reason why the mistake goes unnoticed. */
  readonly deceives: string;
  /** The check that notices the mistake, and how. */
  readonly catches: string;
  /** The right way: a line of code or a flag. */
  readonly repair: string;
  /** The source that describes the mistake. */
  readonly source?: string;
  /** The checks that fail on the mistake and pass without it: each is one of the finding's `bells`. */
  readonly noticedBy: readonly string[];
  /** Makes the mistake, and the same model or text without it. */
  readonly run: (room: Room) => Promise<Finding>;
}

/**
 * The result of an exhibit. All its lists are by column: first `right`, then `mistake`, then
 * variants and repairs, if there are any.
 */
export interface Finding {
  /** The model that was trained, and for how long. */
  readonly setup: string;
  /** Names of the columns; `right` and `mistake` are the first two. */
  readonly columns: readonly string[];
  /** The measured quantities. */
  readonly figures: readonly Figure[];
  /** A quantity logged during training; absent if the mistake does not show in it. */
  readonly curve?: Curve;
  /** The prompt and the texts written with the same seed; absent if the mistake does not show in a text. */
  readonly text?: {
    readonly prompt: string;
    readonly texts: readonly string[];
  };
  /** The verdicts of the checks on each column. */
  readonly bells: readonly CheckRow[];
}

/** A quantity measured for each column. */
export interface Figure {
  /** The quantity's name, with its unit. */
  readonly what: string;
  /** The value for each column; null where there is none. */
  readonly values: readonly (number | null)[];
  /** Decimals to show; 3 if left out. */
  readonly digits?: number;
  /** The question of the page that this figure answers. */
  readonly tells?: "loss" | "text";
}

/** A quantity during training. */
export interface Curve {
  /** The quantity's name, with its unit. */
  readonly what: string;
  /** Training steps. */
  readonly steps: number;
  /** For each column: means over equally long groups of training steps. */
  readonly values: readonly (readonly number[])[];
}

/** The verdicts of one check on each column. */
export interface CheckRow {
  /** The group of checks and the check, as `check` prints them. */
  readonly check: string;
  readonly verdicts: readonly Verdict[];
}

/** Returns true if a check noticed the mistake and passed without it. */
export function notices({ verdicts: [right, mistake] }: CheckRow): boolean {
  return !isAlarm(right!) && isAlarm(mistake!);
}

/** Returns true if a verdict is a failure or a warning. */
export function isAlarm({ status }: Verdict): boolean {
  return status === "failed" || status === "warning";
}
