/**
 * Ablation: one part at a time of a working recipe is removed or replaced. The change in loss is
 * the worth of that part.
 */

import { type ModelConfig, modelConfig } from "../../config/model.ts";
import { trainConfig } from "../../config/train.ts";
import type { Preset } from "../../config/presets.ts";
import { count } from "../../report/numbers.ts";
import {
  baseOf,
  type Cell,
  changedFields,
  type Changes,
  type ExperimentOptions,
  type Plan,
} from "../plan.ts";

type Model = Changes["model"] & object;
type Train = Changes["train"] & object;

/** Options of a study of ablations. */
export interface AblationOptions extends ExperimentOptions {
  /** The fields to change: some of {@linkcode ablationParts}, or all of them if left out. */
  readonly parts?: readonly string[] | undefined;
}

/** Returns the fields of a preset that are changed, each in one cell or several. */
export function ablationParts(preset: Preset): string[] {
  const cells = ablations(baseOf(preset, 1)).map(named);
  return [...new Set(cells.map(({ name }) => partOf(name)))];
}

/** Plans the ablations of a preset: the baseline, then a cell for each change that differs from it. */
export function ablationPlan(
  preset: Preset,
  { name, data, steps, seeds, measure, parts }: AblationOptions,
): Plan {
  const base = baseOf(preset, steps);
  const cells = ablations(base).map(named)
    .filter(({ name }) => parts?.includes(partOf(name)) ?? true);
  return {
    study: `The parts of the preset ${name}`,
    about:
      `What each part of the preset ${name} is worth: a cell changes one thing of a model that is trained for ${
        count(steps)
      } steps.`,
    experiment: "ablate",
    data,
    tokenizer: preset.tokenizer,
    base,
    seeds,
    measure,
    baseline: BASELINE,
    cells: [{ name: BASELINE }, ...cells],
  };
}

/** The name of the cell that changes nothing. */
const BASELINE = "base";

/** Returns all changes, each of one part. */
function ablations(base: Changes): Changes[] {
  const model = modelConfig({ ...base.model, vocabSize: 1 });
  const train = trainConfig(base.train);
  const models: readonly Model[] = [
    ...(["none", "learned", "sinusoidal", "rope", "alibi"] as const).map((
      position,
    ) => ({ position })),
    ...(["none", "zeroed", "finite"] as const).map((mask) => ({ mask })),
    // A score of -4 is one that real scores reach.
    { mask: "finite", maskValue: -4 },
    { residual: false },
    ...(["layernorm", "rmsnorm", "none"] as const).map((norm) => ({ norm })),
    { normPlacement: model.normPlacement === "pre" ? "post" : "pre" },
    { attention: false },
    ...(["none", "geluTanh", "relu", "relu2", "swiglu"] as const).map((mlp) =>
      withHidden(mlp, model)
    ),
    { qkNorm: !model.qkNorm },
    { attentionScale: !model.attentionScale },
    // The baseline's own head bias stays, whatever the head.
    { tiedHead: !model.tiedHead, headBias: model.headBias },
    { bias: !model.bias },
    { headBias: !model.headBias },
    { logitSoftcap: model.logitSoftcap === null ? 15 : null },
    ...[1, 2, 4, 8].filter((nHead) =>
      model.nEmbd % nHead === 0 && (model.nEmbd / nHead) % 2 === 0
    ).map((nHead) => ({ nHead, nKvHead: nHead })),
    ...[1, 2, model.nLayer + 1].map((nLayer) => ({ nLayer })),
    ...[model.nEmbd / 2, model.nEmbd * 2].map((nEmbd) => ({
      nEmbd,
      nHidden: model.nHidden * nEmbd / model.nEmbd,
    })),
    ...[0, 0.1, 0.2].map((dropout) => ({ dropout })),
    ...[0, 0.1].map((labelSmoothing) => ({ labelSmoothing })),
    { init: model.init === "gpt2" ? "torch" : "gpt2" },
  ];
  // Fewer tokens of context, as many tokens a step.
  const contexts = [8, 32, 64].map((blockSize): Changes => ({
    model: { blockSize },
    train: { batchSize: train.batchSize * model.blockSize / blockSize },
  }));
  const muon = { optimizer: "muon", muonLearningRate: 0.01 } as const;
  const trains: readonly Train[] = [
    { warmupSteps: train.warmupSteps > 0 ? 0 : 100 },
    { gradClip: train.gradClip > 0 ? 0 : 1 },
    ...[0, 0.1].map((weightDecay) => ({ weightDecay })),
    { schedule: train.schedule === "constant" ? "linear" : "constant" },
    // The learning rate is the control of the optimizers: a change that only needs another rate shows here.
    ...[train.learningRate / 2, train.learningRate * 2].map((learningRate) => ({
      learningRate,
    })),
    { optimizer: "adamw" },
    { optimizer: "adamw", learningRate: train.learningRate / 2 },
    muon,
    ...[0.1, 0.5].map((learningRate) => ({
      optimizer: "sgd" as const,
      momentum: 0.9,
      learningRate,
    })),
  ];
  const changes: readonly Changes[] = [
    ...models.map((model) => ({ model })),
    ...contexts,
    ...trains.map((train) => ({ train })),
    ...[0.5, 0.1, 0.01].map((dataShare) => ({ dataShare })),
  ];
  // Leaves out a change that changes nothing or repeats another one.
  const seen = new Set([completed(base, {})]);
  return changes.filter((change) => {
    const whole = completed(base, change);
    return !seen.has(whole) && seen.add(whole);
  });
}

/** Returns the change to another MLP, with the width that keeps the number of parameters: a gate is a third matrix. */
function withHidden(
  mlp: ModelConfig["mlp"],
  { mlp: own, nHidden }: ModelConfig,
): Model {
  const [gated, isGated] = [mlp, own].map((name) => name === "swiglu");
  if (gated === isGated || mlp === "none") return { mlp };
  const share = gated ? 2 / 3 : 3 / 2;
  return { mlp, nHidden: Math.round(nHidden * share / 4) * 4 };
}

/** Returns the complete configuration after a change, as text for comparisons. */
function completed(base: Changes, change: Changes): string {
  const whole = {
    ...modelConfig({ ...base.model, ...change.model, vocabSize: 1 }),
    ...trainConfig({ ...base.train, ...change.train }),
    dataShare: change.dataShare,
  };
  return JSON.stringify(Object.entries(whole).toSorted());
}

/** Names a cell by its changes: `position=none`, `optimizer=sgd+learningRate=0.1`. */
function named(changes: Changes): Cell {
  const implied = ["nHidden", "nKvHead", "batchSize", "momentum"];
  if (changes.model?.tiedHead !== undefined) implied.push("headBias");
  const name = changedFields(changes)
    .filter(([field]) => !implied.includes(field))
    .map(([field, value]) => `${field}=${value}`).join("+");
  return { name, ...changes };
}

/** Returns the field at the beginning of a cell's name. */
function partOf(name: string): string {
  return name.slice(0, name.indexOf("="));
}
