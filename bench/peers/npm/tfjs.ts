/**
 * TensorFlow.js on its wasm backend as a peer: commands on standard input,
 * answers on standard output. It runs on one thread: the build of the backend that
 * Deno is given (Node's) refuses its own threads.
 */

import { createRequire } from "node:module";
import { dirname } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { getThreadsCount, setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
import {
  type Answer,
  type Command,
  lazily,
  serve,
  timed,
} from "../protocol.ts";
import { drawOf10 } from "./draw.ts";
import { type Cache, Gpt, Training } from "./tfjs_model.ts";

const require = createRequire(import.meta.url);
const package_ = require.resolve("@tensorflow/tfjs-backend-wasm/package.json");
setWasmPaths(`${dirname(package_)}/dist/`);
await tf.setBackend("wasm");
await tf.ready();

const [V, B, T] = [128, 16, 128];
const PARAMETERS = 826_240;

/** Batches drawn beforehand, so that drawing is not measured. */
const BATCHES = 8;

const ids = (shape: number[]) => tf.randomUniformInt(shape, 0, V);

const trainings = new Map<string, () => Promise<number>>();

function makeTraining(): () => Promise<number> {
  const training = new Training();
  const { count } = training.model;
  if (count !== PARAMETERS) {
    throw new Error(`${count} parameters, not ${PARAMETERS}`);
  }
  const batches = Array.from(
    { length: BATCHES },
    () => [ids([B, T]), ids([B, T])],
  );
  let steps = 0;
  return () => {
    const [tokens, targets] = batches[steps++ % BATCHES]!;
    return training.step(tokens!, targets!);
  };
}

async function step(command: Command): Promise<Answer> {
  const { preset = "original", steps = 1, warm = true } = command;
  if (preset !== "original") return { error: `${preset} is not written here` };
  const run = await lazily(trainings, preset, async () => {
    const training = makeTraining();
    if (warm) await training();
    return training;
  });
  let loss = NaN;
  const milliseconds = await timed(steps, async () => {
    loss = await run();
  });
  return { milliseconds, loss };
}

const generators = new Map<string, Gpt>();

async function generate(command: Command): Promise<Answer> {
  const { batch = 1, tokens = 120 } = command;
  const run = async (model: Gpt) => {
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
  };
  const model = await lazily(generators, String(batch), async () => {
    const made = new Gpt();
    await run(made);
    return made;
  });
  const milliseconds = await timed(1, () => run(model));
  return { tokensPerSecond: 1000 * batch * tokens / milliseconds };
}

const products = new Map<string, () => Promise<void>>();

async function matmul(command: Command): Promise<Answer> {
  const { form, M, N, K, repeats = 20 } = command as Required<Command>;
  const [left, right] = [form === "tn", form === "nt"];
  const run = await lazily(products, `${form} ${M} ${N} ${K}`, async () => {
    const a = tf.randomUniform(left ? [K, M] : [M, K], -1, 1) as tf.Tensor2D;
    const b = tf.randomUniform(right ? [N, K] : [K, N], -1, 1) as tf.Tensor2D;
    // The backend computes at once; there is nothing to wait for.
    const once = () => {
      tf.matMul(a, b, left, right).dispose();
      return Promise.resolve();
    };
    for (let i = 0; i < 3; i++) await once();
    return once;
  });
  const milliseconds = await timed(repeats, run);
  return { gflops: 2 * M * N * K / milliseconds / 1e6 };
}

await serve(
  `TensorFlow.js ${tf.version.tfjs}, ${tf.getBackend()}, ${getThreadsCount()} threads`,
  { step, generate, matmul },
);
Deno.exit(); // workers would keep the process
