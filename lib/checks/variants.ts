/**
 * Small models for tests of whole models. Together they use every value of every
 * configuration field, alone and in common combinations.
 */

import {
  type ModelConfig,
  modelConfig,
  type ModelOptions,
} from "../config/model.ts";
import type { Model } from "../model/model.ts";
import { CounterRandom, Purpose } from "../../kernels/random.ts";
import { refusal } from "../refusal.ts";

/** A model to test. */
export interface Variant {
  readonly name: string;
  readonly config: ModelConfig;
}

/** Base configuration: all sizes differ, are odd where possible, and are no multiple of any tile. */
const base: ModelOptions = {
  vocabSize: 7,
  blockSize: 6,
  nLayer: 2,
  nHead: 2,
  nEmbd: 8,
  nHidden: 5,
};

const changes: Readonly<Record<string, Partial<ModelConfig>>> = {
  "the defaults": {},
  "position learned": { position: "learned" },
  "position sinusoidal": { position: "sinusoidal" },
  "position rope": { position: "rope" },
  "position rope-half": { position: "rope-half" },
  "position rope with another base": { position: "rope", ropeTheta: 50 },
  "position rope-half, scaled": {
    ...{ position: "rope-half", ropeTheta: 50, ropeScaling: 4 },
    ...{ ropeContext: 20 },
  },
  "position alibi with 3 heads": { position: "alibi", nEmbd: 9, nHead: 3 },
  "norm rmsnorm": { norm: "rmsnorm" },
  "large epsilon": { normEps: 0.3, qkNorm: true },
  "rmsnorm, large epsilon": { norm: "rmsnorm", normEps: 0.3 },
  "norm none": { norm: "none" },
  "norm after": { normPlacement: "post" },
  "rmsnorm after": { norm: "rmsnorm", normPlacement: "post" },
  "mlp gelu": { mlp: "gelu" },
  "mlp relu": { mlp: "relu" },
  "mlp relu2": { mlp: "relu2" },
  "mlp swiglu": { mlp: "swiglu" },
  "mlp none": { mlp: "none" },
  "attention off": { attention: false },
  "2 key heads for 4": { nHead: 4, nKvHead: 2 },
  "1 key head for 4, rope": { nHead: 4, nKvHead: 1, position: "rope" },
  "1 head of 7": { nHead: 1, nEmbd: 7 },
  "heads wider than their share": { headSize: 6, position: "rope" },
  "heads narrower, 1 key head for 3": {
    ...{ nHead: 3, nKvHead: 1, headSize: 2, qkNorm: true },
  },
  "query-key norm": { qkNorm: true },
  "query-key norm with gains": { qkNorm: true, qkNormGain: true },
  "query-key norm with gains, 2 key heads for 4, rope": {
    ...{ qkNorm: true, qkNormGain: true, position: "rope" },
    ...{ nHead: 4, nKvHead: 2, headSize: 6, bias: false },
  },
  "scores not scaled": { attentionScale: false },
  "mask none": { mask: "none" },
  "mask zeroed": { mask: "zeroed" },
  "mask finite": { mask: "finite" },
  "mask finite and weak": { mask: "finite", maskValue: -1.5 },
  "mask zeroed, alibi": { mask: "zeroed", position: "alibi" },
  "mask none, rope-half": { mask: "none", position: "rope-half" },
  "no residual": { residual: false },
  "no residual, norm after": { residual: false, normPlacement: "post" },
  "no bias": { bias: false },
  "biases of queries, keys and values": { bias: false, attentionBias: "qkv" },
  "biases of attention": { bias: false, attentionBias: "all" },
  "biases of the MLP": { mlp: "swiglu", bias: false, mlpBias: true },
  "biases of norms": { attentionBias: "none", mlpBias: false },
  "head tied": { tiedHead: true },
  "head tied, with bias": { tiedHead: true, headBias: true },
  "head without bias": { headBias: false },
  "label smoothing": { labelSmoothing: 0.1 },
  "softcap": { logitSoftcap: 3 },
  "dropout": { dropout: 0.2 },
  "dropout, query-key norm, no attention bias": {
    ...{ dropout: 0.5, qkNorm: true, bias: false, nHead: 4, nKvHead: 2 },
  },
  "initial values of torch": { init: "torch" },
  "one of everything": {
    // A layer norm over one number loses it, so the norm is off.
    ...{ vocabSize: 2, nEmbd: 1, nHead: 1, nHidden: 1, norm: "none" },
  },
  "nanoGPT": {
    ...{ position: "learned", mlp: "gelu", tiedHead: true },
    ...{ dropout: 0.1 },
  },
  "Llama": {
    ...{ position: "rope-half", norm: "rmsnorm", mlp: "swiglu" },
    ...{ nHead: 4, nKvHead: 2, bias: false, headBias: false },
  },
  "Llama 3": {
    ...{ position: "rope-half", ropeTheta: 500, ropeScaling: 8 },
    ...{ ropeContext: 40, norm: "rmsnorm", mlp: "swiglu", normEps: 1e-6 },
    ...{ nHead: 4, nKvHead: 2, headSize: 6, bias: false, tiedHead: true },
  },
  "Qwen 2": {
    ...{
      position: "rope-half",
      ropeTheta: 1e6,
      norm: "rmsnorm",
      mlp: "swiglu",
    },
    ...{ nHead: 4, nKvHead: 2, bias: false, attentionBias: "qkv" },
    ...{ normEps: 1e-6, tiedHead: true },
  },
  "Qwen 3": {
    ...{
      position: "rope-half",
      ropeTheta: 1e6,
      norm: "rmsnorm",
      mlp: "swiglu",
    },
    ...{ nHead: 4, nKvHead: 2, headSize: 6, bias: false, normEps: 1e-6 },
    ...{ qkNorm: true, qkNormGain: true, tiedHead: true },
  },
  "modern": {
    ...{ position: "rope", norm: "rmsnorm", mlp: "relu2", qkNorm: true },
    ...{ bias: false, tiedHead: true, logitSoftcap: 5 },
  },
  "all at once": {
    ...{ position: "learned", normPlacement: "post", mlp: "swiglu" },
    ...{ nHead: 4, nKvHead: 2, qkNorm: true, tiedHead: true },
    ...{ headBias: true, logitSoftcap: 4, labelSmoothing: 0.2 },
    ...{ dropout: 0.1 },
  },
};

/** All variants. A bundler leaves them out where they are not used. */
export const variants: readonly Variant[] = /* @__PURE__ */ Object.entries(
  changes,
).map(([name, change]) => ({
  name,
  config: modelConfig({ ...base, ...change }),
}));

/** Returns the variant of a name. */
export function variant(name: string): Variant {
  const found = variants.find((variant) => variant.name === name);
  if (found === undefined) {
    throw refusal(RangeError, `find variant "${name}"`, "there is none");
  }
  return found;
}

/**
 * Returns whether no token affects an earlier position. A finite mask of -1e4 counts as
 * causal, since the scores of these models are small.
 */
export function isCausal(
  { attention, mask, maskValue }: ModelConfig,
): boolean {
  return !attention || mask === "causal" ||
    (mask === "finite" && maskValue <= -1e4);
}

/**
 * Sets all parameters, including biases and gains, to values of order 1, so that each of them
 * affects the output. With initial values, attention has almost no effect.
 */
export async function makeGeneric(model: Model, seed = 1): Promise<void> {
  const tensors = await model.parameters();
  const random = new CounterRandom(seed, Purpose.init);
  [...tensors.values()].forEach(({ data, shape }, number) => {
    const values = data as Float32Array | Float64Array;
    const isGain = shape.length === 1;
    for (let i = 0; i < values.length; i++) {
      values[i] = (isGain ? 0.5 : 0) + 0.5 * random.normal(number, i);
    }
  });
  model.setParameters(tensors);
}

/** Returns repeatable random ids. */
export function randomIds(
  count: number,
  { vocabSize, seed = 1 }: { vocabSize: number; seed?: number },
): Int32Array {
  const random = new CounterRandom(seed, Purpose.batch);
  return Int32Array.from(
    { length: count },
    (_, i) => random.below(vocabSize, 0, i),
  );
}
