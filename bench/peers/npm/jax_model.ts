/**
 * The `original` model in jax-js: parameters, loss, and one training step, which
 * `jit` turns into one list of kernels. jax-js counts references: a function
 * consumes its arguments, and `.ref` keeps one for another use.
 *
 * Tried, and no faster: heads first with explicit products in place of
 * `nn.dotProductAttention`. Without `jit` the forward pass alone is faster (its
 * fusions read some operands against the grain), but the gradient far slower.
 */

import { jit, lax, nn, numpy as np, tree, valueAndGrad } from "@jax-js/jax";

const [V, C, T, LAYERS, HEADS] = [128, 128, 128, 4, 4];
const HS = C / HEADS;
const SMOOTHING = 0.1;

/** Parameters, moments and gradients have this shape alike. */
export type Parameters = {
  wte: np.Array;
  blocks: {
    norm1: np.Array[];
    qkv: np.Array[];
    project: np.Array[];
    norm2: np.Array[];
    up: np.Array[];
    down: np.Array[];
  }[];
  norm: np.Array[];
  head: np.Array[];
};

/** Returns initial values; linear maps are stored (in, out) and uniform in ±1/√in. */
export function initialise(): Parameters {
  const numbers = (shape: number[], draw: () => number) => {
    const length = shape.reduce((a, b) => a * b, 1);
    return np.array(Float32Array.from({ length }, draw)).reshape(shape);
  };
  const linear = (nIn: number, nOut: number) => {
    const draw = () => (2 * Math.random() - 1) / Math.sqrt(nIn);
    return [numbers([nIn, nOut], draw), numbers([nOut], draw)];
  };
  const norm = () => [np.ones([C]), np.zeros([C])];
  const normal = () =>
    Math.sqrt(-2 * Math.log(1 - Math.random())) *
    Math.cos(2 * Math.PI * Math.random());
  return {
    wte: numbers([V, C], normal),
    blocks: Array.from({ length: LAYERS }, () => ({
      norm1: norm(),
      qkv: linear(C, 3 * C),
      project: linear(C, C),
      norm2: norm(),
      up: linear(C, 4 * C),
      down: linear(4 * C, C),
    })),
    norm: norm(),
    head: linear(C, V),
  };
}

/** Returns the number of trainable parameters. */
export function count(parameters: Parameters): number {
  return tree.leaves<np.Array>(parameters).reduce(
    (sum, { size }) => sum + size,
    0,
  );
}

const linear = (x: np.Array, [weight, bias]: np.Array[]) =>
  np.matmul(x, weight!).add(bias!);

const layerNorm = (x: np.Array, [weight, bias]: np.Array[]) =>
  nn.standardize(x).mul(weight!).add(bias!);

/** Looks up rows of the table by a product with one-hot rows, whose derivative jax-js has. */
const embed = (ids: np.Array, wte: np.Array) =>
  np.matmul(nn.oneHot(ids, V), wte);

function split(x: np.Array, B: number, length: number): np.Array[] {
  return np.split(x, 3, -1).map((part) => part.reshape([B, length, HEADS, HS]) // (B, T, NH, HS)
  );
}

/** Returns the logits (B, T, V) of ids (B, T). */
export function forward(p: Parameters, ids: np.Array): np.Array {
  const B = ids.shape[0]!;
  let x = embed(ids, p.wte);
  for (const block of p.blocks) {
    const qkv = linear(layerNorm(x.ref, block.norm1), block.qkv);
    const [q, k, v] = split(qkv, B, T);
    const y = nn.dotProductAttention(q!, k!, v!, { isCausal: true });
    x = x.add(linear(y.reshape([B, T, C]), block.project));
    const hidden = nn.gelu(linear(layerNorm(x.ref, block.norm2), block.up));
    x = x.add(linear(hidden, block.down));
  }
  return linear(layerNorm(x, p.norm), p.head);
}

function loss(p: Parameters, ids: np.Array, targets: np.Array): np.Array {
  const rows = ids.size;
  const logp = nn.logSoftmax(forward(p, ids));
  const wanted = nn.oneHot(targets, V).mul(1 - SMOOTHING).add(SMOOTHING / V);
  return logp.mul(wanted).sum().mul(-1 / rows);
}

const [BETA1, BETA2, RATE, DECAY, EPS] = [0.9, 0.999, 1e-3, 0.01, 1e-8];

/** The arrays that change from step to step. */
export type State = { p: Parameters; m: Parameters; v: Parameters };

/**
 * Runs a training step: gradient, clipping and AdamW.
 *
 * @param corrections 1 - β1^t and 1 - β2^t
 */
export const trainStep = jit((
  { p, m, v }: State,
  ids: np.Array,
  targets: np.Array,
  corrections: np.Array,
): [State, np.Array] => {
  const [value, gradient] = valueAndGrad(loss)(tree.ref(p), ids, targets);
  const gradients = tree.leaves<np.Array>(gradient);
  const squares = gradients.map((g) => np.square(g.ref).sum());
  const norm = np.sqrt(squares.reduce((a, b) => a.add(b)));
  const clip = np.minimum(np.reciprocal(norm.add(1e-6)), 1);
  const [c1, c2] = np.split(corrections, 2);
  const moments = [tree.leaves<np.Array>(m), tree.leaves<np.Array>(v)];
  const next = tree.leaves<np.Array>(p).map((old, i) => {
    const g = gradients[i]!.mul(clip.ref);
    const first = moments[0]![i]!.mul(BETA1).add(g.ref.mul(1 - BETA1));
    const second = moments[1]![i]!.mul(BETA2).add(
      np.square(g).mul(1 - BETA2),
    );
    const root = np.sqrt(second.ref.div(c2!.ref)).add(EPS);
    const change = first.ref.div(c1!.ref).div(root).mul(RATE);
    return [old.mul(1 - RATE * DECAY).sub(change), first, second];
  });
  for (const scalar of [clip, c1!, c2!]) scalar.dispose();
  const structure = tree.structure(p);
  const part = (i: number) =>
    tree.unflatten(structure, next.map((leaf) => leaf[i]!)) as Parameters;
  return [{ p: part(0), m: part(1), v: part(2) }, value];
});

/** Returns zeros in the shape of the parameters. */
export function zeros(p: Parameters): Parameters {
  return tree.map(
    (leaf: np.Array) => np.zeros(leaf.shape),
    p,
  ) as unknown as Parameters;
}

/** Keys and values of each layer, (B, T, NH, HS). */
export type Cache = { k: np.Array; v: np.Array }[];

/** Returns an empty cache. */
export function emptyCache(B: number): Cache {
  const empty = () => np.zeros([B, T, HEADS, HS]);
  return Array.from({ length: LAYERS }, () => ({ k: empty(), v: empty() }));
}

/**
 * Decodes one token for each row; returns the 10 largest logits, their ids, and the new cache.
 *
 * @param ids (B, 1)
 * @param at the token's position, (1)
 */
export const decode = jit((
  p: Parameters,
  cache: Cache,
  ids: np.Array,
  at: np.Array,
): [np.Array, np.Array, Cache] => {
  const B = ids.shape[0]!;
  const place = np.arange(T).astype(np.int32);
  const here = np.equal(place.ref, at.ref).reshape([1, T, 1, 1]);
  const seen = np.lessEqual(place, at).reshape([1, 1, 1, T]);
  let x = embed(ids, p.wte);
  const caches = p.blocks.map((block, i) => {
    const qkv = linear(layerNorm(x.ref, block.norm1), block.qkv);
    const [q, newK, newV] = split(qkv, B, 1);
    const k = np.where(here.ref, newK!, cache[i]!.k);
    const v = np.where(here.ref, newV!, cache[i]!.v);
    const y = nn.dotProductAttention(q!, k.ref, v.ref, { mask: seen.ref });
    x = x.add(linear(y.reshape([B, 1, C]), block.project));
    const hidden = nn.gelu(linear(layerNorm(x.ref, block.norm2), block.up));
    x = x.add(linear(hidden, block.down));
    return { k, v };
  });
  here.dispose();
  seen.dispose();
  const logits = linear(layerNorm(x, p.norm), p.head).reshape([B, V]);
  const [best, which] = lax.topK(logits, 10);
  return [best, which, caches];
});
