/** What a model can be, as plain data: every field of the architecture with its default and its limits. */

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

/**
 * The fields without which there is no model, and the others. Left out they are: 4 layers, 4 heads and key/value
 * heads, width 128, an MLP of 4 times the width, context 128; no positions, layer norm before each part, GELU by
 * tanh, biases, an untied head (with a bias, unless tied); no dropout, smoothing or softcap; GPT-2's initial values.
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
  // Plans grow with the layers: more of them are hardly a small language model.
  nLayer: integer({ least: 1, most: 1024, whole: true }, 4, "number of blocks"),
  nHead: integer(size, 4, "query heads; --n-embd must be a multiple of it"),
  nKvHead: integer(
    size,
    undefined,
    "key/value heads; --n-head must be a multiple of it",
  ),
  nEmbd: integer(size, 128, "width of the residual stream"),
  nHidden: integer(size, undefined, "width of the MLP"),
  position: choice([
    "none",
    "learned",
    "sinusoidal",
    "rope",
    "rope-half",
    "alibi",
  ], "position encoding"),
  norm: choice(["layernorm", "rmsnorm", "none"], "kind of normalisation"),
  normPlacement: choice(
    ["pre", "post"],
    "pre: normalise before attention and MLP; post: after each residual sum",
  ),
  mlp: choice(
    ["geluTanh", "gelu", "relu", "relu2", "swiglu", "none"],
    "activation of the MLP; none: blocks have no MLP",
  ),
  attention: toggle(true, "whether blocks have attention"),
  qkNorm: toggle(false, "divide queries and keys by their root mean square"),
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
  bias: toggle(true, "biases in linear maps and layer norms"),
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
  const { nHead = 4, nEmbd = 128, tiedHead = false } = options;
  const {
    nKvHead = nHead,
    nHidden = 4 * nEmbd,
    headBias = !tiedHead,
  } = options;
  const config = complete<ModelConfig>("Model", modelFields, {
    ...options,
    ...{ nKvHead, nHidden, headBias },
  });
  checkModel(config);
  return config;
}

/** Numbers in a table of positions, which no file has to hold: a wrong `blockSize` shall not take all memory. */
const MAX_TABLE = 2 ** 24;

/** Checks the rules that concern several fields at once. */
function checkModel(config: ModelConfig): void {
  const check = (condition: boolean, reason: string) => {
    if (!condition) throw new RangeError(`Cannot create Model: ${reason}`);
  };
  const { nEmbd, nHead, nKvHead } = config;
  check(
    nEmbd % nHead === 0,
    `nEmbd (${nEmbd}) is not a multiple of nHead (${nHead})`,
  );
  check(
    nHead % nKvHead === 0,
    `nHead (${nHead}) is not a multiple of nKvHead (${nKvHead})`,
  );
  check(
    !config.position.startsWith("rope") || (nEmbd / nHead) % 2 === 0,
    `position "${config.position}" needs an even head size, and nEmbd / nHead is ${
      nEmbd / nHead
    }`,
  );
  check(
    config.position !== "sinusoidal" || nEmbd % 2 === 0,
    `position "sinusoidal" needs an even nEmbd, and it is ${nEmbd}`,
  );
  const width = tableWidth(config);
  check(
    config.blockSize * width <= MAX_TABLE,
    `position "${config.position}" with blockSize (${config.blockSize}) would take ${
      config.blockSize * width
    } angles, the limit is ${MAX_TABLE}`,
  );
  check(
    config.attention || config.mlp !== "none",
    `attention is off and mlp is "none", so its blocks are empty`,
  );
}

/** Numbers for each position in the constant table that a model keeps, if it keeps one. */
function tableWidth({ position, nEmbd, nHead }: ModelConfig): number {
  if (position === "sinusoidal") return nEmbd;
  return position.startsWith("rope") ? nEmbd / nHead : 0;
}
