/** Converts the events of `metrics.jsonl` to entries for TensorBoard. */

import type { TrainEvent } from "../../train/events.ts";
import { boardRecord } from "./event_file.ts";
import type { LoggedEvent } from "./events.ts";

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
export function recordOf(event: LoggedEvent): Uint8Array | undefined {
  const { step, time = 0 } = event;
  if (event.event === "sample") {
    const texts = { sample: asMarkdown(textOf(event)) };
    return boardRecord({ step, time, texts });
  }
  const numbers = event.event === "update"
    ? Object.entries(event.ratios ?? {})
      .map(([name, ratio]) => [`update to weight/${name}`, ratio])
    : Object.entries(tags[event.event] ?? {})
      .map(([field, tag]) => [tag, event[field]]);
  if (numbers.length === 0) return undefined;
  const scalars = Object.fromEntries(
    numbers.filter(([, value]) => typeof value === "number"),
  );
  return boardRecord({ step, time, scalars });
}

/** Returns the text of a sample's event, with its prompt. */
export function textOf({ prompt, text }: LoggedEvent): string {
  return `${prompt ?? ""}${text ?? ""}`;
}

/** Indents a text by four spaces, which keep its lines as they are in the Markdown that TensorBoard reads. */
function asMarkdown(text: string): string {
  return text.split("\n").map((line) => `    ${line}`).join("\n");
}
