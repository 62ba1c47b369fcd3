/**
 * From a recording's words for an architecture and an optimizer to ours. The
 * words are those of tests/golden/README.md; a word that is not there is refused.
 */

import { type ModelConfig, modelConfig } from "../../lib/config/model.ts";
import { type TrainConfig, trainConfig } from "../../lib/config/train.ts";
import { type Fields, isString } from "./fields.ts";
import { NotUnderstoodError } from "./not_understood.ts";
import type { Report } from "./comparison.ts";
import type { Recording } from "./recording.ts";

/** Where a recorded network comes from; this decides its names and what its config leaves out. */
export type Family = "seed" | "nanogpt" | "own";

/** How the rows of `c_attn` are packed. */
export type QkvPacking = "head first" | "part first";

/** A recorded architecture. */
export interface RecordedNetwork {
  readonly family: Family;
  readonly packing: QkvPacking;
  readonly config: ModelConfig;
}

const packings: Readonly<Record<string, QkvPacking>> = {
  "[head, (q,k,v), head_dim]": "head first",
  "[(q,k,v), head, head_dim]": "part first",
  "[q heads, k heads, v heads] of head_dim rows": "part first",
};

/** What a config leaves out. */
const defaults = {
  seed: {
    packing: "[head, (q,k,v), head_dim]",
    position: "none",
    tiedHead: false,
    headBias: true,
    gelu: "tanh",
  },
  nanogpt: {
    packing: "[(q,k,v), head, head_dim]",
    position: "learned",
    tiedHead: true,
    headBias: false,
    gelu: "erf",
  },
} as const;

/** The words of a list that mean themselves. */
function plain<Word extends string>(...words: Word[]): Record<Word, Word> {
  return Object.fromEntries(words.map((word) => [word, word])) as Record<
    Word,
    Word
  >;
}

/**
 * Reads the architecture.
 *
 * @param length the longest sequence in the file: the context, where the config names none
 * @throws {NotUnderstoodError} naming the field
 */
export function readNetwork(
  recording: Recording,
  report: Report,
  { family, length }: { family: Family; length: number },
): RecordedNetwork {
  const fields = recording.fields("config");
  const usual = defaults[family === "seed" ? "seed" : "nanogpt"];
  const nEmbd = fields.count("n_embd");
  const nHead = fields.count("n_head");
  const packing = fields.word("qkv_layout", packings, usual.packing);
  const cap = fields.value("logit_softcap") ?? null;
  const options = {
    vocabSize: fields.count("vocab_size"),
    blockSize: fields.isNull("block_size")
      ? length
      : fields.count("block_size", length),
    nLayer: fields.count("n_layer"),
    nHead,
    nKvHead: fields.count("n_kv_head", nHead),
    nEmbd,
    nHidden: readHidden(fields, nEmbd),
    position: fields.word("position", {
      ...plain("none", "learned", "sinusoidal", "rope-half", "alibi"),
      "rope-interleaved": "rope" as const,
    }, usual.position),
    norm: fields.word(
      "norm",
      plain("layernorm", "rmsnorm", "none"),
      "layernorm",
    ),
    normPlacement: fields.word("norm_placement", plain("pre", "post"), "pre"),
    mlp: readMlp(fields, report, usual.gelu),
    attention: fields.flag("attention", true),
    qkNorm: fields.flag("qk_norm", false),
    attentionScale: fields.flag("attention_scale", true),
    mask: fields.word(
      "mask",
      plain("causal", "none", "zeroed", "finite"),
      "causal",
    ),
    residual: fields.flag("residual", true),
    bias: fields.flag("bias", true),
    tiedHead: fields.flag("tied_head", usual.tiedHead),
    headBias: fields.flag("head_bias", usual.headBias),
    labelSmoothing: fields.number("label_smoothing", 0),
    logitSoftcap: cap === null ? null : fields.number("logit_softcap"),
  };
  fields.fixed("layernorm_eps", 1e-5);
  readDropout(fields, report, family);
  fields.finish();
  try {
    const config = modelConfig(options);
    // A layer has parameters: more layers than tensors is a lie that would cost memory.
    if (config.nLayer > recording.size) {
      throw new RangeError(
        `n_layer is ${config.nLayer}, and there are ${recording.size} tensors`,
      );
    }
    if (length > config.blockSize) {
      throw new RangeError(
        `sequences of ${length} are longer than block_size (${config.blockSize})`,
      );
    }
    if (packing === "head first" && config.nKvHead !== nHead) {
      throw new RangeError(
        `qkv_layout has as many keys as queries, but n_kv_head is ${config.nKvHead} and n_head ${nHead}`,
      );
    }
    // Only a learned table has a size of its own; others need be no longer than the sequences.
    const blockSize = config.position === "learned" ? config.blockSize : length;
    return { family, packing, config: { ...config, blockSize } };
  } catch (error) {
    throw new NotUnderstoodError(`config: ${(error as Error).message}`);
  }
}

/** `n_hidden`, or the seed's `mlp_dim`; 4·n_embd where neither is told, as in GPT-2. */
function readHidden(fields: Fields, nEmbd: number): number {
  const nHidden = fields.count("n_hidden", 4 * nEmbd);
  const mlpDim = fields.count("mlp_dim", nHidden);
  if (fields.value("n_hidden") !== undefined && mlpDim !== nHidden) {
    throw fields.refusal("mlp_dim", `n_hidden, which is ${nHidden}`);
  }
  return mlpDim;
}

/** `mlp`, or where only `gelu` is told, that form of GELU. */
function readMlp(
  fields: Fields,
  report: Report,
  usual: "erf" | "tanh",
): ModelConfig["mlp"] {
  const forms = { erf: "gelu", tanh: "geluTanh" } as const;
  const told = fields.value("gelu") !== undefined;
  const gelu = fields.word("gelu", forms, usual);
  const mlp = fields.word(
    "mlp",
    plain("geluTanh", "gelu", "relu", "relu2", "swiglu", "none"),
    gelu,
  );
  if (told && mlp !== gelu) {
    if (mlp.startsWith("gelu")) {
      throw fields.refusal("gelu", `the form of mlp "${mlp}"`);
    }
    report.remark(`config.gelu: the mlp is ${mlp}`);
  }
  return mlp;
}

/** Recordings are made without dropout; the seed takes a rate and does nothing with it. */
function readDropout(fields: Fields, report: Report, family: Family): void {
  if (family !== "seed") return fields.fixed("dropout", 0);
  const rate = fields.number("dropout", 0);
  if (rate < 0 || rate >= 1) throw fields.refusal("dropout", "a rate");
  if (rate !== 0) {
    report.remark(
      `config.dropout is ${rate}: the seed's code never applies it`,
    );
  }
}

/**
 * Reads the optimizer.
 *
 * @param parameters the recorded names of all parameters, and whether each is a matrix
 * @throws {NotUnderstoodError} naming the field, also if the parameters that decay are neither all nor the matrices
 */
export function readOptimizer(
  recording: Recording,
  { family, parameters }: {
    family: Family;
    parameters: ReadonlyMap<string, { readonly isMatrix: boolean }>;
  },
): TrainConfig {
  const fields = recording.fields("optimizer");
  fields.word("type", { AdamW: true }, "AdamW");
  fields.fixed("clip_eps", 1e-6);
  const betas = fields.value("betas");
  const isBeta = (beta: unknown) =>
    typeof beta === "number" && beta >= 0 && beta < 1;
  if (!Array.isArray(betas) || betas.length !== 2 || !betas.every(isBeta)) {
    throw fields.refusal("betas", "two numbers from 0 to below 1");
  }
  const weightDecay = fields.number("weight_decay");
  const decay = readDecay(fields, { family, parameters, weightDecay });
  if (fields.value("clip_norm") === 0) {
    throw fields.refusal("clip_norm", "above 0, or null for no clipping");
  }
  const options = {
    learningRate: fields.number("lr"),
    beta1: betas[0] as number,
    beta2: betas[1] as number,
    eps: fields.number("eps", 1e-8),
    gradClip: fields.isNull("clip_norm") ? 0 : fields.number("clip_norm", 0),
    ...decay,
  };
  fields.finish();
  try {
    return trainConfig(options);
  } catch (error) {
    throw new NotUnderstoodError(`optimizer: ${(error as Error).message}`);
  }
}

function readDecay(
  fields: Fields,
  { family, parameters, weightDecay }: {
    family: Family;
    parameters: ReadonlyMap<string, { readonly isMatrix: boolean }>;
    weightDecay: number;
  },
): Pick<TrainConfig, "weightDecay" | "decay"> {
  const all = [...parameters.keys()];
  const matrices = all.filter((name) => parameters.get(name)!.isMatrix);
  const usual = family === "seed" ? all : matrices;
  const decaying = new Set(fields.list("decay_params", isString, usual));
  const others = all.filter((name) => !decaying.has(name));
  const told = fields.list("no_decay_params", isString, others);
  const unknown = [...decaying, ...told].find((name) => !parameters.has(name));
  if (unknown !== undefined) {
    throw new NotUnderstoodError(
      `optimizer: ${unknown} is not a parameter of this model`,
    );
  }
  if (
    new Set(told).size !== others.length ||
    told.some((name) => decaying.has(name))
  ) {
    throw new NotUnderstoodError(
      "optimizer: decay_params and no_decay_params are not all parameters, each once",
    );
  }
  if (decaying.size === all.length) return { weightDecay, decay: "all" };
  if (weightDecay === 0 || decaying.size === 0) {
    return { weightDecay: 0, decay: "matrices" };
  }
  const odd = all.find((name) =>
    decaying.has(name) !== parameters.get(name)!.isMatrix
  );
  if (odd === undefined) return { weightDecay, decay: "matrices" };
  throw new NotUnderstoodError(
    `optimizer.decay_params ${
      decaying.has(odd) ? "holds" : "leaves out"
    } ${odd}, and this optimizer decays all parameters or the matrices`,
  );
}
