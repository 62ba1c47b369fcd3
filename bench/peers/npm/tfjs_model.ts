/** The `original` model in TensorFlow.js, and one training step of it. */

import * as tf from "@tensorflow/tfjs";

const [V, C, T, LAYERS, HEADS] = [128, 128, 128, 4, 4];
const HS = C / HEADS;
const SMOOTHING = 0.1;

type Pair = readonly [tf.Variable, tf.Variable];

/** Keys and values of a layer, (B, NH, T, HS). */
export type Cache = ([tf.Tensor4D, tf.Tensor4D] | undefined)[];

function variable(initial: tf.Tensor): tf.Variable {
  const made = tf.variable(initial);
  initial.dispose();
  return made;
}

function linearPair(nIn: number, nOut: number): Pair {
  const bound = 1 / Math.sqrt(nIn);
  return [
    variable(tf.randomUniform([nIn, nOut], -bound, bound)),
    variable(tf.randomUniform([nOut], -bound, bound)),
  ];
}

const normPair = (): Pair => [
  variable(tf.ones([C])),
  variable(tf.zeros([C])),
];

/** Returns y = x W + b for x (..., nIn). */
function linear(x: tf.Tensor, [weight, bias]: Pair): tf.Tensor {
  const [nIn, nOut] = weight.shape as [number, number];
  const rows = tf.matMul(
    x.reshape([-1, nIn]) as tf.Tensor2D,
    weight as tf.Tensor2D,
  );
  return rows.add(bias).reshape([...x.shape.slice(0, -1), nOut]);
}

function layerNorm(x: tf.Tensor, [weight, bias]: Pair): tf.Tensor {
  const centred = x.sub(x.mean(-1, true));
  const variance = centred.square().mean(-1, true);
  return centred.mul(variance.add(1e-5).rsqrt()).mul(weight).add(bias);
}

function gelu(x: tf.Tensor): tf.Tensor {
  const cube = x.mul(x).mul(x);
  const inner = x.add(cube.mul(0.044715)).mul(Math.sqrt(2 / Math.PI));
  return inner.tanh().add(1).mul(x).mul(0.5);
}

/** Looks up rows of the table by a product with one-hot rows: the wasm backend lacks the kernel for the gradient of a gather. */
function embed(ids: tf.Tensor, wte: tf.Variable): tf.Tensor {
  const rows = tf.oneHot(ids.flatten().toInt(), V).toFloat() as tf.Tensor2D;
  return tf.matMul(rows, wte as tf.Tensor2D).reshape([...ids.shape, C]);
}

/** The model's variables, in the order of the network. */
export class Gpt {
  readonly #wte = variable(tf.randomNormal([V, C]));
  readonly #blocks = Array.from({ length: LAYERS }, () => ({
    norm1: normPair(),
    qkv: linearPair(C, 3 * C),
    project: linearPair(C, C),
    norm2: normPair(),
    up: linearPair(C, 4 * C),
    down: linearPair(4 * C, C),
  }));
  readonly #norm = normPair();
  readonly #head = linearPair(C, V);
  /** Added to scores: a large negative number where the key is in the future. */
  readonly #future = tf.keep(
    tf.tidy(() => tf.linalg.bandPart(tf.ones([T, T]), -1, 0).sub(1).mul(1e9)),
  );

  /** The trainable variables. */
  get variables(): tf.Variable[] {
    const blocks = this.#blocks.flatMap((block) => Object.values(block).flat());
    return [this.#wte, ...blocks, ...this.#norm, ...this.#head];
  }

  /** The number of trainable parameters. */
  get count(): number {
    return this.variables.reduce((sum, { size }) => sum + size, 0);
  }

  /** Returns the logits (B, T, V); with a cache, `ids` follow the cached positions and are added to them. */
  forward(ids: tf.Tensor, cache?: Cache): tf.Tensor {
    let x = embed(ids, this.#wte);
    for (const [layer, block] of this.#blocks.entries()) {
      const normed = layerNorm(x, block.norm1);
      const y = this.#attend(linear(normed, block.qkv), layer, cache);
      x = x.add(linear(y, block.project));
      const hidden = linear(layerNorm(x, block.norm2), block.up);
      x = x.add(linear(gelu(hidden), block.down));
    }
    return linear(layerNorm(x, this.#norm), this.#head);
  }

  #attend(qkv: tf.Tensor, layer: number, cache?: Cache): tf.Tensor {
    const [B, length] = qkv.shape as [number, number, number];
    let [q, k, v] = tf.split(qkv, 3, -1).map((part) =>
      part.reshape([B, length, HEADS, HS]).transpose([0, 2, 1, 3])
    ) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
    const cached = cache?.[layer];
    if (cached) {
      [k, v] = [tf.concat([cached[0], k], 2), tf.concat([cached[1], v], 2)];
    }
    if (cache) cache[layer] = [k, v];
    let scores = tf.matMul(q, k, false, true).mul(1 / Math.sqrt(HS));
    if (length > 1) scores = scores.add(this.#future); // (B, NH, T, T)
    const y = tf.matMul(tf.softmax(scores) as tf.Tensor4D, v);
    return y.transpose([0, 2, 1, 3]).reshape([B, length, C]);
  }

  /** Returns the cross-entropy with label smoothing, averaged over rows. */
  loss(ids: tf.Tensor, targets: tf.Tensor): tf.Scalar {
    const logp = tf.logSoftmax(this.forward(ids).reshape([-1, V]));
    const hot = tf.oneHot(targets.flatten().toInt(), V).toFloat();
    const wanted = hot.mul(1 - SMOOTHING).add(SMOOTHING / V);
    return logp.mul(wanted).sum().mul(-1 / ids.size) as tf.Scalar;
  }
}

const [BETA1, BETA2, RATE, DECAY, EPS] = [0.9, 0.999, 1e-3, 0.01, 1e-8];

/** Gradient, clipping and AdamW; TensorFlow.js has Adam without decay only. */
export class Training {
  readonly model = new Gpt();
  readonly #moments = this.model.variables.map(({ shape }) =>
    [0, 1].map(() => variable(tf.zeros(shape)))
  );
  #steps = 0;

  /** Runs one step and returns its loss. */
  async step(ids: tf.Tensor, targets: tf.Tensor): Promise<number> {
    const value = tf.tidy(() => {
      const { variables } = this.model;
      const { value, grads } = tf.variableGrads(
        () => this.model.loss(ids, targets),
        variables,
      );
      this.#update(variables.map(({ name }) => grads[name]!));
      return value;
    });
    const [loss] = await value.data();
    value.dispose();
    return loss!;
  }

  #update(gradients: readonly tf.Tensor[]): void {
    this.#steps++;
    const squares = gradients.map((g) => g.square().sum());
    const norm = tf.addN(squares).sqrt();
    const clip = tf.minimum(tf.scalar(1).div(norm.add(1e-6)), 1);
    const [c1, c2] = [1 - BETA1 ** this.#steps, 1 - BETA2 ** this.#steps];
    for (const [i, parameter] of this.model.variables.entries()) {
      const [m, v] = this.#moments[i]!;
      const g = gradients[i]!.mul(clip);
      m!.assign(m!.mul(BETA1).add(g.mul(1 - BETA1)));
      v!.assign(v!.mul(BETA2).add(g.square().mul(1 - BETA2)));
      const root = v!.div(c2).sqrt().add(EPS);
      const change = m!.div(root).mul(RATE / c1);
      parameter.assign(parameter.mul(1 - RATE * DECAY).sub(change));
    }
  }
}
