/** Training sessions behind a message port: the same runs as without one, and calls between two steps. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { decodeCheckpoint } from "../../lib/formats/mod.ts";
import {
  SessionClient,
  SessionError,
  type SessionEvent,
  type SessionOptions,
} from "../../lib/worker/mod.ts";
import { Dataset, Model, serveSession, Tokenizer, Trainer } from "../../mod.ts";

const text = "to be or not to be, that is the question. ".repeat(20);
const tiny = {
  ...{ blockSize: 8, nLayer: 1, nHead: 2, nEmbd: 16 },
  position: "rope",
} as const;
const train = { batchSize: 2, maxSteps: 12, learningRate: 1e-2 };
const options: SessionOptions = {
  text,
  model: tiny,
  train,
  device: "wasm",
  threads: 1,
};

/** Runs `use` with a session at the other end of a channel. */
async function withSession(
  use: (session: SessionClient, events: SessionEvent[]) => Promise<void>,
  onEvent: (event: SessionEvent, session: SessionClient) => void = () => {},
): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  serveSession(port1);
  const events: SessionEvent[] = [];
  const session = new SessionClient(port2, (event) => {
    events.push(event);
    onEvent(event, session);
  });
  try {
    await use(session, events);
  } finally {
    await session.call("close");
    port1.close();
    port2.close();
  }
}

/** Returns the losses of the steps that a session emitted. */
function lossesOf(events: readonly SessionEvent[]): number[] {
  return events.flatMap((event) =>
    event.kind === "steps" ? event.steps.map(({ loss }) => loss) : []
  );
}

/** Trains without a session. */
async function plainRun(maxSteps = train.maxSteps) {
  const tokenizer = Tokenizer.chars(text);
  const { vocabSize } = tokenizer;
  const dataset = new Dataset(tokenizer.encode(text), {
    ...{ blockSize: tiny.blockSize, batchSize: train.batchSize, seed: 1 },
  });
  await using model = await Model.create({ ...tiny, vocabSize }, {
    ...{ device: "wasm", threads: 1, seed: 1, tokenizer },
  });
  const trainer = new Trainer(model, dataset, { ...train, maxSteps });
  const losses: number[] = [];
  for await (const event of trainer.run()) {
    if (event.kind === "step") losses.push(event.loss);
  }
  return { losses, bytes: await trainer.save() };
}

Deno.test("A session trains as Trainer does, to the bit, and saves the same checkpoint", async () => {
  const expected = await plainRun();
  await withSession(async (session, events) => {
    const opened = await session.call("open", options);
    assertEquals(opened.device.kind, "wasm");
    assertEquals(opened.train?.maxSteps, 12);
    await session.call("train");
    assertEquals(lossesOf(events), expected.losses);
    assertEquals(await session.call("save"), expected.bytes);
    const end = events.at(-1)!;
    assert(end.kind === "end" && end.reason === "done");
  });
});

/** Steps that take longer than an engine needs to hear of a pause. */
const LONG = 12_000;

Deno.test("A session that was paused, asked and resumed trains to the same bits", async () => {
  const expected = await plainRun(LONG);
  let asked: Promise<void> | undefined;
  const ask = async (session: SessionClient) => {
    await session.call("pause");
    await session.call("write", { prompt: "to", maxNewTokens: 5 });
    const { layers } = await session.call("attention", [1, 2, 3]);
    assertEquals(layers.map(({ length }) => length), [2 * 3 * 3]);
    const { training } = decodeCheckpoint(await session.call("save"));
    assert(training!.step < LONG, `${training!.step}`);
    await session.call("resume");
  };
  await withSession(async (session, events) => {
    await session.call("open", {
      ...options,
      train: { ...train, maxSteps: LONG },
    });
    await session.call("train");
    await asked;
    assert(asked !== undefined, "there were steps before the end");
    assertEquals(lossesOf(events), expected.losses);
    assertEquals(await session.call("save"), expected.bytes);
  }, (event, session) => {
    if (event.kind === "steps") asked ??= ask(session);
  });
});

Deno.test("A session reports each token with the model's own probabilities of its candidates", async () => {
  await withSession(async (session, events) => {
    const { tokenizer: json } = await session.call("open", options);
    const tokenizer = Tokenizer.fromJSON(json);
    const request = { prompt: "to b", maxNewTokens: 6, candidates: 3 };
    await session.call("write", { ...request, topK: 2, temperature: 0.5 });
    const tokens = events.filter((event) => event.kind === "token");
    assertEquals(tokens.length, 4 + 6);
    assertEquals(tokens.slice(0, 4).map(({ text }) => text).join(""), "to b");
    // The same from the logits of the whole text.
    const bytes = await session.call("save");
    await using model = await Model.load(bytes, { device: "wasm", threads: 1 });
    const before = tokens.slice(0, 5).map(({ id }) => id);
    const logits = await model.forward(Int32Array.from(before), { B: 1, T: 5 });
    const last = Array.from(logits.slice(-tokenizer.vocabSize), Math.exp);
    const sum = last.reduce((a, b) => a + b);
    const { candidates, probability, id } = tokens[5]!;
    assertEquals(candidates.length, 3);
    for (const { id, probability } of candidates) {
      // Float32 logits of two plans that sum in different orders.
      assert(Math.abs(probability - last[id]! / sum) < 1e-5);
    }
    assertEquals(
      candidates.map(({ id }) => id),
      last.map((_, id) => id).sort((a, b) => last[b]! - last[a]!).slice(0, 3),
    );
    assertEquals(
      probability,
      candidates.find((one) => one.id === id)?.probability,
    );
  });
});

Deno.test("A session resumes a checkpoint to the bits of a run that never stopped", async () => {
  const whole = await plainRun(30);
  const part = await plainRun(12);
  await withSession(async (session, events) => {
    const { step } = await session.call("open", {
      ...{ text, checkpoint: part.bytes, device: "wasm", threads: 1 },
      train: { maxSteps: 30 },
    });
    assertEquals(step, 12);
    await session.call("train");
    assertEquals(lossesOf(events), whole.losses.slice(12));
    assertEquals(await session.call("save"), whole.bytes);
  });
});

Deno.test("A session replaces the mask in the middle of a run and keeps weights and step", async () => {
  let replaced: Promise<unknown> | undefined;
  await withSession(async (session, events) => {
    await session.call("open", {
      ...options,
      train: { ...train, maxSteps: 300 },
    });
    await session.call("train");
    await replaced;
    assertEquals(lossesOf(events).length, 300);
    assertEquals(events.filter(({ kind }) => kind === "end").length, 1);
    const { config, training } = decodeCheckpoint(await session.call("save"));
    assertEquals([config.mask, training?.step], ["none", 300]);
    await session.call("setMask", "causal");
    const { layers: [map] } = await session.call("attention", [1, 2, 3]);
    assertEquals(map!.slice(1, 3), Float32Array.of(0, 0));
  }, (event, session) => {
    if (event.kind === "steps") replaced ??= session.call("setMask", "none");
  });
});

Deno.test("A session measures n-gram models on the validation split", async () => {
  await withSession(async (session) => {
    const tokenizer = Tokenizer.chars(text).toJSON();
    const [unigram, trigram] = await session.call("baselines", {
      ...{ text, tokenizer, orders: [1, 3] },
    });
    assertEquals([unigram!.order, trigram!.order], [1, 3]);
    assert(trigram!.loss < unigram!.loss && unigram!.loss < 3);
  });
});

Deno.test("A session refuses what it cannot do, and answers with the error's name and hint", async () => {
  await withSession(async (session) => {
    const unopened = await assertRejects(
      () => session.call("save"),
      SessionError,
    );
    assertEquals(unopened.message, "Cannot use session: it is not open");
    assertEquals(unopened.name, "TypeError");
    await assertRejects(
      () => session.call("open", {}),
      SessionError,
      "neither a text",
    );
    const short = { ...options, text: "short" };
    const refused = await assertRejects(
      () => session.call("open", short),
      SessionError,
    );
    assertEquals(refused.name, "RangeError");
    await session.call("open", options);
    await assertRejects(
      () => session.call("open", options),
      SessionError,
      "open already",
    );
    await assertRejects(
      () => session.call("write", { prompt: "Q" }),
      SessionError,
      "Cannot encode",
    );
  });
});

Deno.test("A session trains once at a time", async () => {
  await withSession(async (session, events) => {
    await session.call("open", options);
    const first = session.call("train");
    await assertRejects(
      () => session.call("train"),
      SessionError,
      "training already",
    );
    await first;
    assertEquals(lossesOf(events).length, train.maxSteps);
  });
});

Deno.test("A session maps the attention of a text's last window", async () => {
  await withSession(async (session) => {
    await session.call("open", options);
    const ids = Array.from({ length: 60 }, (_, i) => i % 5);
    const { tokens, layers } = await session.call("attention", ids);
    const size = tiny.blockSize;
    assertEquals(tokens.length, size);
    assertEquals(layers[0]!.length, tiny.nHead * size * size);
  });
});

Deno.test("Calls to a worker that failed are rejected", async () => {
  const port = { postMessage: () => {}, onmessage: null };
  const session = new SessionClient(port, () => {});
  const calls = [session.call("train"), session.call("save")];
  session.fail(new Error("the worker is gone"));
  for (const call of calls) {
    await assertRejects(() => call, Error, "the worker is gone");
  }
});

Deno.test("A session can stop writing", async () => {
  let stopped: Promise<unknown> | undefined;
  await withSession(async (session, events) => {
    await session.call("open", options);
    await session.call("write", { prompt: "to", maxNewTokens: 1e6 });
    await stopped;
    assert(events.length < 1e6);
  }, (event, session) => {
    if (event.kind === "token") stopped ??= session.call("stopWriting");
  });
});

Deno.test("A session writes with byte pairs: bytes of parts of characters, and <|endoftext|> as the last token", async () => {
  const tokenizer = Tokenizer.bpe("to be 日本 ".repeat(9), {
    vocabSize: 259,
    endOfText: true,
  });
  await using model = await Model.create(
    { ...tiny, vocabSize: tokenizer.vocabSize },
    { device: "wasm", threads: 1, seed: 1, tokenizer },
  );
  const checkpoint = await model.save();
  await withSession(async (session, events) => {
    await session.call("open", { checkpoint, device: "wasm", threads: 1 });
    await session.call("write", {
      ...{ prompt: "", maxNewTokens: 5000, seed: 3, candidates: 259 },
    });
    const tokens = events.flatMap((event) =>
      event.kind === "token" ? [event] : []
    );
    const texts = tokens.map(({ text }) => text);
    // The empty prompt begins after it, and the text ends with it.
    assertEquals([texts[0], texts.at(-1)], ["<|endoftext|>", "<|endoftext|>"]);
    assertEquals(texts.indexOf("<|endoftext|>", 1), texts.length - 1);
    const candidates = tokens.at(-1)!.candidates.map(({ text }) => text);
    assert(candidates.includes("\\xE6") && candidates.includes("\n"));
    assert(!candidates.join("").includes("\ufffd"));
    const ids = [...tokenizer.encode("日")];
    const attention = await session.call("attention", ids);
    assertEquals(attention.tokens.length, ids.length);
    assert(attention.tokens.every((text) => /^(\\x\w\w)+$|^日$/.test(text)));
  });
});
