/** Exhibits of masks that let the future through. */

import type { Mistake } from "../../checks/mistakes.ts";
import { compareTrained } from "./compare.ts";
import type { Exhibit, Finding } from "./exhibit.ts";
import { lateAttention, lateAttentionBackward } from "./late_mask.ts";
import type { Changes, Room } from "./room.ts";

/** Trains with the causal mask and with another one, and compares the results. */
async function compareMasks(
  room: Room,
  name: string,
  changes: Changes,
): Promise<Finding> {
  return await compareTrained(room, [
    ["right", await room.right()],
    ["mistake", await room.train(name, changes)],
  ]);
}

const fullPass = "the future: full pass";
const twoPaths = "the future: two paths";
const freeRunning = "its own text: free running";

const zeroMask: Exhibit = {
  name: "zero-mask",
  title: "Masked scores are 0, not -inf",
  claim:
    "scores of future keys are multiplied by 0, and exp(0) = 1 is still a share",
  see:
    "The training loss falls faster than that of the right model, and so does the validation loss, to less than the text allows. The text that the model writes is nonsense.",
  deceives:
    "All losses are measured on whole windows, where every position can look at the tokens that it has to predict: there the model really is that good. When it writes there is no future to look at.",
  catches:
    "The check `full pass` changes one token and finds that earlier logits change. `two paths` finds another loss for the same text one token at a time. `free running` finds the text far worse than the predictions.",
  repair:
    "Set masked scores to -inf before the softmax, or leave their keys out: `--mask causal`, the default.",
  source:
    "the study that this project grew from (github.com/k-duan/lm, commit 38e208e)",
  noticedBy: [fullPass, twoPaths, freeRunning],
  run: (room) => compareMasks(room, "zero-mask", { model: { mask: "zeroed" } }),
};

const noMask: Exhibit = {
  name: "no-mask",
  title: "No mask at all",
  claim: "every position sees the token that it has to predict",
  see:
    "A loss near 0, on training and validation text alike. The text that the model writes is nonsense.",
  deceives:
    "Both splits agree, so it does not look like overfitting; a loss far below all others looks like success.",
  catches:
    "The check `full pass`, and the loss one token at a time. `validation loss` warns as well: a loss below half of a 5-gram model's is too good to be true.",
  repair:
    "`--mask causal`, the default. Attention over a cache needs none, and hides that it is missing.",
  source:
    "the mask of a decoder: Attention Is All You Need (arXiv 1706.03762), section 3.2.3",
  noticedBy: [fullPass, twoPaths, freeRunning],
  run: (room) => compareMasks(room, "no-mask", { model: { mask: "none" } }),
};

const finiteMask: Exhibit = {
  name: "finite-mask",
  title: "Masked scores are a number that seems low enough",
  claim: "future keys get the score -2, and training learns to use their share",
  see:
    "With -2 the loss is lower than any right model's. With -5 (third column) losses and texts are like the right ones, in so short a training, though the future is there; with -1e4 (fourth) not a bit of it is.",
  deceives:
    "How low is low enough depends on the other scores, and those grow: a number that was safe leaks in a longer run or a larger model, or cannot be written in a smaller type.",
  catches:
    "The check `full pass`, on the trained weights: it compares bits, so it fails at -5 too, long before a loss shows anything. At -1e4 it passes, rightly: in 32 bits exp(-1e4) is 0.",
  repair: "`--mask causal`: -inf, or no key at all, has no size to outgrow.",
  source:
    "-10000 in BERT's code (google-research/bert, modeling.py) and -1e10 in GPT-2's (openai/gpt-2, model.py), where scores never came near it",
  noticedBy: [fullPass],
  run: async (room) => {
    const finite = (maskValue: number) =>
      room.train(`finite-mask ${maskValue}`, {
        model: { mask: "finite", maskValue },
      });
    return await compareTrained(room, [
      ["right", await room.right()],
      ["mistake", await finite(-2)],
      ["-5", await finite(-5)],
      ["-1e4", await finite(-1e4)],
    ]);
  },
};

/** The mistake of leaving out future keys only after the softmax over all keys. */
export const lateMask: Mistake = {
  kernels: {
    attention: lateAttention,
    attentionBackward: lateAttentionBackward,
  },
};

const lateMaskExhibit: Exhibit = {
  name: "late-mask",
  title: "The mask comes after the softmax",
  claim:
    "probabilities of future keys are set to 0, but the softmax has already counted them in its denominator",
  see:
    "A loss that is too low, though no value of a future token is ever read. Its text is worse than its predictions.",
  deceives:
    "The attention matrix is lower triangular, as in every picture of it. But its rows do not sum to 1: the missing part shows how well the query matches the future, and the model learns to use it.",
  catches:
    "The check `full pass`: a changed token changes earlier logits. One token at a time there is no future in the denominator, and `two paths` finds another loss.",
  repair:
    "Mask the scores, then take the softmax. (Dividing the masked rows by their sums gives the same numbers.)",
  noticedBy: [fullPass, twoPaths],
  run: (room) => compareMasks(room, "late-mask", { mistake: lateMask }),
};

/** The exhibits, in the order of the list. */
export const maskExhibits: readonly Exhibit[] = [
  zeroMask,
  noMask,
  finiteMask,
  lateMaskExhibit,
];
