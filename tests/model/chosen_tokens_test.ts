/**
 * Tokens that the device chooses, in blocks: on the reference, whose float64 leaves no excuse, they are those of the host's
 * sampler, with the same slides, for every option and every way in which a text ends.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Executor } from "../../lib/backends/backend.ts";
import { openReference } from "../../lib/backends/reference.ts";
import { openWasm } from "../../lib/backends/wasm/engine.ts";
import { makeGeneric } from "../../lib/checks/variants.ts";
import type { ModelOptions } from "../../lib/config/model.ts";
import type { GenerateOptions } from "../../lib/model/generate.ts";
import { Model } from "../../lib/model/model.ts";
import { RunningBatch } from "../../lib/model/running_batch.ts";
import { type Logits, Sampler } from "../../lib/text/sampler.ts";
import type { SamplerOptions } from "../../lib/text/sampler.ts";

const config: ModelOptions = {
  ...{ vocabSize: 23, blockSize: 12, nLayer: 1, nHead: 2, nEmbd: 8 },
  position: "learned",
};

/** Results that must be the same on the device and on the host. */
interface Written {
  readonly steps: number[][];
  readonly slides: unknown[];
}

/** Generates with a model on the host or, if the backend passes for a GPU, on the device. */
async function write(
  model: Model,
  prompts: readonly ArrayLike<number>[],
  { kind, ...options }: GenerateOptions & { kind: string },
): Promise<Written> {
  (model.backend as { kind: string }).kind = kind;
  const steps: number[][] = [];
  const slides: unknown[] = [];
  const onSlide = (slide: object) =>
    slides.push({ ...slide, step: steps.length });
  for await (
    const ids of model.generateBatch(prompts, { ...options, onSlide })
  ) steps.push([...ids]);
  return { steps, slides };
}

async function genericModel(
  backend: Executor,
  options: ModelOptions = config,
): Promise<Model> {
  const model = await Model.create(options, { backend });
  await makeGeneric(model);
  return model;
}

const options: readonly SamplerOptions[] = [
  {},
  { temperature: 0 },
  { temperature: 0, repetitionPenalty: 1.3 },
  { temperature: 0.7, topK: 4, seed: 4294967295 },
  { temperature: 1e-40 },
  { temperature: 2, topP: 0.8, seed: 5 },
  { topP: 0, seed: 6 },
  { temperature: 3, minP: 0.1, seed: 7 },
  { temperature: 1.5, topK: 9, topP: 0.9, minP: 0.02, repetitionPenalty: 1.2 },
  { topK: 100, topP: 2, minP: 0, repetitionPenalty: 0.8, seed: 8 },
];

Deno.test("Tokens chosen on the device are the sampler's, with the same slides", async () => {
  await using backend = openReference();
  await using model = await genericModel(backend);
  const prompts = [
    [1],
    [2, 3, 4, 5, 6],
    [...Array(12).keys()],
    Array(40).fill(7),
  ];
  for (const choice of options) {
    const given = { sampler: choice, maxNewTokens: 75 };
    const onHost = await write(model, prompts, { ...given, kind: "reference" });
    const onDevice = await write(model, prompts, { ...given, kind: "webgpu" });
    assertEquals(onDevice, onHost, JSON.stringify(choice));
    assertEquals(onHost.steps.length, 75);
    assert(onHost.slides.length > 20);
  }
});

Deno.test("The CPU engine's kernels choose what its sampler chooses", async () => {
  await using backend = await openWasm({ threads: 1 });
  await using model = await genericModel(backend);
  for (const sampler of options) {
    const given = { sampler, maxNewTokens: 60 };
    const onHost = await write(model, [[1], [2]], { ...given, kind: "wasm" });
    const onDevice = await write(model, [[1], [2]], {
      ...{ ...given, kind: "webgpu" },
    });
    assertEquals(onDevice, onHost, JSON.stringify(sampler));
  }
});

/** Returns the number of tokens that each further run of a program on the backend chooses, as they are run. */
function countedBlocks(backend: Executor): number[] {
  const runs: number[] = [];
  const compile = backend.compile.bind(backend);
  backend.compile = async (plan, stores) => {
    const program = await compile(plan, stores);
    const run = program.run.bind(program);
    program.run = (phases) => {
      runs.push(phases!.filter((phase) => phase === "choose").length);
      run(phases);
    };
    return program;
  };
  return runs;
}

Deno.test("Blocks end at the last token, and the device reads some dozens at once", async () => {
  await using backend = openReference();
  await using model = await genericModel(backend);
  const runs = countedBlocks(backend);
  for (const blocks of [[1], [2], [4], [4, 1], [4, 4, 4]]) {
    const maxNewTokens = blocks.reduce((sum, n) => sum + n);
    const given = { maxNewTokens, kind: "webgpu" };
    runs.length = 0;
    const { steps } = await write(model, [[1]], given);
    assertEquals(steps.length, maxNewTokens);
    assertEquals(runs, blocks);
  }
  // The next block is queued before the first token is read. Blocks grow as their durations are known.
  runs.length = 0;
  const tokens = model.generate([1], { maxNewTokens: 500 });
  await tokens.next();
  assertEquals(runs, [4, 4]);
  let count = 1;
  for await (const _ of tokens) count++;
  assertEquals(count, 500);
});

Deno.test("A text of many blocks is the host's", async () => {
  await using backend = openReference();
  await using model = await genericModel(backend);
  const given = { sampler: { seed: 3 }, maxNewTokens: 700 };
  const onHost = await write(model, [[1]], { ...given, kind: "reference" });
  const onDevice = await write(model, [[1]], { ...given, kind: "webgpu" });
  assertEquals(onDevice, onHost);
});

Deno.test("A device that is slow chooses few tokens at a time, and all of them", async () => {
  await using backend = openReference();
  await using model = await genericModel(backend);
  const runs = countedBlocks(backend);
  const queued: number[] = []; // blocks that are queued when one arrives
  const compile = backend.compile.bind(backend);
  backend.compile = async (plan, stores) => {
    const program = await compile(plan, stores);
    const text = stores.get("text")!;
    const read = text.read;
    text.read = async () => {
      const contents = await read.call(text);
      await new Promise((resolve) => setTimeout(resolve, 400));
      queued.push(runs.length);
      return contents;
    };
    return program;
  };
  const given = { maxNewTokens: 10, kind: "webgpu" };
  const { steps } = await write(model, [[1]], given);
  assertEquals(steps.length, 10);
  assertEquals(runs.slice(0, 3), [4, 4, 1]);
  // While the host waits for a block the device has the next one.
  assertEquals(queued[0], 2);
});

Deno.test("A signal and the end of the caller's loop end a block", async () => {
  await using backend = openReference();
  await using model = await genericModel(backend);
  (backend as { kind: string }).kind = "webgpu";
  const before = backend.allocatedBytes;
  const controller = new AbortController();
  const { signal } = controller;
  let count = 0;
  for await (const _ of model.generate([1], { signal })) {
    if (++count === 6) controller.abort();
  }
  assertEquals(count, 6);
  for await (const _ of model.generate([1], {})) {
    if (++count === 9) break;
  }
  assertEquals(backend.allocatedBytes, before);
});

Deno.test("A sampler of the user's own sees all logits", async () => {
  class Own extends Sampler {
    seen: number[] = [];
    override sample(
      logits: Logits,
      options: Parameters<Sampler["sample"]>[1],
    ): number {
      this.seen.push(logits.length);
      return super.sample(logits, options);
    }
  }
  await using backend = openReference();
  await using model = await genericModel(backend);
  const sampler = new Own();
  const given = { sampler, maxNewTokens: 20 };
  const { steps } = await write(model, [[1]], { ...given, kind: "webgpu" });
  assertEquals(sampler.seen, Array(20).fill(23));
  const plain = { maxNewTokens: 20, kind: "webgpu" };
  assertEquals((await write(model, [[1]], plain)).steps, steps);
});

/** A model whose layer adds nothing: the logits are a function of the last token alone. */
async function bigrams(
  backend: Executor,
  change: (embedding: Float64Array, head: Float64Array) => void,
): Promise<Model> {
  const model = await genericModel(backend, {
    ...{ ...config, position: "none", norm: "none" },
    ...{ attention: false, mlp: "relu" },
  });
  const tensors = await model.parameters();
  const data = (name: string) => tensors.get(name)!.data as Float64Array;
  for (const name of tensors.keys()) {
    if (name.startsWith("h.0.")) data(name).fill(0);
  }
  change(data("wte.weight"), data("lm_head.weight"));
  model.setParameters(tensors);
  return model;
}

Deno.test("A logit that is not finite ends a text after the tokens before it, as on the host", async () => {
  await using backend = openReference();
  await using model = await bigrams(backend, (embedding) => {
    embedding[3 * 8] = NaN; // the embedding of token 3
  });
  const given = { sampler: { seed: 2 }, maxNewTokens: 200 };
  const texts = [];
  for (const kind of ["reference", "webgpu"]) {
    (backend as { kind: string }).kind = kind;
    const ids: number[] = [];
    await assertRejects(
      async () => {
        for await (const id of model.generate([1], given)) ids.push(id);
      },
      RangeError,
      "Cannot sample: the logit of id 0 is NaN",
    );
    texts.push(ids);
  }
  assertEquals(texts[1], texts[0]);
  assertEquals(texts[0]!.indexOf(3), texts[0]!.length - 1);
  assert(texts[0]!.length > 2);
});

Deno.test("The host goes on where a logit is -Infinity", async () => {
  await using backend = openReference();
  // After token 3 the logit of token 5 is -1e200 · 1e200; it changes no other logit.
  await using model = await bigrams(backend, (embedding, head) => {
    for (let id = 0; id < 23; id++) {
      embedding[8 * id] = id === 3 ? 1e200 : 0;
      head[8 * id] = id === 5 ? -1e200 : 0;
    }
  });
  for (const seed of [1, 2, 3, 4]) {
    const given = { sampler: { seed }, maxNewTokens: 100 };
    const prompts = [[1], Array(17).fill(2)];
    const onHost = await write(model, prompts, { ...given, kind: "reference" });
    const onDevice = await write(model, prompts, { ...given, kind: "webgpu" });
    assertEquals(onDevice, onHost);
    const alone = await Promise.all(
      prompts.map((prompt) => Array.fromAsync(model.generate(prompt, given))),
    );
    const batch = new RunningBatch(model, { rows: 3 });
    const texts = await Promise.all(
      prompts.map((prompt) => Array.fromAsync(batch.generate(prompt, given))),
    );
    batch.destroy();
    assertEquals(texts, alone);
    assert(onHost.steps.some((ids) => ids.includes(3)));
  }
});
