/**
 * The kernel vocabulary: the name of every kernel that a plan may dispatch, and the
 * result that it computes. A backend implements exactly these kernels.
 *
 * Dims are fixed when a plan is compiled. All arrays are dense and row-major, `f32` unless marked `i32`
 * (the reference backend computes the `f32` ones in float64).
 *
 * Letters: B rows of the batch, T positions, C channels (nEmbd), NH query heads,
 * NKV key/value heads, HS head size, V vocabulary, L block size (cache length),
 * rows = B·T. A query/key/value row `qkv[b,t,:]` holds NH query heads, NKV key
 * heads, NKV value heads of HS numbers each; QKV = (NH + 2·NKV)·HS.
 *
 * In dims, `accumulate: true` means `output += result`, and false means
 * `output = result`. Gradients of parameters always accumulate.
 *
 * No kernel may use float atomics or an order of summation that depends on
 * timing: the same inputs give the same bits.
 */

/**
 * The smallest magnitude of a momentum; what is smaller becomes 0. Where gradients have become 0 for good, as those of a unit that
 * is never active, a momentum would else decay to subnormal numbers and stay there: processors take about a hundred times as long for
 * an operation with them. Of this size even squares are not subnormal.
 */
export const LEAST_MOMENTUM: number = 2 ** -63;

/** The smallest float32 that is not subnormal. */
export const LEAST_NORMAL: number = 2 ** -126;

/** The activations of a product. */
export const activations = ["geluTanh", "gelu", "relu", "relu2"] as const;

/** The name of an activation. See {@linkcode signatures.matmul}. */
export type Activation = typeof activations[number];

/** The treatment of keys after the query; see {@linkcode AttentionDims.mask}. */
export type Mask = "causal" | "none" | "zeroed" | "finite";

/** Dims that every attention kernel has. */
export interface AttentionDims {
  readonly B: number;
  readonly T: number;
  readonly NH: number;
  /** Divides NH; query head h reads key/value head floor(h · NKV / NH). */
  readonly NKV: number;
  readonly HS: number;
  /** The factor of every score: 1 / sqrt(HS), or 1. */
  readonly scale: number;
  /**
   * The treatment of the score of query i and key j > i, after scaling and ALiBi:
   * `causal` leaves the key out; `none` keeps the score; `zeroed` replaces the score by 0
   * (which has no gradient); `finite` replaces it by `maskValue` (which has no gradient).
   */
  readonly mask: Mask;
  readonly maskValue: number;
  /** Slopes of ALiBi (arXiv 2108.12409): `-slopes[h] · (i - j)` is added to the scaled score. Empty for no ALiBi. */
  readonly slopes: readonly number[];
}

/** {@linkcode AttentionDims} with dropout on the attention probabilities. */
export interface AttentionDropoutDims extends AttentionDims {
  /**
   * The dropout rate. With 0 there is no dropout and no `key` operand. Otherwise the random
   * bits at index ((b·NH + h)·T + i)·T + j decide if probability (b,h,i,j) is kept, and divided
   * by 1 - rate, or set to 0; see {@linkcode signatures.dropout}. Dropout changes neither `lse`
   * nor the sum in the softmax.
   */
  readonly dropout: number;
  readonly site: number;
}

/** The dims of each kernel, by name. {@linkcode signatures} explains them. */
export interface KernelDims {
  embedding: {
    readonly B: number;
    readonly T: number;
    readonly C: number;
    readonly V: number;
    readonly L: number;
    readonly positions: boolean;
    readonly start: boolean;
  };
  embeddingBackward: {
    readonly rows: number;
    readonly C: number;
    readonly V: number;
  };
  positionBackward: {
    readonly B: number;
    readonly T: number;
    readonly C: number;
    readonly L: number;
  };
  matmul: {
    readonly form: "nt" | "nn" | "tn";
    /** The number of products. In each operand but the bias, their matrices follow one another. */
    readonly count: number;
    readonly M: number;
    readonly N: number;
    readonly K: number;
    /** The factor of the products. */
    readonly alpha: number;
    /** The factor of the residual. */
    readonly beta: number;
    readonly bias: boolean;
    readonly residual: boolean;
    readonly accumulate: boolean;
    /** True if there is an output for the sums over the rows of a, which has the form `tn`. */
    readonly sums: boolean;
    /** The function of y that is a second output; null for none. */
    readonly activation: Activation | null;
    /** The activation whose derivative y is multiplied with; null for none. */
    readonly slope: Activation | null;
  };
  norm: {
    readonly kind: "layernorm" | "rmsnorm";
    readonly rows: number;
    readonly C: number;
    readonly eps: number;
    readonly bias: boolean;
  };
  normBackward: {
    readonly kind: "layernorm" | "rmsnorm";
    readonly rows: number;
    readonly C: number;
    readonly bias: boolean;
    readonly accumulate: boolean;
  };
  swiglu: { readonly n: number };
  swigluBackward: { readonly n: number };
  qkNorm: QkNormDims;
  qkNormBackward: QkNormDims;
  rope: {
    readonly B: number;
    readonly T: number;
    readonly NH: number;
    readonly NKV: number;
    readonly HS: number;
    readonly L: number;
    readonly interleaved: boolean;
    readonly inverse: boolean;
    readonly start: boolean;
  };
  attention: AttentionDropoutDims;
  attentionBackward: AttentionDropoutDims;
  cacheAppend: CacheDims;
  attentionCached: CacheDims & AttentionDims;
  selectLast: { readonly B: number; readonly T: number; readonly C: number };
  lastTokens: { readonly B: number; readonly T: number; readonly S: number };
  choose: {
    readonly B: number;
    readonly T: number;
    readonly V: number;
    readonly S: number;
  };
  add: { readonly n: number };
  copy: { readonly n: number };
  dropout: {
    readonly n: number;
    readonly rate: number;
    readonly site: number;
    readonly residual: boolean;
  };
  softcap: { readonly n: number; readonly cap: number };
  softcapBackward: { readonly n: number; readonly cap: number };
  crossEntropy: {
    readonly rows: number;
    readonly V: number;
    readonly smoothing: number;
    readonly gradient: boolean;
    readonly gradientScale: number;
  };
  lossSum: {
    readonly rows: number;
    readonly scale: number;
    readonly slots: number;
    readonly accumulate: boolean;
  };
  squareSum: { readonly n: number; readonly parts: number };
  clip: {
    readonly parts: number;
    readonly maxNorm: number;
    readonly slots: number;
  };
  adamw: {
    readonly n: number;
    readonly decayed: number;
    readonly beta1: number;
    readonly beta2: number;
    readonly eps: number;
    readonly weightDecay: number;
  };
  momentum: {
    /** The number of arrays, of n numbers each; an array of grads or m begins `stride` after the one before. */
    readonly count: number;
    readonly n: number;
    readonly stride: number;
    readonly momentum: number;
    readonly nesterov: boolean;
  };
  normalize: {
    readonly count: number;
    readonly n: number;
    readonly parts: number;
    readonly eps: number;
  };
  descend: {
    /** As in `momentum`; the arrays of params are `stride` apart. */
    readonly count: number;
    readonly n: number;
    readonly stride: number;
    readonly decayed: number;
    readonly rate: number;
    readonly scale: number;
    readonly weightDecay: number;
  };
}

/** The dims of {@linkcode signatures.matmul} in a single product and nothing more. */
export const plainProduct: Omit<
  KernelDims["matmul"],
  "form" | "M" | "N" | "K"
> = {
  count: 1,
  alpha: 1,
  beta: 1,
  bias: false,
  residual: false,
  accumulate: false,
  sums: false,
  activation: null,
  slope: null,
};

/** Dims of query-key norm, forward and backward. */
export interface QkNormDims {
  readonly rows: number;
  readonly NH: number;
  readonly NKV: number;
  readonly HS: number;
  readonly eps: number;
  /** True if queries have a learned gain for each dimension of a head, and keys another one. */
  readonly gain: boolean;
}

/** Dims of the key/value cache. */
export interface CacheDims {
  readonly B: number;
  readonly T: number;
  readonly L: number;
  readonly NH: number;
  readonly NKV: number;
  readonly HS: number;
}

/** The name of a kernel. */
export type KernelName = keyof KernelDims;

/**
 * The operands of each kernel, `outputs <- inputs`, each with its shape in the letters above and the kernel's dims.
 * The comment before a kernel gives the result that it computes. An operand that follows `dim?` exists only if that
 * dim is true, or not 0. An operand marked `half` may be stored as float16: its numbers are rounded when they are written,
 * and computed with in float32.
 *
 * `key` is (seed, counter, metrics slot, loss slot), seed and counter being unsigned.
 */
export const signatures: Readonly<Record<KernelName, string>> = {
  /**
   * x[b,t] = wte[tokens[b,t]] (+ table[t + start[b]]); start is 0 where absent.
   * Tokens are in [0, V). For a padding row t + start[b] may reach past L; kernels clamp it to L - 1.
   */
  embedding:
    "x[B,T,C] <- tokens i32[B,T], wte[V,C], positions? table[L,C], start? start i32[B]",
  /** dwte[v] += sum of dx over the rows with token v. */
  embeddingBackward: "dwte[V,C] <- dx[rows,C], tokens i32[rows]",
  /** dtable[t] += sum over b of dx[b,t], t < T <= L. */
  positionBackward: "dtable[L,C] <- dx[B,T,C]",
  /**
   * `nt`: y = alpha · a[M,K] · b[N,K]ᵀ + bias (a linear map's output)
   * `nn`: y = alpha · a[M,K] · b[K,N] (the gradient of its input)
   * `tn`: y = alpha · a[K,M]ᵀ · b[K,N] (the gradient of its weight; few outputs, long K)
   *
   * With residual, y = … + beta · residual (a linear map on the residual stream). With accumulate, y += …
   * Never both. All that for each of `count` matrices. With sums, db[m] += the sum over k of a[k,m], for one matrix
   * (the gradient of a bias, whose weight's gradient is y).
   *
   * With activation, z = f(y). With slope, y = … · f'(x), without residual, and y is not added to (the gradient of f's input).
   * geluTanh: f(x) = 0.5x(1 + tanh(sqrt(2/π)(x + 0.044715x³))),
   * gelu: x·Φ(x) by erf (both arXiv 1606.08415); relu: max(x,0); relu2: max(x,0)².
   */
  matmul:
    "y half[count,M,N], activation? z half[count,M,N], sums? db[M] <- a half[count,M,K], b half[count,N,K], bias? bias[N], residual? residual[count,M,N], slope? x half[count,M,N]",
  /**
   * layernorm: y = (x - mean) / sqrt(var + eps) · weight + bias, var biased (arXiv 1607.06450);
   * rmsnorm: y = x / sqrt(mean(x²) + eps) · weight (arXiv 1910.07467).
   * stats: the mean (0 for rmsnorm) and the reciprocal root.
   */
  norm: "y half[rows,C], stats[rows,2] <- x[rows,C], weight[C], bias? bias[C]",
  /** The gradient of norm's input; the gradients of its weight and bias are added to dweight and dbias. */
  normBackward:
    "dx[rows,C], dweight[C], bias? dbias[C] <- dy[rows,C], x[rows,C], weight[C], stats[rows,2]",
  /** y = silu(gate) · x (arXiv 2002.05202). */
  swiglu: "y half[n] <- gate half[n], x half[n]",
  /** The gradients of both inputs of swiglu. */
  swigluBackward: "dgate[n], dx[n] <- dy[n], gate half[n], x half[n]",
  /**
   * Divides each query and key head by sqrt(mean of its squares + eps), and copies the values. With gain, multiplies query
   * heads by qgain and key heads by kgain; roots: the reciprocal root of each of the NH + 2·NKV heads, 1 for values.
   */
  qkNorm:
    "y half[rows,QKV], gain? roots[rows,heads] <- qkv half[rows,QKV], gain? qgain[HS], gain? kgain[HS]",
  /** The gradient of qkNorm, whose input is qkv; the gradients of its gains are added to dqgain and dkgain. */
  qkNormBackward:
    "dqkv[rows,QKV], gain? dqgain[HS], gain? dkgain[HS] <- dy[rows,QKV], qkv half[rows,QKV], gain? qgain[HS], gain? kgain[HS], gain? roots[rows,heads]",
  /**
   * Rotates query and key heads by their position t + start[b] (clamped to L - 1), and copies the values (RoFormer,
   * arXiv 2104.09864, eq. 34): (x, y) → (x cos − y sin, y cos + x sin), pair i by the angle table[position,i];
   * a row of the table holds HS/2 pairs (cosine, sine).
   * With `interleaved` pair i is dims (2i, 2i+1), otherwise (i, i + HS/2). With `inverse` sin changes its sign,
   * which gives the gradient. HS is even.
   */
  rope:
    "y half[B,T,QKV] <- qkv half[B,T,QKV], table[L,HS], start? start i32[B]",
  /**
   * y[b,i,h] = sum over j of p(i,j) · v(j), p = softmax over keys of the (scaled, biased, masked) scores;
   * lse = the logarithm of the sum of exponentials of those scores. No T×T array is stored.
   */
  attention:
    "y half[B,T,NH·HS], lse[B,NH,T] <- qkv half[B,T,QKV], dropout? key i32[4]",
  /** All of dqkv. The probabilities are recomputed from qkv and lse, as exp(score - lse). */
  attentionBackward:
    "dqkv[B,T,QKV] <- dy[B,T,NH·HS], y half[B,T,NH·HS], lse[B,NH,T], qkv half[B,T,QKV], dropout? key i32[4]",
  /**
   * cache[b, start[b] + t] = the keys and values of qkv[b,t], for t < count[b]; other positions of the cache keep their values.
   * A position of the cache holds its key heads, then its value heads.
   */
  cacheAppend:
    "cache[B,L,2·NKV·HS] <- qkv[B,T,QKV], start i32[B], count i32[B]",
  /**
   * Query t of row b has position i = start[b] + t. Its keys are the cache's positions j <= i
   * if `mask` is causal, otherwise j < start[b] + count[b], with scores as in `attention`.
   * For padding rows (t >= count[b]) y is 0.
   */
  attentionCached:
    "y[B,T,NH·HS] <- qkv[B,T,QKV], cache[B,L,2·NKV·HS], start i32[B], count i32[B]",
  /** y[b] = x[b, count[b] - 1], or 0 if count[b] is 0. */
  selectLast: "y[B,C] <- x[B,T,C], count i32[B]",
  /**
   * The last count[b] tokens of text b: tokens[b,t] = text[b, (length - count[b] + t) mod S] for t < count[b], else 0.
   * A text is the last S of its tokens: token i is at i mod S. A negative one is given as 0. `state` as in `choose`.
   */
  lastTokens: "tokens i32[B,T] <- text i32[B,S], state i32[B,4], count i32[B]",
  /**
   * Draws the next token of each text: state[b] = (seed, row, step, length), settings[b] = (temperature, topK, topP, minP,
   * penalty), all as in `Sampler` of `lib/text/sampler.ts`, but topK is 0 for all tokens and the temperature is above 0.
   *
   * A logit x with seen[b,v] not 0 becomes x / penalty if x > 0, else x · penalty. By falling logit, equal ones by rising v,
   * the first topK are kept; of these, if topP < 1, the first whose weights exp((x - largest) / temperature) sum to at least
   * topP of all their weights; of these, those with a weight of at least minP. Of these, by rising v, the token is the first
   * with which the sum of weights is above u times their total; u is the first word, over 2^32, of
   * Threefry-2x32-20(key (seed, 4), counter (row, step)). If a logit is not finite, the token is -1.
   *
   * text[b, length mod S] = token, tokens[b,0] = max(token, 0), seen[b, token] = 1, step += 1, length += 1,
   * cached[b] += count[b]: what the next token needs.
   */
  choose:
    "text i32[B,S], seen i32[B,V], state i32[B,4], cached i32[B], tokens i32[B,T] <- logits[B,V], count i32[B], settings[B,5]",
  /** y = a + b. */
  add: "y[n] <- a[n], b[n]",
  /** y = x. */
  copy: "y half[n] <- x half[n]",
  /**
   * Keeps element i, and divides it by 1 - rate, if the first word of
   * Threefry-2x32-20(key (seed, 3 | site << 8), counter (i, key[1])) is at least
   * floor(rate · 2^32), as unsigned integers; else sets it to 0. The gradient is the same kernel on dy.
   * With residual, adds the residual.
   */
  dropout: "y[n] <- x[n], key i32[4], residual? residual[n]",
  /** y = cap · tanh(x / cap). */
  softcap: "y[n] <- x[n]",
  /** dx = dy · (1 - (y / cap)²). */
  softcapBackward: "dx[n] <- dy[n], y[n]",
  /**
   * rowLoss = -(1 - s) log p[target] - (s / V) sum over v of log p[v], s the smoothing, in nats;
   * dlogits = gradientScale · d rowLoss / d logits. Rows with target -1 give 0 for both.
   */
  crossEntropy:
    "rowLoss[rows], gradient? dlogits[rows,V] <- logits[rows,V], targets i32[rows]",
  /** losses[key[3]] = (or, with accumulate, +=) scale · sum of rowLoss. */
  lossSum: "losses[slots] <- rowLoss[rows], key i32[4]",
  /** partial[p] = sum of squares of the p-th of `parts` equal stretches (ceil(n / parts) long). */
  squareSum: "partial[parts] <- grads[n]",
  /**
   * norm = sqrt(sum of partial). clip[0] = min(1, maxNorm / (norm + 1e-6)), or 1 if maxNorm is 0;
   * clip[1] = 1 if norm and loss are finite, else 0 (test exponent bits: WGSL may assume no NaN).
   * metrics[key[2]] = (loss, norm, clip[1], 0). Then loss[0] = 0 or, if clip[1] is 0, loss + sum of partial,
   * which is not finite, so later steps change nothing either, until the host writes a finite number there.
   */
  clip: "clip[2], metrics[slots,4], loss[1] <- partial[parts], key i32[4]",
  /**
   * AdamW (arXiv 1711.05101); schedule = (learning rate, 1 - beta1^t, 1 - beta2^t).
   * g = clip[0] · grad; decay, for the first `decayed` elements only,
   * p -= lr · weightDecay · p; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g²;
   * p -= lr · (m / schedule[1]) / (sqrt(v / schedule[2]) + eps). If clip[1] is 0, p, m and v stay as they are.
   * m and v become 0 where they are below LEAST_NORMAL.
   * Afterwards grads = 0, whatever clip[1] is.
   */
  adamw: "params[n], grads[n], m[n], v[n] <- clip[2], schedule[3]",
  /**
   * g = clip[0] · grad; m = momentum · m + g, or 0 if that is below LEAST_MOMENTUM; direction = m, or with `nesterov`
   * g + momentum · m (as PyTorch's SGD).
   * If clip[1] is 0, m stays as it is and the direction is 0. Afterwards grads = 0, whatever clip[1] is.
   */
  momentum: "direction[count,n], grads[span], m[span] <- clip[2]",
  /** Of each array: y = x / (sqrt(sum of partial) + eps), where partial sums the squares of x, so that y has norm 1. */
  normalize: "y[count,n] <- x[count,n], partial[count,parts]",
  /**
   * p -= lr · (weightDecay · p, for the first `decayed` elements of an array only, + scale · direction), lr = rate · schedule[0];
   * schedule as in adamw. If clip[1] is 0, p stays as it is.
   */
  descend: "params[span] <- direction[count,n], clip[2], schedule[3]",
};

/** One operand of a dispatch. */
export interface OperandShape {
  readonly name: string;
  readonly dtype: "f32" | "i32";
  /** True if the operand may be stored as float16. */
  readonly half: boolean;
  /** Number of elements. */
  readonly length: number;
}

/** The operands of a dispatch, in the order of its kernel's signature. */
export interface OperandShapes {
  readonly outputs: readonly OperandShape[];
  readonly inputs: readonly OperandShape[];
}

/** Returns the operands that a kernel's signature gives it with these dims. */
export function operandShapes<Name extends KernelName>(
  kernel: Name,
  dims: KernelDims[Name],
): OperandShapes {
  const { NH, NKV, HS } = dims as Partial<AttentionDims>;
  const { count, n, stride } = dims as Partial<KernelDims["momentum"]>;
  const sizes = {
    ...dims,
    QKV: (NH! + 2 * NKV!) * HS!,
    heads: NH! + 2 * NKV!,
    span: (count! - 1) * stride! + n!,
  };
  const [outputs, inputs] = signatures[kernel].split(" <- ").map((side) =>
    side.split(", ").flatMap((text) =>
      shapeOf(text, sizes as Readonly<Record<string, number>>)
    )
  );
  return { outputs: outputs!, inputs: inputs! };
}

/** Returns the operand written as `text`, or none if its condition does not hold. */
function shapeOf(
  text: string,
  sizes: Readonly<Record<string, number>>,
): OperandShape[] {
  const [, condition, name, type, shape] = text.match(
    /^(?:(\w+)\? )?(\w+)(?: (i32|half))?\[(.+)\]$/,
  )!;
  if (condition && !sizes[condition]) return [];
  const length = shape!.split(/[,·]/).reduce(
    (product, size) => product * (sizes[size] ?? Number(size)),
    1,
  );
  const dtype = type === "i32" ? type : "f32";
  return [{ name: name!, dtype, half: type === "half", length }];
}
