/** Converts the events of `metrics.jsonl` to entries for TensorBoard. */

import type { TrainEvent } from "../../train/events.ts";
import { type BoardEvent, boardRecord } from "./event_file.ts";

/** An event as `metrics.jsonl` has it: JSON has no NaN, so numbers may be null. */
export interface Told {
  /** The kind of event. */
  readonly event: string;
  readonly step: number;
  /** The time of the event: Unix time in seconds. */
  readonly time?: number;
}

/** A training event in `metrics.jsonl`, where its `kind` has the key `event`. */
export type Logged<Event extends TrainEvent> = Event extends TrainEvent
  ? Omit<Event, "kind"> & { readonly event: Event["kind"] }
  : never;

/** Returns an event as `metrics.jsonl` has it. */
export function logged<Event extends TrainEvent>(
  { kind, ...fields }: Event,
): Logged<Event> {
  return { event: kind, ...fields } as unknown as Logged<Event>;
}

/** The tags of an event's numbers, by event and field. */
const tags: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  step: {
    loss: "loss/batch",
    gradNorm: "gradient norm",
    learningRate: "learning rate",
    tokensPerSecond: "tokens per second",
  },
  eval: {
    trainLoss: "loss/train",
    valLoss: "loss/validation",
    bitsPerChar: "bits per character",
    tokens: "validation tokens measured",
  },
} satisfies Partial<Record<TrainEvent["kind"], Record<string, string>>>;

/** Returns the record of an event; undefined if TensorBoard has nothing to show of it. */
export function recordOf(event: Told): Uint8Array | undefined {
  const shown = shownOf(event);
  return shown && boardRecord(shown);
}

/** Returns the Unix time in seconds, to the millisecond. */
export function now(): number {
  return Date.now() / 1000;
}

function shownOf(event: Told): BoardEvent | undefined {
  const { step, time = 0 } = event;
  const all: Readonly<Record<string, unknown>> = { ...event };
  if (event.event === "sample") {
    const text = `${all["prompt"] ?? ""}${all["text"] ?? ""}`;
    return { step, time, texts: { sample: asMarkdown(text) } };
  }
  if (event.event === "update") {
    const ratios = Object.entries(all["ratios"] ?? {});
    return { step, time, scalars: numbersOf(ratios, "update to weight/") };
  }
  const fields = tags[event.event];
  if (fields === undefined) return undefined;
  const scalars = Object.entries(fields)
    .map(([field, tag]): [string, unknown] => [tag, all[field]]);
  return { step, time, scalars: numbersOf(scalars) };
}

/** Returns those of the values that are numbers, by their tags. */
function numbersOf(
  values: readonly (readonly [tag: string, value: unknown])[],
  prefix = "",
): Record<string, number> {
  return Object.fromEntries(
    values.flatMap(([tag, value]) =>
      typeof value === "number" ? [[prefix + tag, value]] : []
    ),
  );
}

/** Indents a text by four spaces, which keep its lines as they are in the Markdown that TensorBoard reads. */
function asMarkdown(text: string): string {
  return text.split("\n").map((line) => `    ${line}`).join("\n");
}
