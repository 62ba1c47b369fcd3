/** Directories of runs that never ran: configuration and events of any length and kind. */

import { join } from "@std/path";
import { CounterRandom, Purpose } from "../../../kernels/random.ts";

/** What a run is to be like. */
export interface SyntheticRun {
  readonly steps?: number;
  readonly evals?: number;
  readonly samples?: number;
  readonly layers?: number;
  readonly seed?: number;
  /** The loss that the run ends near. */
  readonly floor?: number;
  /** What it writes. */
  readonly sample?: string;
  readonly command?: readonly string[];
  /** Characters that a token stands for on average. */
  readonly charsPerToken?: number;
  /** Tokens that an evaluation measures, and those of the split. */
  readonly measured?: readonly [tokens: number, ofTokens: number];
  /** Fields of `config.json`, which replace the usual ones part by part. */
  readonly model?: object;
  readonly train?: object;
  readonly data?: object;
  readonly tokenizer?: object;
}

/** Writes a run's `config.json` and `metrics.jsonl` into `path`. */
export async function writeSyntheticRun(
  path: string,
  {
    steps = 600,
    evals = 6,
    samples = 3,
    layers = 2,
    seed = 1,
    floor = 1.5,
    charsPerToken = 1,
    sample = "What say you, my lord?\n".repeat(6),
    command = ["train", "--steps", String(steps), "--seed", String(seed)],
    measured: [tokens, ofTokens] = [111_488, 111_488],
    model = {},
    train = {},
    data = {},
    tokenizer = {},
  }: SyntheticRun = {},
): Promise<void> {
  const random = new CounterRandom(seed, Purpose.init);
  const config = {
    command,
    began: "2026-01-01T00:00:00.000Z",
    versions: { lm: "0.1.0", deno: "2.9.6" },
    device: { kind: "wasm", description: "CPU, 2 threads, relaxed SIMD" },
    parameters: 26816,
    model: {
      ...{ blockSize: 32, nLayer: layers, nHead: 2, nEmbd: 32 },
      ...{ vocabSize: 65, mask: "causal", attention: true, ...model },
    },
    train: {
      ...{ batchSize: 8, gradAccumulation: 1, maxSteps: steps, gradClip: 1 },
      ...{ learningRate: 0.01, optimizer: "adamw", seed, ...train },
    },
    data: { name: "tinyshakespeare", bytes: 1115394, sha256: "86c4", ...data },
    tokenizer: { kind: "chars", vocabSize: 65, ...tokenizer },
  };
  const kinds = ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"];
  const names = [
    ...kinds.flatMap((kind) =>
      Array.from({ length: layers }, (_, i) => `h.${i}.${kind}.weight`)
    ),
    ...["wte.weight", "lm_head.weight"],
  ];
  const due = (count: number, step: number) =>
    count > 0 && Math.floor(step * count / steps) >
      Math.floor((step - 1) * count / steps);
  const loss = (step: number) => floor + 2.6 / (1 + step / 40) ** 0.6;
  const events: object[] = [{ event: "start", step: 0, time: 0 }];
  for (let step = 1; step <= steps; step++) {
    const noise = random.normal(step, 0);
    const time = step * 0.4;
    events.push({
      ...{ event: "step", step, loss: loss(step) + 0.08 * noise, time },
      gradNorm: 0.8 * Math.exp(0.3 * noise),
      learningRate: 0.01 * Math.min(1, step / 10) * (1 - step / (steps + 1)),
      tokensPerSecond: 640 * Math.exp(0.05 * noise),
    });
    if (due(evals, step)) {
      const valLoss = loss(step) + 0.02 * random.normal(step, 1);
      events.push({
        ...{ event: "eval", step, valLoss, trainLoss: valLoss - 0.1, time },
        bitsPerChar: valLoss / (charsPerToken * Math.LN2),
        ...{ tokens, ofTokens },
      }, {
        ...{ event: "update", step, time },
        ratios: Object.fromEntries(
          names.map((name, i) => [name, 1e-3 * (1 + i) ** 0.5 / step ** 0.3]),
        ),
      });
    }
    if (due(samples, step)) {
      events.push({ event: "sample", step, prompt: "\n", text: sample, time });
    }
  }
  events.push({ event: "end", step: steps, reason: "done", time: steps * 0.4 });
  await Deno.mkdir(path, { recursive: true });
  const lines = events.map((event) => `${JSON.stringify(event)}\n`);
  await Deno.writeTextFile(join(path, "config.json"), JSON.stringify(config));
  await Deno.writeTextFile(join(path, "metrics.jsonl"), lines.join(""));
}
