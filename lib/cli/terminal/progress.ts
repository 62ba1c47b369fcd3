/** Formats the progress of training to the width of the terminal. `terminal.ts` draws it. */

import { compact, digits, duration } from "../../report/numbers.ts";

/** A snapshot of training. */
export interface Progress {
  readonly step: number;
  readonly maxSteps: number;
  /** In nats per token. */
  readonly loss?: number | undefined;
  /** In nats per token. */
  readonly valLoss?: number | undefined;
  readonly tokensPerSecond?: number | undefined;
  readonly secondsLeft?: number | undefined;
  /** The work that runs instead of steps, in words. */
  readonly doing?: string | undefined;
}

/** Returns the seconds to the last step, with all evaluations to come, or to the deadline if that is nearer. */
export function secondsLeft(
  { step, maxSteps, evalInterval, perStep, perEvaluation, untilDeadline }: {
    readonly step: number;
    readonly maxSteps: number;
    readonly evalInterval: number;
    /** Seconds of a step, of an evaluation with the work after it, and to the deadline. */
    readonly perStep: number;
    readonly perEvaluation: number;
    readonly untilDeadline: number;
  },
): number {
  // The evaluation after the last step runs whatever the interval.
  const before = (end: number) =>
    evalInterval > 0 ? Math.floor((end - 1) / evalInterval) : 0;
  const evaluations = 1 + before(maxSteps) - before(step + 1);
  return Math.min(
    perStep * (maxSteps - step) + perEvaluation * evaluations,
    untilDeadline,
  );
}

/** Widths that a bar may have. */
const BAR = { least: 8, most: 30 } as const;

/** Returns one line of at most `width` columns; the most important parts get room first. */
export function statusText(
  progress: Progress,
  width: number,
  { ascii = false }: { readonly ascii?: boolean } = {},
): string {
  const { step, maxSteps, doing } = progress;
  // The parts in display order, each with its rank when room is scarce.
  const parts: [rank: number, text: string | undefined][] = [
    [0, `${step}/${maxSteps}`],
    [1, labelled("loss", progress.loss)],
    [3, labelled("val", progress.valLoss)],
    [4, speed(progress)],
    [2, doing ?? timeLeft(progress)],
  ];
  const ranked = parts.filter(([, text]) => text).toSorted(([a], [b]) => a - b);
  const kept = new Set<number>();
  let used = -2;
  for (const [rank, text] of ranked) {
    if (used + 2 + text!.length > width) break;
    used += 2 + text!.length;
    kept.add(rank);
  }
  const line = parts.filter(([rank]) => kept.has(rank)).map(([, text]) => text)
    .join("  ");
  const room = Math.min(BAR.most, width - used - 2);
  if (room < BAR.least) return line;
  return `${bar(step / maxSteps, room, ascii)}  ${line}`.trimEnd();
}

/** Returns one line of a log, of any width. */
export function logText(
  progress: Progress & { readonly gradNorm: number; readonly rate: number },
): string {
  const { step, maxSteps, loss, gradNorm, rate } = progress;
  return [
    `step ${step}/${maxSteps}`,
    labelled("loss", loss),
    `gradient norm ${digits(gradNorm)}`,
    `learning rate ${digits(rate)}`,
    speed(progress),
    timeLeft(progress),
  ].filter((part) => part !== undefined).join(", ");
}

function bar(share: number, width: number, ascii: boolean): string {
  const filled = Math.round(share * width);
  const [full, empty] = ascii ? ["=", "-"] : ["━", "╌"];
  return full!.repeat(filled) + empty!.repeat(width - filled);
}

function labelled(name: string, loss: number | undefined): string | undefined {
  return loss === undefined ? undefined : `${name} ${loss.toFixed(3)}`;
}

function speed({ tokensPerSecond }: Progress): string | undefined {
  return tokensPerSecond === undefined
    ? undefined
    : `${compact(tokensPerSecond)} tokens/s`;
}

function timeLeft({ secondsLeft }: Progress): string | undefined {
  return secondsLeft === undefined
    ? undefined
    : `${duration(secondsLeft)} left`;
}
