/** Model configuration as plain data: every architecture field with its default and limits. */

import {
  choice,
  complete,
  type Field,
  fieldsOf,
  integer,
  number,
  numberOrOff,
  share,
  size,
  toggle,
} from "./field.ts";
import { refusal } from "../refusal.ts";

/** Position encoding of a model. */
export type Position =
  | "none"
  | "learned"
  | "sinusoidal"
  | "rope"
  | "rope-half"
  | "alibi";

/** Architecture of a model. Dimensions: B batch, T positions, C = `nEmbd`. */
export interface ModelConfig {
  /** Number of tokens, V. */
  readonly vocabSize: number;
  /** Longest context, in tokens. */
  readonly blockSize: number;
  /** Number of blocks. */
  readonly nLayer: number;
  /** Number of query heads, NH. */
  readonly nHead: number;
  /** Number of key/value heads, NKV. Divides `nHead`; fewer is grouped-query attention (arXiv 2305.13245). */
  readonly nKvHead: number;
  /** Width of the residual stream, C. */
  readonly nEmbd: number;
  /**
   * Head size, HS: the width of a query, a key and a value. By default `nEmbd` / `nHead`, which must then be an integer;
   * with another size attention's maps are from C to (NH + 2·NKV)·HS and from NH·HS to C.
   */
  readonly headSize: number;
  /** Width of the MLP. */
  readonly nHidden: number;
  /**
   * Position encoding. `none`: no encoding. `learned`: a trained table. `sinusoidal`: a fixed table (arXiv
   * 1706.03762). `rope`: rotated queries and keys, with neighbouring dimensions paired (arXiv 2104.09864).
   * `rope-half`: `rope` with dimension i paired with i + HS/2. `alibi`: an attention bias that decreases with
   * distance (arXiv 2108.12409).
   */
  readonly position: Position;
  /** Base θ of rotary angles: pair i of position t is turned by t · θ^(-2i/HS). */
  readonly ropeTheta: number;
  /**
   * Factor s of Llama 3's scaling of rotary frequencies; `null` for none. A pair that turns less than once in
   * `ropeContext` positions turns s times slower, one that turns more than four times as before.
   */
  readonly ropeScaling: number | null;
  /** Context of the training before `ropeScaling`, in tokens: `original_max_position_embeddings` of Llama 3. */
  readonly ropeContext: number;
  /** Normalization: layer norm (arXiv 1607.06450), RMS norm (arXiv 1910.07467) or none. */
  readonly norm: "layernorm" | "rmsnorm" | "none";
  /** Placement of the norm. `pre`: x + f(norm(x)), with a final norm before the head. `post`: norm(x + f(x)). */
  readonly normPlacement: "pre" | "post";
  /** ε of layer norm, RMS norm and query-key norm, which is added to the variance or the mean of squares. */
  readonly normEps: number;
  /** Activation of the MLP. `swiglu` adds a gate; `none` leaves out the MLP. */
  readonly mlp: "geluTanh" | "gelu" | "relu" | "relu2" | "swiglu" | "none";
  /** True if blocks have attention. */
  readonly attention: boolean;
  /** True if queries and keys are divided by their root mean square. */
  readonly qkNorm: boolean;
  /** True if a learned gain per dimension of a head follows `qkNorm`, before RoPE: one for queries, one for keys (Qwen 3). */
  readonly qkNormGain: boolean;
  /** True if attention scores are divided by sqrt(HS). */
  readonly attentionScale: boolean;
  /**
   * Treatment of the scores of future keys. Use `causal` for real models. The other masks are known mistakes, kept
   * for study: `none` leaves the scores alone, `zeroed` multiplies them by 0 (so each keeps weight exp(0)), `finite`
   * sets them to `maskValue`.
   */
  readonly mask: "causal" | "none" | "zeroed" | "finite";
  /** Score of future keys under `mask: "finite"`. */
  readonly maskValue: number;
  /** True if blocks have residual connections; without them x = f(norm(x)). */
  readonly residual: boolean;
  /** True if layer norms have biases. `attentionBias` and `mlpBias` follow it by default; the head's bias is `headBias`. */
  readonly bias: boolean;
  /** Biases of attention's linear maps: `all`, those of queries, keys and values only (`qkv`, as in Qwen 2), or `none`. */
  readonly attentionBias: "all" | "qkv" | "none";
  /** True if the MLP's linear maps have biases. */
  readonly mlpBias: boolean;
  /** True if the head shares the token embedding's matrix; the shared tensor accumulates both gradients. */
  readonly tiedHead: boolean;
  /** True if the logits have a bias. */
  readonly headBias: boolean;
  /** Dropout rate, in [0, 1): after the embedding, on attention probabilities, and after both output projections. */
  readonly dropout: number;
  /** Label smoothing: the fraction of the training target spread evenly over the vocabulary, in [0, 1). */
  readonly labelSmoothing: number;
  /** Cap c on the logits, which become c·tanh(logits / c) (arXiv 2408.00118); `null` for no cap. */
  readonly logitSoftcap: number | null;
  /**
   * Initial values. `gpt2`: normal with standard deviation 0.02, output projections divided by sqrt(2·nLayer),
   * biases 0 (GPT-2, nanoGPT). `torch`: PyTorch's defaults: embeddings standard normal, weights and biases of linear
   * maps uniform in ±1/sqrt(fan in).
   */
  readonly init: "gpt2" | "torch";
}

/**
 * Options of a model. Only `vocabSize` is required. Defaults: 4 layers, 4 heads and key/value heads, width 128, an
 * MLP of 4 times the width, context 128; no position encoding, layer norm before each part, tanh GELU, biases, an
 * untied head (with a bias, unless tied); no dropout, label smoothing or softcap; GPT-2's initial values.
 */
export type ModelOptions =
  & Pick<ModelConfig, "vocabSize">
  & { readonly [Field in keyof ModelConfig]?: ModelConfig[Field] | undefined };

/** Every field of {@linkcode ModelConfig}, in order. */
export const modelFields: ReadonlyMap<keyof ModelConfig, Field> = fieldsOf<
  ModelConfig
>({
  vocabSize: integer(
    size,
    undefined,
    "number of tokens; must be the tokenizer's",
  ),
  blockSize: integer(size, 128, "longest context, in tokens"),
  // The size of a plan grows with the number of layers; a small language model has far fewer than 1024.
  nLayer: integer({ least: 1, most: 1024, whole: true }, 4, "number of blocks"),
  nHead: integer(
    size,
    4,
    "query heads; without --head-size, --n-embd must be a multiple of it",
  ),
  nKvHead: integer(
    size,
    undefined,
    "key/value heads; --n-head must be a multiple of it",
  ),
  nEmbd: integer(size, 128, "width of the residual stream"),
  headSize: integer(
    size,
    undefined,
    "width of a head; n-embd / n-head unless given",
  ),
  nHidden: integer(size, undefined, "width of the MLP"),
  position: choice([
    "none",
    "learned",
    "sinusoidal",
    "rope",
    "rope-half",
    "alibi",
  ], "position encoding"),
  ropeTheta: number({ above: 0 }, 1e4, "base of rotary angles"),
  ropeScaling: numberOrOff(
    { least: 1 },
    "factor by which slow rotations are slowed down, as in Llama 3",
  ),
  ropeContext: integer(
    size,
    8192,
    "context of the training before --rope-scaling, in tokens",
  ),
  norm: choice(["layernorm", "rmsnorm", "none"], "kind of normalisation"),
  normPlacement: choice(
    ["pre", "post"],
    "pre: normalise before attention and MLP; post: after each residual sum",
  ),
  normEps: number(
    { above: 0 },
    1e-5,
    "what norms add to a variance, so that none is 0",
  ),
  mlp: choice(
    ["geluTanh", "gelu", "relu", "relu2", "swiglu", "none"],
    "activation of the MLP; none: blocks have no MLP",
  ),
  attention: toggle(true, "whether blocks have attention"),
  qkNorm: toggle(false, "divide queries and keys by their root mean square"),
  qkNormGain: toggle(false, "learned gains after --qk-norm, as in Qwen 3"),
  attentionScale: toggle(
    true,
    "divide attention scores by the square root of the head size",
  ),
  mask: choice(
    ["causal", "none", "zeroed", "finite"],
    "how attention scores of later tokens are masked; all but causal are for study",
  ),
  maskValue: number({}, -1e4, "the score that --mask finite writes"),
  residual: toggle(true, "residual connections"),
  bias: toggle(
    true,
    "biases in layer norms and, unless other flags say so, in linear maps",
  ),
  attentionBias: {
    ...choice(
      ["all", "qkv", "none"],
      "biases in attention; qkv: only of queries, keys and values",
    ),
    usual: undefined,
  },
  mlpBias: toggle(undefined, "biases in the MLP"),
  tiedHead: toggle(false, "use the token embedding as the head's matrix"),
  headBias: toggle(undefined, "a bias in the head"),
  dropout: number(share, 0, "dropout rate, from 0 to below 1"),
  labelSmoothing: number(
    share,
    0,
    "share of the target's probability that is spread over all tokens",
  ),
  logitSoftcap: numberOrOff(
    { above: 0 },
    "logits become cap * tanh(logits / cap)",
  ),
  init: choice(
    ["gpt2", "torch"],
    "initial values: GPT-2's, or PyTorch's defaults",
  ),
});

/**
 * Completes and validates a model configuration. `nHidden` defaults to 4·nEmbd, `nKvHead` to `nHead`, `headSize` to
 * nEmbd / nHead, and biases of linear maps to `bias`.
 *
 * @throws {RangeError} if the configuration is invalid; the message names the field and both numbers
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * const config = modelConfig({ vocabSize: 65, nEmbd: 64, nHead: 2 });
 * assertEquals(config.nHidden, 256);
 * ```
 */
export function modelConfig(options: ModelOptions): ModelConfig {
  const { nHead = 4, nEmbd = 128, bias = true, tiedHead = false } = options;
  const {
    nKvHead = nHead,
    // If the width is not a multiple, `checkModel` says so better than a head size that is no integer.
    headSize = Math.max(1, Math.floor(nEmbd / nHead)),
    nHidden = 4 * nEmbd,
    attentionBias = bias ? "all" : "none",
    mlpBias = bias,
    headBias = !tiedHead,
  } = options;
  const config = complete<ModelConfig>("Model", modelFields, {
    ...options,
    ...{ nKvHead, headSize, nHidden, attentionBias, mlpBias, headBias },
  });
  checkModel(config, options);
  return config;
}

/** Most numbers in a position table. It limits `blockSize`, since files do not contain the table. */
const MAX_TABLE = 2 ** 24;

/** Checks the rules that involve several fields. `given` are the options before defaults. */
function checkModel(config: ModelConfig, given: ModelOptions): void {
  const check = (
    condition: boolean,
    reason: string,
    ...fields: (keyof ModelConfig)[]
  ) => {
    if (condition) return;
    throw refusal(RangeError, "create Model", reason, { fields });
  };
  const { nEmbd, nHead, nKvHead, headSize } = config;
  check(
    given.headSize !== undefined || nEmbd % nHead === 0,
    `nEmbd (${nEmbd}) is not a multiple of nHead (${nHead})`,
    ...["nEmbd", "nHead"] as const,
  );
  check(
    nHead % nKvHead === 0,
    `nHead (${nHead}) is not a multiple of nKvHead (${nKvHead})`,
    ...["nHead", "nKvHead"] as const,
  );
  check(
    !config.position.startsWith("rope") || headSize % 2 === 0,
    `position "${config.position}" needs an even head size, and ${
      given.headSize === undefined ? "nEmbd / nHead" : "headSize"
    } is ${headSize}`,
    "position",
    ...given.headSize === undefined
      ? ["nEmbd", "nHead"] as const
      : ["headSize"] as const,
  );
  check(
    config.qkNorm || !config.qkNormGain,
    "qkNormGain is on and qkNorm is off, so there is no norm before the gain",
    ...["qkNormGain", "qkNorm"] as const,
  );
  check(
    config.ropeScaling === null || config.position.startsWith("rope"),
    `ropeScaling (${config.ropeScaling}) needs position "rope" or "rope-half", and it is "${config.position}"`,
    ...["ropeScaling", "position"] as const,
  );
  check(
    config.position !== "sinusoidal" || nEmbd % 2 === 0,
    `position "sinusoidal" needs an even nEmbd, and it is ${nEmbd}`,
    ...["position", "nEmbd"] as const,
  );
  const width = tableWidth(config);
  check(
    config.blockSize * width <= MAX_TABLE,
    `position "${config.position}" with blockSize (${config.blockSize}) would take ${
      config.blockSize * width
    } angles, the limit is ${MAX_TABLE}`,
    ...["position", "blockSize"] as const,
  );
  check(
    config.attention || config.mlp !== "none",
    `attention is off and mlp is "none", so its blocks are empty`,
    ...["attention", "mlp"] as const,
  );
}

/** Returns the numbers per position in the model's constant position table; 0 if it has no table. */
function tableWidth({ position, nEmbd, headSize }: ModelConfig): number {
  if (position === "sinusoidal") return nEmbd;
  return position.startsWith("rope") ? headSize : 0;
}
