/**
 * jax-js on its wasm backend as a peer: commands on standard input, answers on
 * standard output. It takes as many threads as the machine has.
 */

import {
  blockUntilReady,
  defaultDevice,
  init,
  jit,
  numpy as np,
  tree,
} from "@jax-js/jax";
import {
  type Answer,
  type Command,
  lazily,
  serve,
  timed,
} from "../protocol.ts";
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
const PARAMETERS = 826_240;
await init("wasm");
defaultDevice("wasm");

/** Batches drawn beforehand, so that drawing is not measured. */
const BATCHES = 8;

const ids = (shape: number[]) => {
  const length = shape.reduce((a, b) => a * b, 1);
  const data = Int32Array.from(
    { length },
    () => Math.floor(V * Math.random()),
  );
  return np.array(data).reshape(shape);
};

/** Runs one step and returns its loss. */
type Training = () => Promise<number>;

const trainings = new Map<string, Training>();

function makeTraining(): Training {
  const p = initialise();
  if (count(p) !== PARAMETERS) {
    throw new Error(`${count(p)} parameters, not ${PARAMETERS}`);
  }
  let state: State = { m: zeros(p), v: zeros(p), p };
  const batches = Array.from(
    { length: BATCHES },
    () => [ids([B, T]), ids([B, T])],
  );
  let steps = 0;
  return async () => {
    const [tokens, targets] = batches[steps % BATCHES]!;
    steps++;
    const corrections = np.array([1 - 0.9 ** steps, 1 - 0.999 ** steps]);
    const [next, loss] = trainStep(
      state,
      tokens!.ref,
      targets!.ref,
      corrections,
    );
    state = next as State;
    const [value] = await loss.data();
    await blockUntilReady(state);
    return value!;
  };
}

async function step(command: Command): Promise<Answer> {
  const { preset = "original", steps = 3, warm = true } = command;
  if (preset !== "original") return { error: `${preset} is not written here` };
  const run = await lazily(trainings, preset, async () => {
    const training = makeTraining();
    if (warm) { for (let i = 0; i < 2; i++) await training(); }
    return training;
  });
  let loss = NaN;
  const milliseconds = await timed(steps, async () => {
    loss = await run();
  });
  return { milliseconds, loss };
}

const generators = new Map<string, ReturnType<typeof initialise>>();

async function generate(command: Command): Promise<Answer> {
  const { batch = 1, tokens = 120 } = command;
  const run = async (p: ReturnType<typeof initialise>) => {
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
  };
  const p = await lazily(generators, String(batch), async () => {
    const made = initialise();
    await run(made);
    return made;
  });
  const milliseconds = await timed(1, () => run(p));
  return { tokensPerSecond: 1000 * batch * tokens / milliseconds };
}

const products = new Map<string, () => Promise<void>>();

async function matmul(command: Command): Promise<Answer> {
  const { form, M, N, K, repeats = 20 } = command as Required<Command>;
  const run = await lazily(products, `${form} ${M} ${N} ${K}`, async () => {
    const numbers = (rows: number, columns: number) => {
      const length = rows * columns;
      const draw = () => Math.random() - 0.5;
      return np.array(Float32Array.from({ length }, draw))
        .reshape([rows, columns]);
    };
    const a = form === "tn" ? numbers(K, M) : numbers(M, K);
    const b = form === "nt" ? numbers(N, K) : numbers(K, N);
    const product = jit((a: np.Array, b: np.Array) =>
      np.matmul(
        form === "tn" ? np.matrixTranspose(a) : a,
        form === "nt" ? np.matrixTranspose(b) : b,
      )
    );
    const once = async () => {
      const y = product(a.ref, b.ref);
      await blockUntilReady(y);
      y.dispose();
    };
    for (let i = 0; i < 3; i++) await once();
    return once;
  });
  const milliseconds = await timed(repeats, run);
  return { gflops: 2 * M * N * K / milliseconds / 1e6 };
}

await serve("jax-js, wasm", { step, generate, matmul });
Deno.exit(); // workers would keep the process
