/** Exhibits of masks that let the future through. */

import type { Verdict } from "../../checks/verdict.ts";
import type { Bell, Exhibit, Finding } from "./exhibit.ts";
import { type Changes, lastLosses, type Room, type Specimen } from "./room.ts";

/** Trains with the causal mask and with another, and sets beside each other what both say. */
async function compareMasks(
  room: Room,
  { name, changes }: { readonly name: string; readonly changes: Changes },
): Promise<Finding> {
  const right = await room.right();
  return await compareTrained(room, [
    ["right", right],
    ["mistake", await room.train(name, changes)],
  ]);
}

/** What the trainer, the checks and the texts say of trained models. */
export async function compareTrained(
  room: Room,
  columns: readonly (readonly [name: string, specimen: Specimen])[],
): Promise<Finding> {
  const specimens = columns.map(([, specimen]) => specimen);
  const verdicts: Map<string, Verdict>[] = [];
  const texts: string[] = [];
  for (const { model } of specimens) {
    verdicts.push(await room.verdicts(model));
    texts.push(await room.sample(model));
  }
  const number = (check: string, figure: string) =>
    verdicts.map((all) => all.get(check)?.numbers?.[figure] ?? null);
  const bells = [...verdicts[0]!.keys()].map((check): Bell => ({
    check,
    verdicts: verdicts.map((all) => all.get(check)!),
  }));
  return {
    setup: room.describe(specimens[0]!),
    columns: columns.map(([name]) => name),
    figures: [
      {
        what: "training loss, mean of the last steps",
        values: specimens.map(lastLosses),
      },
      {
        what: "validation loss, as told",
        values: specimens.map(({ valLoss }) => valLoss),
      },
      {
        what: "validation loss, one token at a time",
        values: number("the future: two paths", "stepwise"),
      },
      {
        what: "what it predicts, under a 5-gram model",
        values: number("its own text: free running", "predicted"),
        digits: 2,
      },
      {
        what: "what it writes, under a 5-gram model",
        values: number("its own text: free running", "own"),
        digits: 2,
      },
    ],
    text: { prompt: room.tokenizer.decode(room.prompt), texts },
    bells,
  };
}

const pathBells = ["the future: full pass", "the future: two paths"];

const zeroMask: Exhibit = {
  name: "zero-mask",
  title: "Masked scores are 0, not -inf",
  claim:
    "scores of future keys are multiplied by 0: exp(0) = 1, so each still has a share",
  see:
    "The training loss falls faster than that of the right model, and the validation loss with it, below what the text allows. The text that the model writes is nonsense.",
  deceives:
    "All losses are taken on whole windows, where every position can look at the tokens it is to predict: there the model is as good as it says. When it writes there is no future to look at.",
  catches:
    "full pass changes one token and finds earlier logits changed; two paths finds another loss for the same text one token at a time; free running finds its text far worse than its predictions.",
  repair:
    "Masked scores are -inf before the softmax, or their keys are not looked at: --mask causal, the default.",
  source:
    "the first version of the study that this project grew from (github.com/k-duan/lm, commit 38e208e)",
  rings: [...pathBells, "its own text: free running"],
  run: (room) =>
    compareMasks(room, {
      name: "zero-mask",
      changes: { model: { mask: "zeroed" } },
    }),
};

/** In the order of the list. */
export const maskExhibits: readonly Exhibit[] = [zeroMask];
