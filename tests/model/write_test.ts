/** A model's tokenizer, and text from `Model.write`. */

import {
  assert,
  assertEquals,
  assertNotEquals,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { decodeCheckpoint } from "../../lib/formats/checkpoint.ts";
import { Dataset } from "../../lib/text/dataset.ts";
import { generateText, type WriteOptions } from "../../lib/model/generate.ts";
import { type CreateOptions, Model } from "../../lib/model/model.ts";
import { Sampler, type SamplerOptions } from "../../lib/text/sampler.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { makeGeneric } from "../../lib/checks/variants.ts";

const chars = Tokenizer.chars("abcdefgh é€\n");
const onReference = { device: "reference" } as const;

async function modelFor(
  { vocabSize }: Tokenizer,
  options: CreateOptions = {},
): Promise<Model> {
  const shape = { blockSize: 8, nLayer: 1, nHead: 1, nEmbd: 8 };
  const start = { ...onReference, ...options };
  const model = await Model.create({ vocabSize, ...shape }, start);
  await makeGeneric(model); // or all tokens would be about as likely
  return model;
}

async function textOf(pieces: AsyncIterable<string>): Promise<string> {
  return (await Array.fromAsync(pieces)).join("");
}

Deno.test("A model keeps its tokenizer when it is saved, loaded and saved again", async () => {
  for (const tokenizer of [Tokenizer.ascii(), chars, Tokenizer.bytes()]) {
    await using model = await modelFor(tokenizer, { tokenizer });
    assertEquals(model.tokenizer, tokenizer);
    const bytes = await model.save();
    await using loaded = await Model.load(bytes, onReference);
    assertEquals(loaded.tokenizer?.toJSON(), tokenizer.toJSON());
    assertEquals(await loaded.save(), bytes);
    assertEquals(await loaded.save({ tokenizer: undefined }), bytes);
    const checkpoint = decodeCheckpoint(bytes);
    await using fromContent = await Model.load(checkpoint, onReference);
    assertEquals(fromContent.tokenizer, checkpoint.tokenizer);
  }
  await using without = await modelFor(chars);
  assertEquals(without.tokenizer, undefined);
  const saved = decodeCheckpoint(await without.save({ tokenizer: chars }));
  assertEquals(saved.tokenizer?.toJSON(), chars.toJSON());
});

Deno.test("A trainer gives its tokenizer to the model, or takes the model's", async () => {
  const tokens = Int32Array.from(
    { length: 100 },
    (_, i) => i % chars.vocabSize,
  );
  const dataset = new Dataset(tokens, { blockSize: 8, batchSize: 1 });
  await using model = await modelFor(chars);
  const trainer = new Trainer(model, dataset, { tokenizer: chars });
  assertEquals(model.tokenizer, chars);
  const bytes = await trainer.save();

  await using loaded = await Model.load(bytes, onReference);
  const sample = { prompt: "ab", maxNewTokens: 3 };
  const options = { maxSteps: 1, sample, tokenizer: undefined };
  const events = await Array.fromAsync(
    new Trainer(loaded, dataset, options).run(),
  );
  const sampled = events.find(({ kind }) => kind === "sample");
  assertEquals(sampled?.kind === "sample" && sampled.text.length, 3);
  assertEquals(loaded.tokenizer?.toJSON(), chars.toJSON());

  await using resumed = await modelFor(chars);
  const restored = new Trainer(resumed, dataset);
  await restored.restore(decodeCheckpoint(bytes));
  assertEquals(
    decodeCheckpoint(await restored.save()).tokenizer?.toJSON(),
    chars.toJSON(),
  );
});

Deno.test("A tokenizer of another size than the model's vocabulary is refused", async () => {
  const both = `256 tokens, the model ${chars.vocabSize}`;
  const tokenizer = Tokenizer.bytes();
  await assertRejects(() => modelFor(chars, { tokenizer }), RangeError, both);
  await using model = await modelFor(chars, { tokenizer: chars });
  assertThrows(() => model.tokenizer = tokenizer, RangeError, both);
  await assertRejects(() => model.save({ tokenizer }), RangeError, both);
  const checkpoint = { ...decodeCheckpoint(await model.save()), tokenizer };
  await assertRejects(
    () => Model.load(checkpoint, onReference),
    RangeError,
    both,
  );
  assertEquals(model.tokenizer, chars);
});

Deno.test("Model.write chooses tokens as a Sampler with the same options does", async () => {
  await using model = await modelFor(chars, { tokenizer: chars });
  const choices: SamplerOptions[] = [
    {},
    { temperature: 0 },
    { temperature: 2 },
    { topK: 2 },
    { topP: 0.3 },
    { minP: 0.9 },
    { repetitionPenalty: 30 },
    { seed: 5 },
    { temperature: undefined, topK: undefined, seed: undefined },
  ];
  const texts: string[] = [];
  for (const choice of choices) {
    const sampler = new Sampler(choice);
    const ids = model.generate(chars.encode("ab"), {
      ...{ sampler, maxNewTokens: 30 },
    });
    const text = await textOf(
      model.write("ab", { ...choice, maxNewTokens: 30 }),
    );
    assertEquals(text, chars.decode(await Array.fromAsync(ids)));
    const byOptions = generateText(model, chars, "ab", {
      ...{ sampler: choice, maxNewTokens: 30 },
    });
    assertEquals(await textOf(byOptions), text);
    texts.push(text);
  }
  assertThrows(
    () => generateText(model, chars, "ab", { sampler: { topK: 0 } }),
    RangeError,
    "topK",
  );
  assertEquals(texts.at(-1), texts[0]);
  for (const text of texts.slice(1, -1)) assertNotEquals(text, texts[0]);
  // 256 tokens if nobody says how many.
  assertEquals((await textOf(model.write("ab"))).length, 256);
});

Deno.test("Model.write ends before a stop string, even one that spans several pieces", async () => {
  for (const tokenizer of [chars, Tokenizer.bytes()]) {
    await using model = await modelFor(tokenizer, { tokenizer });
    const write = (options: WriteOptions) =>
      textOf(model.write("abc", { maxNewTokens: 40, seed: 3, ...options }));
    const whole = await write({});
    for (const [from, to] of [[0, 1], [3, 4], [2, 7], [20, 23]]) {
      const stop = whole.slice(from, to);
      const expected = whole.slice(0, whole.indexOf(stop));
      assertEquals(await write({ stop }), expected);
      assertEquals(await write({ stop: ["zzz", stop] }), expected);
    }
    // A stop string that begins and never ends is not lost.
    const cut = `${whole.slice(-3)}zzz`;
    assertEquals(await write({ stop: [cut] }), whole);
  }
});

Deno.test("Model.write refuses invalid arguments when it is called, before the stream begins", async () => {
  await using mute = await modelFor(chars);
  assertThrows(
    () => mute.write("ab"),
    TypeError,
    "hint: give one to Model.create",
  );
  await using model = await modelFor(chars, { tokenizer: chars });
  const refused = (
    prompt: string,
    options: WriteOptions,
    message: string,
  ) => assertThrows(() => model.write(prompt, options), RangeError, message);
  refused("", {}, "prompt 0 is empty");
  refused("abz", {}, '"z" (U+007A) at line 1, column 3');
  refused("ab", { topK: 0 }, "topK (0)");
  refused("ab", { temperature: -1 }, "temperature (-1)");
  refused("ab", { seed: 0.5 }, "0.5");
  refused("ab", { maxNewTokens: -1 }, "maxNewTokens (-1)");
  refused("ab", { stop: "" }, "a stop string is empty");
  refused("ab", { stop: ["a", ""] }, "a stop string is empty");
});

Deno.test("The bytes of a checkpoint can be a Response's body and a Blob's part", async () => {
  await using model = await modelFor(chars);
  const bytes = await model.save();
  const { size } = new Blob([bytes]);
  assertEquals((await new Response(bytes).arrayBuffer()).byteLength, size);
});

Deno.test("A stream of Model.write can be a Response's body", async () => {
  await using model = await modelFor(chars, { tokenizer: chars });
  const options = { seed: 1, maxNewTokens: 50 };
  const body = ReadableStream.from(model.write("ab", options))
    .pipeThrough(new TextEncoderStream());
  const text = await new Response(body).text();
  assertEquals(text, await textOf(model.write("ab", options)));
  assert(/[é€]/.test(text), "characters of several bytes are among them");
});

Deno.test("Cancelling a stream of Model.write ends the generation and frees what it held", async () => {
  await using model = await modelFor(chars, { tokenizer: chars });
  const { backend } = model;
  const before = backend.allocatedBytes;
  let slides = 0;
  const written = model.write("ab", {
    maxNewTokens: 1e6,
    onSlide: () => slides++,
  });
  const reader = ReadableStream.from(written).getReader();
  for (let i = 0; i < 20; i++) {
    assertEquals((await reader.read()).value?.length, 1);
  }
  assert(slides > 0);
  assert(backend.allocatedBytes > before);
  await reader.cancel();
  assertEquals(backend.allocatedBytes, before);
  const last = slides;
  await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals(slides, last);

  const unread = ReadableStream.from(model.write("ab"));
  await unread.cancel();
  for await (const _ of model.write("ab")) break;
  const controller = new AbortController();
  const { signal } = controller;
  let text = "";
  for await (const piece of model.write("ab", { signal })) {
    text += piece;
    if (text.length === 5) controller.abort();
  }
  assertEquals(text.length, 5);
  assertEquals(backend.allocatedBytes, before);
});
