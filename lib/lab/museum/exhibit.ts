/** What an exhibit of the museum is, and what it shows: plain data. */

import type { Verdict } from "../../checks/verdict.ts";
import type { Room } from "./room.ts";

/** A famous mistake, ready to be made. */
export interface Exhibit {
  /** What it is called on the command line. */
  readonly name: string;
  /** The mistake, in a few words. */
  readonly title: string;
  /** What it does, in one line. */
  readonly claim: string;
  /** What one sees who makes it. */
  readonly see: string;
  /** Why it goes unnoticed. */
  readonly deceives: string;
  /** Which check notices, and how. */
  readonly catches: string;
  /** What is right: a line of code or a flag. */
  readonly repair: string;
  /** Where it is known from. */
  readonly source?: string;
  /** The checks that ring at the mistake and are silent without it; each is a bell of the finding. */
  readonly rings: readonly string[];
  /** Makes the mistake, and the same without it. */
  readonly run: (room: Room) => Promise<Finding>;
}

/**
 * What came of an exhibit. All its lists go by columns: first what is right, then the mistake,
 * then, where there are any, its variants and repairs.
 */
export interface Finding {
  /** What was trained, and for how long. */
  readonly setup: string;
  /** What the columns are; `right` and `mistake` are the first two. */
  readonly columns: readonly string[];
  /** What was measured. */
  readonly figures: readonly Figure[];
  /** What was told during training; absent where the mistake does not show there. */
  readonly curve?: Curve;
  /** What each wrote with the same seed, and after what; absent where the mistake does not show in a text. */
  readonly text?: {
    readonly prompt: string;
    readonly texts: readonly string[];
  };
  /** What the checks said of each. */
  readonly bells: readonly Bell[];
}

/** One quantity. */
export interface Figure {
  /** What it is, with its unit. */
  readonly what: string;
  /** For each column; null where it has none. */
  readonly values: readonly (number | null)[];
  /** Decimals to show; 3 if left out. */
  readonly digits?: number;
  /** Which of the page's questions it answers. */
  readonly tells?: "loss" | "text";
}

/** A quantity during training. */
export interface Curve {
  /** What it is, with its unit. */
  readonly what: string;
  /** Training steps. */
  readonly steps: number;
  /** For each column: means over stretches of the training that are equally long. */
  readonly values: readonly (readonly number[])[];
}

/** One check of each column. */
export interface Bell {
  /** The group of checks and the check, as `check` tells them. */
  readonly check: string;
  readonly verdicts: readonly Verdict[];
}

/** Whether a check rang at the mistake and was silent at what is right. */
export function rang({ verdicts: [right, mistake] }: Bell): boolean {
  return !isLoud(right!) && isLoud(mistake!);
}

/** Whether a verdict wants attention. */
export function isLoud({ status }: Verdict): boolean {
  return status === "failed" || status === "warning";
}
