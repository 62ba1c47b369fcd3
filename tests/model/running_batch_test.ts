import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Model, OutOfMemoryError, Sampler } from "../../mod.ts";
import type { Executor } from "../../lib/backends/backend.ts";
import { HostSampler } from "../../lib/checks/device_choice.ts";
import { makeGeneric } from "../../lib/checks/variants.ts";
import { RunningBatch } from "../../lib/model/running_batch.ts";

const config = {
  vocabSize: 17,
  blockSize: 24,
  nLayer: 2,
  nHead: 2,
  nEmbd: 16,
  position: "rope",
} as const;

/** Prompts around the chunk of 16 tokens and the context of 24. */
const prompts = [1, 5, 15, 16, 17, 23, 24, 25, 33, 60].map((length) =>
  Array.from({ length }, (_, i) => (i * 5 + length) % config.vocabSize)
);

const options = (seed: number) => ({
  maxNewTokens: 40,
  sampler: new Sampler({ seed, temperature: 0.9, repetitionPenalty: 1.1 }),
});

/** Lets a model's backend pass for a GPU, whose kernels choose the tokens. */
function passForGpu({ backend }: Model): void {
  (backend as { kind: string }).kind = "webgpu";
}

for (const device of ["reference", "wasm", "webgpu"] as const) {
  for (const mask of ["causal", "none"] as const) {
    Deno.test(`RunningBatch gives each text the tokens that it has alone: ${device}, mask ${mask}`, async () => {
      await using model = await Model.create({ ...config, mask }, {
        device: device === "webgpu" ? "reference" : device,
        seed: 3,
      });
      await makeGeneric(model); // Fresh weights hardly look at what came before.
      if (device === "webgpu") passForGpu(model);
      const alone = await Promise.all(
        prompts.map((prompt, seed) =>
          Array.fromAsync(model.generate(prompt, options(seed)))
        ),
      );
      for (const rows of [1, 4]) {
        const batch = new RunningBatch(model, { rows });
        const texts = await Promise.all(prompts.map(async (prompt, seed) => {
          const ids: number[] = [];
          for await (const id of batch.generate(prompt, options(seed))) {
            ids.push(id);
            assert(batch.active <= rows);
          }
          return ids;
        }));
        assertEquals(texts, alone, `${rows} rows`);
        assertEquals([batch.active, batch.waiting], [0, 0]);
        batch.destroy();
      }
    });
  }
}

Deno.test("RunningBatch frees a row within a token of an abort or of the end of a loop", async () => {
  await using model = await Model.create(config, { device: "reference" });
  const batch = new RunningBatch(model, { rows: 2 });
  let drawn = 0;
  class Counting extends Sampler {
    override sample(...given: Parameters<Sampler["sample"]>): number {
      drawn++;
      return super.sample(...given);
    }
  }
  const left = new AbortController();
  const endless = { maxNewTokens: 1e6, sampler: new Counting() };
  let taken = 0;
  const { signal } = left;
  for await (const _ of batch.generate([1], { ...endless, signal })) {
    if (++taken === 5) left.abort();
  }
  assertEquals([taken, drawn], [5, 5]);
  taken = drawn = 0;
  for await (const _ of batch.generate([1], endless)) if (++taken === 5) break;
  assertEquals(drawn, 5);
  // One that waits for a row leaves the queue, too.
  const stops = [1, 2, 3].map(() => new AbortController());
  const texts = stops.map(({ signal }) =>
    Array.fromAsync(batch.generate([1], { ...endless, signal }))
  );
  while (batch.active < 2) await new Promise((go) => setTimeout(go));
  assertEquals(batch.waiting, 1);
  stops[2]!.abort();
  assertEquals(await texts[2], []);
  assertEquals([batch.active, batch.waiting], [2, 0]);
  for (const stop of stops) stop.abort();
  await Promise.all(texts);
  assertEquals([batch.active, batch.waiting], [0, 0]);
  batch.destroy();
});

Deno.test("RunningBatch reads a long prompt in pieces, between which others get their tokens", async () => {
  const blockSize = 160;
  await using model = await Model.create({ ...config, blockSize }, {
    device: "reference",
  });
  await makeGeneric(model);
  const batch = new RunningBatch(model, { rows: 3 });
  const left = new AbortController();
  const { signal } = left;
  let tokens = 0;
  // The first row is a batch of its own; the second text shares one with the long prompt.
  const others = [0, 1].map(async (index) => {
    const endless = { ...options(index), maxNewTokens: 1e6, signal };
    for await (const _ of batch.generate([1], endless)) tokens += index;
  });
  while (tokens < 3) await new Promise((go) => setTimeout(go));
  for (const length of [160, 200]) {
    const prompt = Array.from({ length }, (_, i) => i % config.vocabSize);
    const before = tokens;
    const [first] = await Array.fromAsync(
      batch.generate(prompt, { ...options(5), maxNewTokens: 1 }),
    );
    // 160 tokens, ten pieces of 16; the last brings a token to both.
    assert(tokens - before >= 9, `${tokens - before} tokens`);
    assert(tokens - before <= 13, `${tokens - before} tokens`);
    const alone = model.generate(prompt, { ...options(5), maxNewTokens: 1 });
    assertEquals([first], await Array.fromAsync(alone));
  }
  // A short prompt that comes later does not wait for the end of a long one.
  const long = Array.from({ length: 160 }, (_, i) => i % config.vocabSize);
  const order: number[] = [];
  const wide = new RunningBatch(model, { rows: 4 });
  await Promise.all([0, 160, 20].map(async (length) => {
    const prompt = long.slice(0, length || 1);
    const count = { ...options(6), maxNewTokens: length === 0 ? 20 : 1 };
    await Array.fromAsync(wide.generate(prompt, count));
    order.push(length);
  }));
  assert(order.indexOf(20) < order.indexOf(160), `${order}`);
  wide.destroy();
  left.abort();
  await Promise.all(others);
  batch.destroy();
});

Deno.test("RunningBatch reads several long prompts in turn, and drops one whose reader leaves", async () => {
  const blockSize = 400;
  await using model = await Model.create({ ...config, blockSize }, {
    device: "reference",
  });
  await makeGeneric(model);
  const promptOf = (length: number, seed: number) =>
    Array.from({ length }, (_, i) => (i * 3 + seed) % config.vocabSize);
  // One row is a batch of its own; in the other four, one text generates and three are read by turns.
  const batch = new RunningBatch(model, { rows: 5 });
  const stop = new AbortController();
  const endless = { maxNewTokens: 1e6, signal: stop.signal };
  let tokens = 0;
  const others = [0, 1].map(async (index) => {
    const text = batch.generate([1], { ...options(index), ...endless });
    for await (const _ of text) tokens += index;
  });
  const gone = new AbortController();
  const left = Array.fromAsync(
    batch.generate(promptOf(399, 5), { ...endless, signal: gone.signal }),
  );
  while (tokens < 5) await new Promise((go) => setTimeout(go));
  gone.abort(); // after five pieces of 16 of its tokens
  assertEquals(await left, []);
  const short = (seed: number) => ({ ...options(seed), maxNewTokens: 30 });
  const texts = [370, 35, 20].map((length, seed) => promptOf(length, seed));
  const written = await Promise.all(
    texts.map((prompt, seed) =>
      Array.fromAsync(batch.generate(prompt, short(seed)))
    ),
  );
  for (const [seed, prompt] of texts.entries()) {
    const alone = model.generate(prompt, short(seed));
    assertEquals(written[seed], await Array.fromAsync(alone), `${seed}`);
  }
  stop.abort();
  await Promise.all(others);
  batch.destroy();
});

Deno.test("RunningBatch reads blocks of tokens from a GPU, and logits only for samplers of the user's own", async () => {
  await using model = await Model.create(config, { device: "reference" });
  await makeGeneric(model);
  const prompt = [1, 2, 3];
  const texts = (rows: number, kinds: readonly (typeof Sampler)[]) => {
    const batch = new RunningBatch(model, { rows });
    return Promise.all(kinds.map((Kind, seed) => {
      const sampler = new Kind({ seed, temperature: 0.9, topK: 5 });
      const given = { maxNewTokens: 100 + seed, sampler };
      return Array.fromAsync(batch.generate(prompt, given));
    })).finally(() => batch.destroy());
  };
  const alone = await texts(1, Array(4).fill(Sampler));
  passForGpu(model);
  const backend = model.backend as Executor;
  const compile = backend.compile.bind(backend);
  let [blocks, read] = [0, 0];
  backend.compile = async (plan, stores) => {
    const program = await compile(plan, stores);
    const buffer = program.buffer.bind(program);
    program.buffer = (name) => {
      if (name === "logits") read++;
      return buffer(name);
    };
    const run = program.run.bind(program);
    program.run = (phases) => {
      if (phases!.includes("choose")) blocks++;
      run(phases);
    };
    return program;
  };
  assertEquals(await texts(3, Array(4).fill(Sampler)), alone);
  // Two lanes; windows of 24 tokens slide after 12, and each slide takes two pieces, after which the host draws one token.
  assert(blocks < 80, `${blocks} blocks`);
  assert(read < 80, `${read} logits`);
  [blocks, read] = [0, 0];
  const mixed = [Sampler, HostSampler, Sampler, HostSampler];
  assertEquals(await texts(4, mixed), alone);
  assert(read > 100, `${read} logits`);
});

Deno.test("RunningBatch drops what a GPU chose beyond an abort or the end of a loop", async () => {
  await using model = await Model.create(config, { device: "reference" });
  await makeGeneric(model);
  passForGpu(model);
  const batch = new RunningBatch(model, { rows: 2 });
  const gone = new AbortController();
  const sampler = new Sampler({ seed: 4 });
  const endless = { maxNewTokens: 1e6, sampler };
  const ids: number[] = [];
  for await (
    const id of batch.generate([1], { ...endless, signal: gone.signal })
  ) {
    if (ids.push(id) === 7) gone.abort();
  }
  const again: number[] = [];
  for await (const id of batch.generate([1], endless)) {
    if (again.push(id) === 7) break;
  }
  assertEquals(again, ids);
  assertEquals(ids.length, 7);
  // The next text in the row finds nothing of the one before.
  const next = { maxNewTokens: 40, sampler: new Sampler({ seed: 5 }) };
  assertEquals(
    await Array.fromAsync(batch.generate([2, 3], next)),
    await Array.fromAsync(model.generate([2, 3], next)),
  );
  batch.destroy();
});

Deno.test("RunningBatch ends only the text whose sampler fails", async () => {
  await using model = await Model.create(config, { device: "reference" });
  const batch = new RunningBatch(model, { rows: 3 });
  class Failing extends Sampler {
    override sample(): number {
      throw new RangeError("Cannot sample: no luck");
    }
  }
  const good = Array.fromAsync(batch.generate([1, 2], options(1)));
  await assertRejects(
    () => Array.fromAsync(batch.generate([1], { sampler: new Failing() })),
    RangeError,
    "no luck",
  );
  assertEquals(
    await good,
    await Array.fromAsync(model.generate([1, 2], options(1))),
  );
  await assertRejects(
    () => Array.fromAsync(batch.generate([17], {})),
    RangeError,
    "token 17 of prompt 0",
  );
  batch.destroy();
});

Deno.test("RunningBatch refuses more rows than fit into memory, with the caches of all", async () => {
  const long = { ...config, blockSize: 4096, nEmbd: 256, nLayer: 4 };
  await using model = await Model.create(long, { device: "wasm" });
  const row = 4 * 4 * 4096 * 2 * 256; // bytes: layers, keys and values in float32
  const error = assertThrows(
    () => new RunningBatch(model, { rows: 200 }),
    OutOfMemoryError,
    "Cannot generate: it needs",
  );
  assert(error.needed >= 201 * row, `${error.needed} bytes`); // one more reads prompts
  assert(error.needed < 210 * row, `${error.needed} bytes`);
});
