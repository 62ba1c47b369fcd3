/**
 * jax-js as a peer: commands on standard input, answers on standard output. The
 * argument names its backend, wasm or webgpu; on wasm it takes as many threads as
 * the machine has.
 */

import {
  blockUntilReady,
  defaultDevice,
  init,
  jit,
  numpy as np,
  tree,
} from "@jax-js/jax";
import { BATCHES, checkParameters, type Product, serve } from "../protocol.ts";
import {
  count,
  decode,
  emptyCache,
  initialise,
  type State,
  trainStep,
  zeros,
} from "./jax_model.ts";
import { drawOf10 } from "./draw.ts";

const [V, B, T] = [128, 16, 128];
const device = Deno.args[0] === "webgpu" ? "webgpu" : "wasm";
await init(device);
defaultDevice(device);

const ids = (shape: number[]) => {
  const length = shape.reduce((a, b) => a * b, 1);
  const data = Int32Array.from(
    { length },
    () => Math.floor(V * Math.random()),
  );
  return np.array(data).reshape(shape);
};

function training(preset: string) {
  if (preset !== "original") throw new Error(`${preset} is not written here`);
  const p = initialise();
  checkParameters(preset, count(p));
  let state: State = { m: zeros(p), v: zeros(p), p };
  const batches = Array.from(
    { length: BATCHES },
    () => [ids([B, T]), ids([B, T])],
  );
  let step = 0;
  return Promise.resolve(async (steps: number) => {
    let loss = NaN;
    for (let i = 0; i < steps; i++) {
      const [tokens, targets] = batches[step % BATCHES]!;
      step++;
      const corrections = np.array([1 - 0.9 ** step, 1 - 0.999 ** step]);
      const [next, value] = trainStep(
        state,
        tokens!.ref,
        targets!.ref,
        corrections,
      );
      state = next as State;
      [loss = NaN] = await value.data();
      await blockUntilReady(state);
    }
    return loss;
  });
}

function generation(batch: number) {
  const p = initialise();
  return Promise.resolve(async (tokens: number) => {
    let cache = emptyCache(batch);
    let text = new Int32Array(batch).fill(10);
    for (let at = 0; at < tokens; at++) {
      const [best, which, next] = decode(
        tree.ref(p),
        cache,
        np.array(text).reshape([batch, 1]),
        np.array(Int32Array.of(at)),
      );
      cache = next;
      text = drawOf10(await best.data(), await which.data());
    }
    tree.dispose(cache);
  });
}

function product({ form, M, N, K }: Product) {
  const numbers = (rows: number, columns: number) => {
    const length = rows * columns;
    const draw = () => Math.random() - 0.5;
    return np.array(Float32Array.from({ length }, draw))
      .reshape([rows, columns]);
  };
  const a = form === "tn" ? numbers(K, M) : numbers(M, K);
  const b = form === "nt" ? numbers(N, K) : numbers(K, N);
  const multiply = jit((a: np.Array, b: np.Array) =>
    np.matmul(
      form === "tn" ? np.matrixTranspose(a) : a,
      form === "nt" ? np.matrixTranspose(b) : b,
    )
  );
  return Promise.resolve(async (times: number) => {
    for (let i = 0; i < times; i++) {
      const y = multiply(a.ref, b.ref);
      await blockUntilReady(y);
      y.dispose();
    }
  });
}

await serve(`jax-js, ${device}`, { training, generation, product });
