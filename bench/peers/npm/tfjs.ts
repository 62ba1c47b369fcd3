/**
 * TensorFlow.js on its wasm backend as a peer: commands on standard input,
 * answers on standard output. It runs on one thread: the build of the backend that
 * Deno is given (Node's) refuses its own threads.
 */

import { createRequire } from "node:module";
import { dirname } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { getThreadsCount, setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
import { BATCHES, checkParameters, type Product, serve } from "../protocol.ts";
import { drawOf10 } from "./draw.ts";
import { type Cache, Gpt, Training } from "./tfjs_model.ts";

const require = createRequire(import.meta.url);
const package_ = require.resolve("@tensorflow/tfjs-backend-wasm/package.json");
setWasmPaths(`${dirname(package_)}/dist/`);
await tf.setBackend("wasm");
await tf.ready();

const [V, B, T] = [128, 16, 128];

const ids = (shape: number[]) => tf.randomUniformInt(shape, 0, V);

function training(preset: string) {
  if (preset !== "original") throw new Error(`${preset} is not written here`);
  const training = new Training();
  checkParameters(preset, training.model.count);
  const batches = Array.from(
    { length: BATCHES },
    () => [ids([B, T]), ids([B, T])],
  );
  let step = 0;
  return Promise.resolve(async (steps: number) => {
    let loss = NaN;
    for (let i = 0; i < steps; i++) {
      const [tokens, targets] = batches[step++ % BATCHES]!;
      loss = await training.step(tokens!, targets!);
    }
    return loss;
  });
}

function generation(batch: number) {
  const model = new Gpt();
  return Promise.resolve(async (tokens: number) => {
    let cache: Cache = [];
    let text = new Int32Array(batch).fill(10);
    for (let at = 0; at < tokens; at++) {
      const next: Cache = [...cache];
      const [best, which] = tf.tidy(() => {
        const row = tf.tensor2d(text, [batch, 1], "int32");
        const logits = model.forward(row, next).reshape([batch, V]);
        const { values, indices } = tf.topk(logits, 10);
        for (const pair of next) pair!.forEach((tensor) => tf.keep(tensor));
        return [values, indices];
      });
      for (const pair of cache) tf.dispose(pair!);
      cache = next;
      text = drawOf10(await best!.data(), await which!.data());
      tf.dispose([best!, which!]);
    }
    for (const pair of cache) tf.dispose(pair!);
  });
}

function product({ form, M, N, K }: Product) {
  const [left, right] = [form === "tn", form === "nt"];
  const a = tf.randomUniform(left ? [K, M] : [M, K], -1, 1) as tf.Tensor2D;
  const b = tf.randomUniform(right ? [N, K] : [K, N], -1, 1) as tf.Tensor2D;
  // The backend computes at once; there is nothing to wait for.
  return Promise.resolve((times: number) => {
    for (let i = 0; i < times; i++) tf.matMul(a, b, left, right).dispose();
    return Promise.resolve();
  });
}

await serve(
  `TensorFlow.js ${tf.version.tfjs}, ${tf.getBackend()}, ${getThreadsCount()} threads`,
  { training, generation, product },
);
