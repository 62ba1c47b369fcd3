/** What holds for all of the public API, found in the documentation of its doors. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import * as checks from "../lib/checks/mod.ts";
import * as exporting from "../lib/export/mod.ts";
import * as formats from "../lib/formats/mod.ts";
import * as lab from "../lib/lab/mod.ts";
import * as text from "../lib/text/mod.ts";
import * as worker from "../lib/worker/mod.ts";
import * as main from "../mod.ts";
import { modelFields } from "../lib/config/model.ts";
import { bytesOf, folderOf } from "./fixtures/exported_files.ts";
import { trainFields } from "../lib/config/train.ts";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** The modules that other programs import, by their paths. */
const doors: Record<string, object> = {
  "./mod.ts": main,
  "./lib/checks/mod.ts": checks,
  "./lib/export/mod.ts": exporting,
  "./lib/formats/mod.ts": formats,
  "./lib/lab/mod.ts": lab,
  "./lib/text/mod.ts": text,
  "./lib/worker/mod.ts": worker,
};

const lm = { ...main, ...exporting, ...formats, ...lab, ...text };

async function documentation(
  paths: readonly string[] = Object.keys(doors),
): Promise<Json> {
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", ...paths],
    cwd: new URL("../", import.meta.url),
    env: { NO_COLOR: "1" },
  }).output();
  assert(success);
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** An optional property, and the symbol (with its method) that it belongs to. */
interface Optional {
  readonly of: string;
  readonly name: string;
  readonly type: Json;
}

/** The optional properties in a part of the documentation; parameters are none. */
function* optionalProperties(part: Json, path: string[] = []): Generator<
  Optional
> {
  if (typeof part !== "object" || part === null) return;
  if (Array.isArray(part)) {
    for (const item of part) yield* optionalProperties(item, path);
    return;
  }
  const { name, optional, tsType, kind } = part;
  if (optional === true && typeof name === "string" && kind !== "identifier") {
    yield { of: path.join("."), name, type: tsType ?? null };
    return;
  }
  const isSymbol = Array.isArray(part["declarations"]);
  const isMethod = part["functionDef"] !== undefined;
  const below = isSymbol || isMethod ? [...path, String(name)] : path;
  for (const value of Object.values(part)) {
    yield* optionalProperties(value, below);
  }
}

/** Returns whether a type is a union with undefined. */
function takesUndefined(type: Json): boolean {
  if (typeof type !== "object" || type === null) return false;
  const { kind, value } = type as { [key: string]: Json };
  return kind === "union" && Array.isArray(value) &&
    value.some((member) => (member as { repr?: Json }).repr === "undefined");
}

const tokenizer = lm.Tokenizer.chars("abcdefgh");
const { vocabSize } = tokenizer;
const tokens = Int32Array.from({ length: 300 }, (_, i) => (i * i) % vocabSize);
const shape = { blockSize: 4, batchSize: 2 };
const dataset = new lm.Dataset(tokens, shape);
const tiny = { vocabSize, blockSize: 4, nLayer: 1, nHead: 1, nEmbd: 4 };
/** A model that other programs know, too. */
async function exportable(
  more: Partial<main.ModelConfig> = {},
): Promise<formats.Checkpoint> {
  const learned = { position: "learned", headBias: false } as const;
  const config = { ...tiny, ...learned, ...more };
  await using model = await lm.Model.create(config, { device: "reference" });
  return lm.decodeCheckpoint(await model.save());
}

const logits = Float64Array.from({ length: vocabSize }, (_, i) => i % 3);

type Options = Record<string, undefined>;

/** Calls with a model made for it, as they change it. */
function withModel<Value>(use: (model: main.Model) => Promise<Value>) {
  return async () => {
    await using model = await lm.Model.create(tiny, { device: "reference" });
    return await use(model);
  };
}

/** Opens a session with these options, on a small model of a text. */
async function withSession<Value>(
  options: Options,
  use: (
    session: worker.SessionClient,
    events: worker.SessionEvent[],
  ) => Promise<Value>,
): Promise<Value> {
  const { port1, port2 } = new MessageChannel();
  main.serveSession(port1);
  const events: worker.SessionEvent[] = [];
  const session = new worker.SessionClient(
    port2,
    (event) => events.push(event),
  );
  const { vocabSize: _, ...model } = tiny;
  // Some option says what to train, and a default device would take threads.
  const needed = { text: "abcdefgh".repeat(40), model, device: "reference" };
  try {
    await session.call("open", { ...options, ...needed } as never);
    return await use(session, events);
  } finally {
    await session.call("close");
    port1.close();
    port2.close();
  }
}

function lossesOf(events: readonly main.TrainEvent[]): number[][] {
  return events.filter((event) => event.kind === "eval")
    .map((event) => [event.trainLoss, event.valLoss, event.bitsPerChar]);
}

const study = {
  study: "a study",
  about: "Whether it runs.",
  data: "letters",
  tokenizer: "chars",
  base: { model: { ...shapeOfModel(tiny) }, train: { maxSteps: 2 } },
  seeds: [1, 2],
  cells: [{ name: "base" }, { name: "deep", model: { nLayer: 2 } }],
} as const satisfies lab.Plan;

function shapeOfModel({ vocabSize: _, ...shape }: typeof tiny) {
  return shape;
}

/** Runs the first trial of the study; returns the outcome without what depends on time. */
async function trialWith(options: Options) {
  await using backend = await lm.openBackend("reference");
  const [trial] = lm.trialsOf(study);
  const room = { backend, tokenizer, tokens, ...options };
  return {
    ...await lm.runTrial(trial!, room),
    ...{ seconds: 0, tokensPerSecond: 0 },
  };
}

const outcome = await trialWith({});
const rung: lab.Rung = {
  ...{ name: "causal", claim: "", relation: "at least", threshold: 1 },
};

/** A text that is just long enough to measure a model's text by it. */
function corpus() {
  const tokenizer = lm.Tokenizer.chars("abc d\n:");
  const tokens = Int32Array.from({ length: 100_000 }, (_, i) => (i * i) % 7);
  return {
    ...{ tokenizer, training: tokens.subarray(0, 70_000) },
    heldOut: tokens.subarray(70_000),
  };
}

/** For each options object of the API what comes out when it is used. */
const uses: Record<string, (options: Options) => unknown> = {
  DeviceOptions: async (options) => {
    await using backend = await lm.openBackend("reference", options);
    return backend.description;
  },
  ModelPlacement: async (options) => {
    await using model = await lm.Model.create(tiny, {
      ...options,
      device: "reference",
    });
    return await model.save();
  },
  CreateOptions: async (options) => {
    await using model = await lm.Model.create(tiny, {
      device: "reference",
      ...options,
    });
    return await model.save();
  },
  "Model.save": (options) => withModel((model) => model.save(options))(),
  Checkpoint: (options) =>
    withModel(async (model) =>
      lm.encodeCheckpoint({
        config: model.config,
        tensors: await model.parameters(),
        ...options,
      })
    )(),
  ModelOptions: (options) => lm.modelConfig({ ...options, vocabSize }),
  TrainOptions: (options) => lm.trainConfig(options),
  DatasetOptions: (options) =>
    new lm.Dataset(tokens, { ...shape, ...options }).batch(3),
  "Dataset.evalBatches": (options) => [...dataset.evalBatches("val", options)],
  evalWindows: (
    options,
  ) => [...lm.evalWindows(tokens, { ...shape, ...options })],
  NgramOptions: (options) =>
    lm.NgramModel.fit(tokens, { order: 2, vocabSize, ...options }).loss(tokens),
  "NgramModel.loss": (options) =>
    lm.NgramModel.fit(tokens, { order: 2, vocabSize }).loss(tokens, options),
  DecodeOptions: (options) => tokenizer.decode(tokens, options),
  EncodeOptions: (options) => tokenizer.encode("head", options),
  TokenizerOptions: (options) => lm.Tokenizer.bytes(options).toJSON(),
  TokenizerJSON: (options) =>
    lm.Tokenizer.fromJSON({ kind: "bytes", ...options }).toJSON(),
  BpeOptions: (options) =>
    lm.Tokenizer.bpe("an ant", { vocabSize: 257, ...options }).toJSON(),
  BpeVocabulary: (options) => {
    const tokens = Array.from(
      new Uint8Array(256),
      (_, byte) => String.fromCharCode(byte),
    );
    const vocabulary = { split: "gpt2", tokens, special: [] } as const;
    return lm.Tokenizer.fromVocabulary({ ...vocabulary, ...options }).toJSON();
  },
  ExportOptions: async (options) => {
    const files = lm.exportCheckpoint("hf", await exportable(), options);
    return files.map(({ pieces }) => [...pieces()]);
  },
  ImportOptions: async (options) => {
    const folder = folderOf(
      bytesOf(lm.exportCheckpoint("hf", await exportable())),
    );
    const { config, tensors } = (await lm.importHf(folder, options)).checkpoint;
    return { config, tensors };
  },
  NanogptOptions: async (options) => {
    const checkpoint = await exportable({ mlp: "gelu", tiedHead: true });
    const folder = folderOf(
      bytesOf(lm.exportCheckpoint("nanogpt", checkpoint)),
    );
    const { config, tensors } =
      (await lm.importNanogpt(folder, options)).checkpoint;
    return { config, tensors };
  },
  ReadTokenizerOptions: (options) =>
    lm.readTokenizer("#version: 0.2\na n\n", options).toJSON(),
  longestSharedSpan: (options) => lm.longestSharedSpan("abc", "bcd", options),
  EvaluateOptions: (options) =>
    withModel((model) => model.evaluate(dataset.evalBatches("val"), options))(),
  GenerateOptions: (options) =>
    withModel((model) => Array.fromAsync(model.generate([1], options)))(),
  GenerateTextOptions: (options) =>
    withModel((model) =>
      Array.fromAsync(lm.generateText(model, tokenizer, "a", options))
    )(),
  // It has the properties of SamplerOptions and GenerateTextOptions.
  SamplerOptions: (options) => {
    const sampler = new lm.Sampler(options);
    return [0, 1, 2].map((step) => sampler.sample(logits, { step }));
  },
  "Sampler.sample": (options) =>
    new lm.Sampler().sample(logits, { step: 1, ...options }),
  "Sampler.sampleBatch": (options) =>
    new lm.Sampler().sampleBatch(logits, { rows: 2, step: 1, ...options }),
  "Trainer.run": (options) =>
    withModel(async (model) => {
      const trainer = new lm.Trainer(model, dataset, { maxSteps: 2 });
      return lossesOf(await Array.fromAsync(trainer.run(options)));
    })(),
  "Trainer.stop": (options) =>
    withModel(async (model) => {
      const trainer = new lm.Trainer(model, dataset, { maxSteps: 9 });
      const events: string[] = [];
      for await (const { kind } of trainer.run()) {
        if (kind === "step") trainer.stop(options);
        else events.push(kind);
      }
      return events;
    })(),
  AblationOptions: (options) =>
    lm.ablationPlan(lm.presets.tiny, {
      ...{ name: "tiny", data: "letters", steps: 9, seeds: [1] },
      ...{ measure: "loss", ...options },
    }),
  Changes: (options) => lm.trialsOf({ ...study, base: options }),
  Cell: (options) => {
    const cells = [{ name: "base", ...options }];
    return lm.trialsOf(lm.checkPlan({ ...study, cells }));
  },
  Plan: (options) => {
    const plan = lm.checkPlan({ ...study, ...options });
    return [lm.trialsOf(plan), lm.cellResults(plan, [outcome])];
  },
  Outcome: (options) => {
    const outcomes = [{ ...outcome, ...options }];
    return lm.studyReport({ plan: study, outcomes, rungs: [rung] });
  },
  Rung: (options) => {
    const rungs = [{ ...rung, ...options }];
    return lm.studyReport({ plan: study, outcomes: [outcome], rungs });
  },
  Evidence: (options) => lm.rungValue(rung, { valLoss: 1, ...options }),
  TrialRoom: trialWith,
  Examiner: (options) => new lm.Examiner({ ...corpus(), ...options }).prompts,
  measureOwnText: async (options) => {
    const { heldOut, ...rest } = corpus();
    const examiner = new lm.Examiner({ heldOut, ...rest });
    const config = { ...tiny, vocabSize: rest.tokenizer.vocabSize };
    await using model = await lm.Model.create(config, { device: "reference" });
    return await lm.measureOwnText(model, { examiner, heldOut, ...options });
  },
  SessionOptions: (options) =>
    withSession(options, (session) => session.call("save")),
  WriteRequest: (options) =>
    withSession({}, async (session, events) => {
      await session.call("write", { prompt: "a", ...options });
      return events;
    }),
  // A finding that leaves out a hint and one that has none are reported alike.
  Verdict: async (options) => {
    const { check, status, found, ...rest } = await checks.verdict(
      "one",
      () => ({ status: "ok" as const, found: "1", ...options }),
    );
    return [check, status, found, JSON.stringify(rest)];
  },
  batchChecks: (options) =>
    Array.fromAsync(checks.batchChecks(dataset, tokens, options).run()),
  StepsSubject: (options) => stepsWith({}, options),
  stepChecks: (options) => stepsWith(options, {}),
  attentionMaps: (options) =>
    withModel((model) =>
      lm.attentionMaps(model, tokens.slice(0, 4), options)
    )(),
  TrainedSubject: (options) =>
    withModel(async (model) => {
      const [training, heldOut] = [tokens.slice(0, 200), tokens.slice(200)];
      const subject = { model, tokenizer, training, heldOut, ...options };
      const verdicts: checks.Verdict[] = [];
      for (const group of checks.trainedChecks(subject)) {
        verdicts.push(...await Array.fromAsync(group.run()));
      }
      return verdicts;
    })(),
  TrainerExtras: (options) =>
    withModel(async (model) => {
      const trainer = new lm.Trainer(model, dataset, {
        maxSteps: 2,
        ...options,
      });
      const events = await Array.fromAsync(trainer.run());
      return { config: trainer.config, losses: lossesOf(events) };
    })(),
};

/** Checks the first steps of a small training. */
async function stepsWith(options: object, subject: object) {
  await using backend = await lm.openBackend("reference");
  const model = lm.modelConfig({
    vocabSize,
    blockSize: 4,
    nLayer: 1,
    nHead: 1,
    nEmbd: 4,
  });
  const train = lm.trainConfig({ batchSize: 2 });
  const training = { model, train, ...subject };
  const group = checks.stepChecks(backend, training, { name: "", ...options });
  return await Array.fromAsync(group.run());
}

Deno.test("Every optional property of the public API takes undefined, which means what leaving it out does", async () => {
  const optional = [...optionalProperties(await documentation())];
  const fields: Record<string, string[]> = {
    // These are mapped types, whose properties the documentation does not list.
    ModelOptions: [...modelFields.keys()].filter((name) =>
      name !== "vocabSize"
    ),
    TrainOptions: [...trainFields.keys()],
  };
  for (const { of, name, type } of optional) {
    // More than one door exports some types.
    if (fields[of]?.includes(name)) continue;
    assert(takesUndefined(type), `${of}: ${name} does not take undefined`);
    (fields[of] ??= []).push(name);
  }
  // A trainer takes both in one object.
  fields["TrainerExtras"]!.push(
    ...fields["TrainOptions"]!.filter((name) => name !== "maxSteps"),
  );
  assertEquals(Object.keys(fields).toSorted(), Object.keys(uses).toSorted());
  for (const [of, names] of Object.entries(fields)) {
    const left = await uses[of]!({});
    const given = Object.fromEntries(names.map((name) => [name, undefined]));
    assertEquals(await uses[of]!(given), left, of);
  }
});

Deno.test("The doors are those of deno.json, and each value has one", async () => {
  const url = new URL("../deno.json", import.meta.url);
  const withoutComments = (await Deno.readTextFile(url))
    .replaceAll(/^ *\/\/.*/gm, "");
  const exported: string[] = Object.values(JSON.parse(withoutComments).exports);
  const expected = [...Object.keys(doors), "./cli.ts"];
  assertEquals(exported.toSorted(), expected.toSorted());
  const values = Object.values(doors).flatMap((door) => Object.keys(door));
  assertEquals(values.toSorted(), [...new Set(values)].toSorted());
});

Deno.test("Classes and interfaces of the public API show their users' members alone", async () => {
  // The plan of a study is public, and has the name of the plan of a computation.
  const paths = Object.keys(doors).filter((path) => !path.includes("/lab/"));
  const shown = JSON.stringify(
    await documentation(paths),
    (_, part) => part?.accessibility === "private" ? undefined : part,
  );
  assert(shown.includes('"typeName":"Backend"'));
  // `deno doc --lint` refuses these types in a public member, unless a tag hides the member from it, but not from users.
  for (
    const type of [
      "ParameterLayout",
      "Stores",
      "Plan",
      "Program",
      "BufferSpec",
      "ModelInternals",
    ]
  ) {
    assert(!shown.includes(`"typeName":"${type}"`), `${type} is shown`);
  }
});

Deno.test("Model refuses a backend that openBackend did not make", async () => {
  const backend = {
    kind: "wasm",
    description: "",
    blas: undefined,
    allocatedBytes: 0,
    room: undefined,
    finish: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  } as const;
  await assertRejects(
    () => lm.Model.create(tiny, { backend }),
    TypeError,
    "openBackend",
  );
});
