/**
 * What a model can be and how it is trained, as plain data: the fields, their
 * defaults, their limits. Named combinations stand in `presets.ts`.
 */

import {
  fieldRanges,
  type FieldType,
  isWithin,
  modelFields,
  rangeName,
  trainFields,
} from "./config_fields.ts";

/** How a model learns of positions. */
export type Position =
  | "none"
  | "learned"
  | "sinusoidal"
  | "rope"
  | "rope-half"
  | "alibi";

/** The architecture. Letters: B batch, T positions, C = `nEmbd`. */
export interface ModelConfig {
  /** Number of tokens, V. */
  readonly vocabSize: number;
  /** Longest context, in tokens. */
  readonly blockSize: number;
  /** Number of blocks. */
  readonly nLayer: number;
  /** Query heads, NH. Divides `nEmbd`; the head size HS is their quotient. */
  readonly nHead: number;
  /** Key/value heads, NKV. Divides `nHead`; fewer than `nHead` is grouped-query attention (arXiv 2305.13245). */
  readonly nKvHead: number;
  /** Width of the residual stream, C. */
  readonly nEmbd: number;
  /** Width of the MLP. */
  readonly nHidden: number;
  /**
   * `learned`: a trained table. `sinusoidal`: a fixed one (arXiv 1706.03762). `rope`: queries and keys rotated,
   * pairing neighbouring dims (arXiv 2104.09864); `rope-half`: pairing dim i with i + HS/2. `alibi`: a bias that
   * falls with distance (arXiv 2108.12409).
   */
  readonly position: Position;
  /** What normalizes: layer norm (arXiv 1607.06450), RMS norm (arXiv 1910.07467) or nothing. ε is 1e-5. */
  readonly norm: "layernorm" | "rmsnorm" | "none";
  /** `pre`: x + f(norm(x)), and one more norm before the head. `post`: norm(x + f(x)). */
  readonly normPlacement: "pre" | "post";
  /** The MLP's activation; `swiglu` adds a gate; `none`: blocks have no MLP. */
  readonly mlp: "geluTanh" | "gelu" | "relu" | "relu2" | "swiglu" | "none";
  /** False: blocks have no attention. */
  readonly attention: boolean;
  /** Queries and keys divided by the root of their mean square. */
  readonly qkNorm: boolean;
  /** False: scores are not divided by sqrt(HS). */
  readonly attentionScale: boolean;
  /**
   * What happens to scores of future keys. `causal` is the only one to build on; `none`, `zeroed` (multiplied
   * by 0, so that they keep weight exp(0)) and `finite` (set to `maskValue`) are specimens for study.
   */
  readonly mask: "causal" | "none" | "zeroed" | "finite";
  /** The score that `mask: "finite"` writes. */
  readonly maskValue: number;
  /** False: x = f(norm(x)). */
  readonly residual: boolean;
  /** Biases in linear maps and layer norms (not in the head: see `headBias`). */
  readonly bias: boolean;
  /** The head's matrix is the token embedding: one tensor, both gradients. */
  readonly tiedHead: boolean;
  /** A bias on the logits. */
  readonly headBias: boolean;
  /** Rate, in [0, 1), after the embedding, on attention probabilities and after both output projections. */
  readonly dropout: number;
  /** Share of the training target spread evenly over the vocabulary, in [0, 1). */
  readonly labelSmoothing: number;
  /** c: logits become c·tanh(logits / c) (arXiv 2408.00118). `null`: off. */
  readonly logitSoftcap: number | null;
  /**
   * Initial values. `gpt2`: normal, sd 0.02, output projections divided by sqrt(2·nLayer), biases 0 (GPT-2, nanoGPT).
   * `torch`: PyTorch's defaults: embeddings standard normal, linear maps uniform in ±1/sqrt(fan in), biases too.
   */
  readonly init: "gpt2" | "torch";
}

/** How a model is trained. {@linkcode trainConfig} without arguments gives the defaults. */
export interface TrainConfig {
  /** Sequences per micro-batch, B. */
  readonly batchSize: number;
  /** Micro-batches whose gradients are averaged in one step. */
  readonly gradAccumulation: number;
  /** Optimizer steps. */
  readonly maxSteps: number;
  /** The highest learning rate. */
  readonly learningRate: number;
  /** Where `cosine` and `linear` end. */
  readonly minLearningRate: number;
  /** Steps of linear warm-up; 0: none. */
  readonly warmupSteps: number;
  /** The step at which `cosine` and `linear` reach `minLearningRate`; `null`: `maxSteps`. */
  readonly decaySteps: number | null;
  /** How the learning rate falls after the warm-up: not, along half a cosine, or along a line. */
  readonly schedule: "constant" | "cosine" | "linear";
  /**
   * What turns gradients into updates: AdamW (arXiv 1711.05101), SGD with momentum, or Muon (Jordan 2024,
   * kellerjordan.github.io/posts/muon) for the blocks' matrices with AdamW for all else.
   */
  readonly optimizer: "adamw" | "muon" | "sgd";
  /** Muon's highest learning rate; it follows the same schedule. */
  readonly muonLearningRate: number;
  /** Decay of the momentum of Muon and SGD, in [0, 1). */
  readonly momentum: number;
  /** Decay of AdamW's first moment, in [0, 1). */
  readonly beta1: number;
  /** Decay of AdamW's second moment, in [0, 1). */
  readonly beta2: number;
  /** AdamW's ε. */
  readonly eps: number;
  /** Decoupled weight decay, times the learning rate in each step (arXiv 1711.05101). */
  readonly weightDecay: number;
  /** Which parameters decay: those with two dimensions, or all. */
  readonly decay: "matrices" | "all";
  /** Largest global gradient norm; 0: no clipping. */
  readonly gradClip: number;
  /**
   * Seeds dropout; an integer in [0, 2^32). In the library each part has a seed of its own: initial values
   * that of `Model.create`, batches that of `Dataset`, drawn tokens that of `Sampler`. The command's `--seed` sets all four.
   */
  readonly seed: number;
  /** Steps between evaluations; 0: only at the end. */
  readonly evalInterval: number;
  /** Steps between text samples; 0: only at the end. */
  readonly sampleInterval: number;
  /** Steps between checkpoints; 0: only at the end. */
  readonly checkpointInterval: number;
}

/**
 * The fields without which there is no model, and the others. Left out they are: 4 layers, 4 heads and key/value
 * heads, width 128, an MLP of 4 times the width, context 128; no positions, layer norm before each part, GELU by
 * tanh, biases, an untied head (with a bias, unless tied); no dropout, smoothing or softcap; GPT-2's initial values.
 */
export type ModelOptions =
  & Pick<ModelConfig, "vocabSize">
  & { readonly [Field in keyof ModelConfig]?: ModelConfig[Field] | undefined };

/** Fields of {@linkcode TrainConfig}; what is left out or undefined has its default. */
export type TrainOptions = {
  readonly [Field in keyof TrainConfig]?: TrainConfig[Field] | undefined;
};

/** AdamW and logging defaults; presets override them. */
export const trainDefaults: TrainConfig = {
  batchSize: 16,
  gradAccumulation: 1,
  maxSteps: 5000,
  learningRate: 1e-3,
  minLearningRate: 1e-4,
  warmupSteps: 0,
  decaySteps: null,
  schedule: "constant",
  optimizer: "adamw",
  muonLearningRate: 0.02,
  momentum: 0.95,
  beta1: 0.9,
  beta2: 0.999,
  eps: 1e-8,
  weightDecay: 0.01,
  decay: "matrices",
  gradClip: 1,
  seed: 1,
  evalInterval: 250,
  sampleInterval: 500,
  checkpointInterval: 500,
};

/**
 * Completes and checks a model's configuration. `nHidden` defaults to 4·nEmbd, `nKvHead` to `nHead`.
 *
 * @throws {RangeError} naming the field and both numbers, if the model cannot be built
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * const config = modelConfig({ vocabSize: 65, nEmbd: 64, nHead: 2 });
 * assertEquals(config.nHidden, 256);
 * ```
 */
export function modelConfig(options: ModelOptions): ModelConfig {
  const nEmbd = options.nEmbd ?? 128;
  const nHead = options.nHead ?? 4;
  const config: ModelConfig = {
    blockSize: 128,
    nLayer: 4,
    position: "none",
    norm: "layernorm",
    normPlacement: "pre",
    mlp: "geluTanh",
    attention: true,
    qkNorm: false,
    attentionScale: true,
    mask: "causal",
    maskValue: -1e4,
    residual: true,
    bias: true,
    tiedHead: false,
    headBias: !(options.tiedHead ?? false),
    dropout: 0,
    labelSmoothing: 0,
    logitSoftcap: null,
    init: "gpt2",
    ...given(options),
    nEmbd,
    nHead,
    nKvHead: options.nKvHead ?? nHead,
    nHidden: options.nHidden ?? 4 * nEmbd,
  };
  checkModel(config);
  return config;
}

/** Numbers in a table of positions, which no file has to hold: a wrong `blockSize` shall not take all memory. */
const MAX_TABLE = 2 ** 24;

function checkModel(config: ModelConfig): void {
  const check = checker("Model");
  check.fields(config, [...modelFields.keys()]);
  check.ranges(config, modelFields);
  for (const [field, choices] of modelFields) {
    if (Array.isArray(choices)) {
      check.choice(field, config[field] as string, choices);
    } else if (choices === "boolean") {
      check.boolean(field, config[field]);
    }
  }
  const { nEmbd, nHead, nKvHead } = config;
  check.that(
    nEmbd % nHead === 0,
    `nEmbd (${nEmbd}) is not a multiple of nHead (${nHead})`,
  );
  check.that(
    nHead % nKvHead === 0,
    `nHead (${nHead}) is not a multiple of nKvHead (${nKvHead})`,
  );
  check.that(
    !config.position.startsWith("rope") || (nEmbd / nHead) % 2 === 0,
    `position "${config.position}" needs an even head size, and nEmbd / nHead is ${
      nEmbd / nHead
    }`,
  );
  check.that(
    config.position !== "sinusoidal" || nEmbd % 2 === 0,
    `position "sinusoidal" needs an even nEmbd, and it is ${nEmbd}`,
  );
  const width = tableWidth(config);
  check.that(
    config.blockSize * width <= MAX_TABLE,
    `position "${config.position}" with blockSize (${config.blockSize}) would take ${
      config.blockSize * width
    } angles, the limit is ${MAX_TABLE}`,
  );
  check.that(
    config.attention || config.mlp !== "none",
    `attention is off and mlp is "none", so its blocks are empty`,
  );
}

/** Numbers for each position in the constant table that a model keeps, if it keeps one. */
function tableWidth({ position, nEmbd, nHead }: ModelConfig): number {
  if (position === "sinusoidal") return nEmbd;
  return position.startsWith("rope") ? nEmbd / nHead : 0;
}

/**
 * Completes and checks how to train.
 *
 * @throws {RangeError} naming the field and its limits
 */
export function trainConfig(options: TrainOptions = {}): TrainConfig {
  const config: TrainConfig = { ...trainDefaults, ...given(options) };
  const check = checker("Trainer");
  check.fields(config, [...trainFields.keys()]);
  check.ranges(config, trainFields);
  check.that(
    config.optimizer !== "muon" || config.learningRate > 0,
    `optimizer "muon" follows learningRate, and it is 0`,
  );
  for (const [field, choices] of trainFields) {
    if (Array.isArray(choices)) {
      check.choice(field, config[field] as string, choices);
    }
  }
  return config;
}

/** Returns the options that have a value, so that a spread of them takes no default away. */
function given<Options extends object>(
  options: Options,
): { [Field in keyof Options]: Exclude<Options[Field], undefined> } {
  const entries = Object.entries(options);
  return Object.fromEntries(
    entries.filter(([, value]) => value !== undefined),
  ) as ReturnType<typeof given<Options>>;
}

interface Checker {
  that(condition: boolean, reason: string): void;
  fields(config: object, known: readonly string[]): void;
  ranges(config: object, fields: ReadonlyMap<string, FieldType>): void;
  choice(field: string, value: string, choices: readonly string[]): void;
  boolean(field: string, value: unknown): void;
}

function checker(what: string): Checker {
  const that = (condition: boolean, reason: string) => {
    if (!condition) throw new RangeError(`Cannot create ${what}: ${reason}`);
  };
  return {
    that,
    fields: (config, known) => {
      for (const key of Object.keys(config)) {
        that(known.includes(key), `${key} is not a field of its configuration`);
      }
    },
    ranges: (config, fields) => {
      for (const [field, type] of fields) {
        const range = fieldRanges.get(field);
        if (range === undefined) continue;
        const value = (config as Record<string, unknown>)[field];
        const isOff = type === "number or off" && value === null;
        that(
          isOff || isWithin(value, range),
          `${field} (${value}) is not ${rangeName(range)}`,
        );
      }
    },
    choice: (field, value, choices) =>
      that(
        choices.includes(value),
        `${field} ("${value}") is none of ${choices.join(", ")}`,
      ),
    boolean: (field, value) =>
      that(
        typeof value === "boolean",
        `${field} (${value}) is neither true nor false`,
      ),
  };
}
