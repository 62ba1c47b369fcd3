/**
 * Architectures of other programs: each has a demand on every field of a model's
 * configuration. Formats list the architectures that they can write; see `export/exports.ts`.
 */

import { type ModelConfig, modelConfig } from "../config/model.ts";
import { type PresetName, presets } from "../config/presets.ts";
import { refusal } from "../refusal.ts";

/** A demand of an architecture on a field. */
export interface Demand {
  /** The values that are allowed, in words. */
  readonly takes: string;
  /** Returns true if a value is allowed, which may depend on the other fields. */
  readonly met: (value: unknown, config: ModelConfig) => boolean;
}

/** Demands on fields. */
export type Demands = { readonly [Field in keyof ModelConfig]: Demand };

/** An architecture of other programs. */
export interface Architecture {
  /** Name by which the other programs know it. */
  readonly name: string;
  /** Demands on the fields of a model's configuration. */
  readonly demands: Demands;
}

/** The demand that is met by every value. */
export const anything: Demand = { takes: "anything", met: () => true };

/** Returns the demand that is met by some values. */
export function only(...values: readonly unknown[]): Demand {
  const takes = values.map((value) => JSON.stringify(value)).join(" or ");
  return { takes, met: (value) => values.includes(value) };
}

/** Returns the demand that a field has the value that follows from the other fields. */
export function derived(
  takes: string,
  of: (config: ModelConfig) => unknown,
): Demand {
  return { takes, met: (value, config) => value === of(config) };
}

/** The demands of a plain transformer: sizes, training settings and biases are free, no part is missing or unusual. */
const plain: Demands = {
  vocabSize: anything,
  blockSize: anything,
  nLayer: anything,
  nHead: anything,
  nKvHead: anything,
  nEmbd: anything,
  headSize: derived("nEmbd / nHead", ({ nEmbd, nHead }) => nEmbd / nHead),
  nHidden: anything,
  position: only("learned"),
  ropeTheta: anything,
  ropeScaling: only(null),
  ropeContext: anything,
  norm: only("layernorm"),
  normPlacement: only("pre"),
  normEps: anything,
  mlp: only("gelu"),
  attention: only(true),
  qkNorm: only(false),
  qkNormGain: only(false),
  attentionScale: only(true),
  mask: only("causal"),
  maskValue: anything,
  residual: only(true),
  bias: anything,
  attentionBias: anything,
  mlpBias: anything,
  tiedHead: anything,
  headBias: only(false),
  dropout: anything,
  labelSmoothing: anything,
  logitSoftcap: only(null),
  init: anything,
};

/** Returns an architecture that differs from a plain transformer in some demands. */
export function architecture(
  name: string,
  demands: Partial<Demands>,
): Architecture {
  return { name, demands: { ...plain, ...demands } };
}

/** Returns an architecture that every model fits. */
export function anyModel(name: string): Architecture {
  const fields = Object.keys(plain).map((field) => [field, anything]);
  return { name, demands: Object.fromEntries(fields) };
}

/** GPT-2 (transformers' `GPT2LMHeadModel`). Biases that a model lacks are written as zeros. */
export const gpt2: Architecture = architecture("gpt2", {
  nKvHead: derived("nHead", ({ nHead }) => nHead),
  mlp: only("geluTanh", "gelu", "relu"),
  attentionScale: anything,
});

/** The model of nanoGPT (karpathy/nanoGPT, `model.py`). */
export const nanogpt: Architecture = architecture("nanogpt", {
  nKvHead: derived("nHead", ({ nHead }) => nHead),
  nHidden: derived("4 nEmbd", ({ nEmbd }) => 4 * nEmbd),
  normEps: only(1e-5),
  attentionBias: derived(
    '"all" or "none", as bias is',
    ({ bias }) => bias ? "all" : "none",
  ),
  mlpBias: derived("as bias is", ({ bias }) => bias),
  tiedHead: only(true),
});

/** The demands that Llama and the architectures made after it share. */
const llamaLike: Partial<Demands> = {
  position: only("rope", "rope-half"),
  ropeScaling: anything,
  norm: only("rmsnorm"),
  mlp: only("swiglu"),
};

/** Llama 2 and 3 (transformers' `LlamaForCausalLM`). */
export const llama: Architecture = architecture("llama", {
  ...llamaLike,
  headSize: anything,
  attentionBias: only("all", "none"),
});

/** Qwen 2 (transformers' `Qwen2ForCausalLM`). */
export const qwen2: Architecture = architecture("qwen2", {
  ...llamaLike,
  attentionBias: only("qkv"),
  mlpBias: only(false),
});

/** Qwen 3, not a mixture of experts (transformers' `Qwen3ForCausalLM`). Gains that a model lacks are written as ones. */
export const qwen3: Architecture = architecture("qwen3", {
  ...llamaLike,
  headSize: anything,
  qkNorm: only(true),
  qkNormGain: anything,
  attentionBias: only("all", "none"),
  mlpBias: only(false),
});

/** A field that an architecture cannot hold. */
export interface Misfit {
  readonly field: keyof ModelConfig;
  readonly demand: Demand;
}

/** Returns the fields of a configuration that an architecture cannot hold. */
export function misfits(
  { demands }: Architecture,
  config: ModelConfig,
): Misfit[] {
  const fields = Object.keys(demands) as (keyof ModelConfig)[];
  return fields.map((field) => ({ field, demand: demands[field] }))
    .filter(({ field, demand }) => !demand.met(config[field], config));
}

/**
 * Returns the first of a format's architectures that can hold a model.
 *
 * @param name name of the format
 * @throws {RangeError} if none can: names the fields that keep the model from the nearest one, and the presets that fit
 */
export function fittingArchitecture(
  name: string,
  architectures: readonly Architecture[],
  config: ModelConfig,
): Architecture {
  const [nearest] = architectures.map((architecture) => ({
    architecture,
    wrong: misfits(architecture, config),
  })).sort((a, b) => a.wrong.length - b.wrong.length);
  if (nearest!.wrong.length === 0) return nearest!.architecture;
  const reasons = nearest!.wrong.map(({ field, demand }) =>
    `${field} is ${JSON.stringify(config[field])}, not ${demand.takes}`
  );
  const fitting = fittingPresets(architectures);
  throw refusal(
    RangeError,
    `export to ${name}`,
    `the architecture ${nearest!.architecture.name} cannot hold the model: ${
      reasons.join("; ")
    }`,
    {
      fields: nearest!.wrong.map(({ field }) => field),
      hint: fitting.length === 0
        ? undefined
        : `models of the preset ${fitting.join(" or ")} can be exported`,
    },
  );
}

/** Returns the names of the presets whose models one of some architectures can hold. */
export function fittingPresets(
  architectures: readonly Architecture[],
): PresetName[] {
  return (Object.keys(presets) as PresetName[]).filter((name) => {
    const config = modelConfig({ vocabSize: 1, ...presets[name].model });
    return architectures.some((one) => misfits(one, config).length === 0);
  });
}
