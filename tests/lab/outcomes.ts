import type { Outcome } from "../../lib/lab/outcome.ts";

/** An outcome of a trial that nobody ran. */
export function outcomeOf(
  cell: string,
  { parameters, valLoss, seed = 1, ...rest }:
    & Pick<Outcome, "parameters" | "valLoss">
    & Partial<Outcome>,
): Outcome {
  return {
    id: `${cell}.s${seed}`,
    cell,
    seed,
    setting: {
      ...{ data: "text.txt", tokenizer: "chars", measure: "loss" },
      ...{ model: {}, train: { seed }, dataShare: 1 },
    },
    parameters,
    steps: 1,
    tokens: 1,
    valLoss,
    trainLoss: valLoss,
    curve: [],
    seconds: 1,
    tokensPerSecond: 1,
    ...rest,
  };
}
