/** Judges the program's memory and speed by a long run. */

import type { StepEvent } from "../../lib/train/events.ts";
import type { Logged } from "../../lib/cli/run/events.ts";
import { growth, median } from "./trend.ts";

/** The largest growth of memory allowed in the last half of a run, as a share. */
const MOST_GROWTH = 0.02;
/** The largest slowdown allowed of a step in the last quarter against one in the second, as a share. */
const MOST_SLOWER = 0.1;

/** A step as `metrics.jsonl` has it. */
export interface Step extends Logged<StepEvent> {
  /** The time of the event: Unix time in seconds. */
  readonly time: number;
}

/** The resources that a process used up to a moment. */
export interface Usage {
  /** Unix time in seconds. */
  readonly time: number;
  readonly residentBytes: number;
  /** CPU time of all threads, in milliseconds. */
  readonly cpuMs: number;
}

/** The events of a run, and the measured usage of its process. */
export interface Watched {
  /** All steps, in order; a multiple of 4 strides. */
  readonly steps: readonly Step[];
  /** In order; the last one after the last step. */
  readonly usages: readonly Usage[];
  /** Steps between two measurements of the memory. */
  readonly stride: number;
  /** Tokens of a step. */
  readonly tokens: number;
}

/** The verdict on a run. */
export interface Verdict {
  /** True if neither memory nor the time of a step grew beyond its limit. */
  readonly passed: boolean;
  /** The figures, for people. */
  readonly lines: readonly string[];
}

/** Judges a run. */
export function judge(run: Watched): Verdict {
  const usages = atStrides(run);
  const megabytes = usages.map(({ residentBytes }) => residentBytes / 1e6);
  const table = usages.map(({ step }, i) =>
    `${step}: ${megabytes[i]!.toFixed(1)}`
  );
  const grown = growth(megabytes.slice(megabytes.length / 2));

  const [clock, lastClock] = [2, 4].map((quarter) => clockMs(run, quarter));
  const [cpu, lastCpu] = [2, 4].map((quarter) => cpuMs(usages, quarter));
  const slower = lastClock! / clock! - 1;
  const costlier = lastCpu! / cpu! - 1;
  return {
    passed: grown < MOST_GROWTH && Math.min(slower, costlier) <= MOST_SLOWER,
    lines: [
      `resident MB by step: ${table.join(", ")}`,
      `memory in the last half: ${percent(grown)} (goal: below ${
        percent(MOST_GROWTH)
      })`,
      `from the second quarter to the last (goal: at most ${
        percent(MOST_SLOWER)
      } by one of the two):`,
      `  median step, by the clock: ${milliseconds(clock!)} to ${
        milliseconds(lastClock!)
      }, ${percent(slower)}`,
      `  CPU time for each step, with all that is done besides: ${
        milliseconds(cpu!)
      } to ${milliseconds(lastCpu!)}, ${percent(costlier)}`,
    ],
  };
}

/** Returns the usage at the end of each stride, or soon after, with the step at which the stride ended. */
function atStrides({ steps, usages, stride }: Watched) {
  return steps.filter(({ step }) => step % stride === 0).map((end) => {
    const usage = usages.find(({ time }) => time >= end.time)!;
    const { step } = steps.findLast(({ time }) => time <= usage.time)!;
    return { ...usage, step };
  });
}

/** Returns the median time of a step in a quarter of the run, from 1 to 4. */
function clockMs({ steps, tokens }: Watched, quarter: number): number {
  const count = steps.length / 4;
  return median(
    steps.slice((quarter - 1) * count, quarter * count)
      .map(({ tokensPerSecond }) => 1000 * tokens / tokensPerSecond),
  );
}

/** Returns the CPU time of each step in a quarter of the run, from 2 to 4. */
function cpuMs(
  usages: ReturnType<typeof atStrides>,
  quarter: number,
): number {
  const [from, to] = [quarter - 1, quarter]
    .map((quarters) => usages[quarters * usages.length / 4 - 1]!);
  return (to!.cpuMs - from!.cpuMs) / (to!.step - from!.step);
}

function milliseconds(value: number): string {
  return `${value.toFixed(2)} ms`;
}

function percent(share: number): string {
  return `${share > 0 ? "+" : ""}${(100 * share).toFixed(1)} %`;
}
