/**
 * Which files the checker of recordings accepts: parts of recordings, and nothing
 * that it would have to ignore.
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { CounterRandom, Purpose } from "../../kernels/random.ts";
import { openReference } from "../../lib/backends/reference.ts";
import { Model } from "../../lib/model/model.ts";
import type { TensorData } from "../../lib/formats/safetensors.ts";
import { type Outcome, verifyFile } from "../../tools/verify/verify_file.ts";
import {
  assertVerified,
  type Draft,
  goldenFile,
  goldenNames,
  patch,
  rewritten,
} from "../fixtures/golden_files.ts";

const parameter = /^(wte|wpe|h|ln_f|lm_head)\./;

/** Keeps parameters and the tensors whose names match. */
function keep({ tensors }: Draft, pattern: RegExp): void {
  for (const name of tensors.keys()) {
    if (!parameter.test(name) && !pattern.test(name)) tensors.delete(name);
  }
}

function floats(shape: number[], data: Float64Array): TensorData {
  return { dtype: "F64", shape, data };
}

function numbers({ tensors }: Draft, name: string): Float64Array {
  return tensors.get(name)!.data as Float64Array;
}

/** Files that hold only part of the quantities, and which of them are to be compared. */
const parts: readonly {
  readonly name: string;
  readonly file: string;
  readonly change: (draft: Draft) => void;
  readonly compared: readonly string[];
}[] = [
  {
    name: "logits alone",
    file: "position-rope-half",
    change: (draft) => keep(draft, /^(tokens|logits)$/),
    compared: ["logits"],
  },
  {
    name: "the last position's logits",
    file: "bias-off", // (2, 7, 23)
    change: (draft) => {
      const last = numbers(draft, "logits").filter((_, i) =>
        Math.floor(i / 23) % 7 === 6
      );
      keep(draft, /^tokens$/);
      draft.tensors.set("last_logits", floats([2, 23], last));
    },
    compared: ["last_logits"],
  },
  {
    name: "gradient norms in place of gradients",
    file: "attention-gqa",
    change: (draft) => {
      const { tensors } = draft;
      let square = 0;
      for (const [name] of [...tensors]) {
        if (!name.startsWith("grad.")) continue;
        const own = numbers(draft, name).reduce((sum, x) => sum + x * x, 0);
        square += own;
        tensors.set(
          name.replace("grad.", "grad_norm."),
          floats([1], Float64Array.of(Math.sqrt(own))),
        );
      }
      tensors.set("grad_norm", floats([1], Float64Array.of(Math.sqrt(square))));
      keep(draft, /^(tokens|targets|grad_norm.*)$/);
    },
    compared: ["grad_norm", "grad_norm of each parameter"],
  },
  {
    name: "parameters after steps whose losses are not recorded",
    file: "steps-adamw",
    change: (draft) => keep(draft, /^(tokens|targets|step10\..*)$/),
    compared: ["step10"],
  },
  {
    name: "three batches in place of ten",
    file: "steps-sgd",
    change: (draft) => {
      keep(draft, /^(tokens|targets|losses)$/);
      draft.tensors.set(
        "losses",
        floats([3], numbers(draft, "losses").slice(0, 3)),
      );
      for (const name of ["tokens", "targets"]) {
        const data = draft.tensors.get(name)!.data as Int32Array;
        const shape = [3, 2, 7];
        draft.tensors.set(name, {
          dtype: "I32",
          shape,
          data: data.slice(0, 3 * 2 * 7),
        });
      }
    },
    compared: ["losses"],
  },
  {
    name: "float32 numbers",
    file: "steps-adamw-all",
    change: ({ tensors }) => {
      for (const [name, { dtype, shape, data }] of tensors) {
        if (dtype !== "F64") continue;
        tensors.set(name, {
          dtype: "F32",
          shape,
          data: Float32Array.from(data),
        });
      }
    },
    compared: ["step1", "step10, any element", "losses"],
  },
  {
    name: "generated text without logits and caches",
    file: "decoding-alibi",
    change: (draft) => keep(draft, /^(prompt|generated)$/),
    compared: ["generated, behind the best logit", "generated"],
  },
  {
    name: "rotations without tables and gradients",
    file: "rotation",
    change: ({ tensors }) => {
      for (const name of ["cos", "sin", "dq", "dk", "dq_out", "dk_out"]) {
        tensors.delete(name);
      }
    },
    compared: ["q_out", "scores"],
  },
];

for (const { name, file, change, compared } of parts) {
  Deno.test(`Verify accepts a file with ${name}`, async () => {
    await using backend = openReference();
    const bytes = rewritten(file, change);
    const { report } = await assertVerified(file, bytes, backend);
    const quantities = report.checks.map(({ quantity }) => quantity);
    for (const quantity of compared) {
      assert(quantities.includes(quantity), `${quantity} of ${quantities}`);
    }
  });
}

/** Changes that make a file one that cannot be judged, and the part of it that the reason names. */
const oddities: readonly (readonly [
  name: string,
  file: string,
  change: (draft: Draft) => void,
  reason: string,
])[] = [
  [
    "an unknown kind",
    "base",
    (draft) => draft.metadata["kind"] = "image",
    'metadata kind is "image"',
  ],
  [
    "another version",
    "base",
    (draft) => draft.metadata["version"] = "2",
    'metadata format is "lm recording", version "2"',
  ],
  [
    "an unknown tensor",
    "mlp-relu",
    (draft) => draft.tensors.set("hidden", floats([1], Float64Array.of(1))),
    "tensor hidden is not one that can be checked here",
  ],
  [
    "unknown metadata",
    "mlp-relu",
    (draft) => draft.metadata["temperature"] = "2",
    "metadata temperature is not one that can be checked here",
  ],
  [
    "a parameter of another model",
    "mlp-relu",
    (draft) =>
      draft.tensors.set("h.2.ln_1.bias", draft.tensors.get("ln_f.bias")!),
    "tensor h.2.ln_1.bias",
  ],
  [
    "a parameter missing",
    "base",
    (draft) => draft.tensors.delete("ln_f.weight"),
    "tensor ln_f.weight is missing",
  ],
  [
    "a parameter of another shape",
    "base",
    (draft) => patch(draft, "config", { nEmbd: 24 }),
    "has shape [23,12], not [23,24]",
  ],
  [
    "an unknown config field",
    "attention-gqa",
    (draft) => patch(draft, "config", { slidingWindow: 4 }),
    "metadata config: slidingWindow",
  ],
  [
    "an unknown config value",
    "attention-gqa",
    (draft) => patch(draft, "config", { position: "xpos" }),
    "metadata config: position",
  ],
  [
    "dropout",
    "base",
    (draft) => patch(draft, "config", { dropout: 0.1 }),
    "dropout is 0.1, not 0",
  ],
  [
    "heads that do not divide the width",
    "base",
    (draft) => patch(draft, "config", { nHead: 5 }),
    "nEmbd (12) is not a multiple of nHead (5)",
  ],
  [
    "more layers than tensors",
    "base",
    (draft) => patch(draft, "config", { nLayer: 1000 }),
    "nLayer is 1000",
  ],
  [
    "sequences longer than the context",
    "position-alibi",
    (draft) => patch(draft, "config", { blockSize: 6 }),
    "sequences of 7 are longer than blockSize (6)",
  ],
  [
    "generated text longer than the context",
    "decoding-alibi",
    (draft) => patch(draft, "config", { blockSize: 12 }),
    "sequences of 13 are longer than blockSize (12)",
  ],
  [
    "a token outside of the vocabulary",
    "mlp-relu",
    (draft) => (draft.tensors.get("tokens")!.data as Int32Array)[3] = 23,
    "tensor tokens holds 23",
  ],
  [
    "another optimizer",
    "steps-adamw",
    (draft) => patch(draft, "training", { config: { optimizer: "lion" } }),
    "metadata training: optimizer",
  ],
  [
    "training that has begun",
    "steps-adamw",
    (draft) => patch(draft, "training", { step: 3 }),
    "step is 3",
  ],
  [
    "steps without training",
    "steps-adamw",
    (draft) => delete draft.metadata["training"],
    "metadata training is missing",
  ],
  [
    "more losses than batches",
    "steps-adamw",
    ({ tensors }) => {
      for (const name of ["tokens", "targets"]) {
        const data = tensors.get(name)!.data.slice(0, 14) as Int32Array;
        tensors.set(name, { dtype: "I32", shape: [1, 2, 7], data });
      }
    },
    "10 optimizer steps, and 1 batches",
  ],
  [
    "an unknown option of a sampler",
    "sampler",
    (draft) => {
      const settings = JSON.parse(draft.metadata["settings"]!);
      settings[0].options.typical = 0.5;
      draft.metadata["settings"] = JSON.stringify(settings);
    },
    "typical is not a known option",
  ],
  [
    "a rotation without a start",
    "rotation",
    (draft) => patch(draft, "config", { start: undefined }),
    "a rotation needs",
  ],
  [
    "nothing to compare",
    "mlp-relu",
    (draft) => keep(draft, /^tokens$/),
    "it holds nothing to compare",
  ],
  [
    "metadata that is not JSON",
    "mlp-relu",
    (draft) => draft.metadata["config"] = "{",
    "metadata config: ",
  ],
];

function assertRefused(outcome: Outcome, reason: string): void {
  assert(!outcome.passed);
  assertStringIncludes(outcome.notUnderstood ?? "it was understood", reason);
}

for (const [name, file, change, reason] of oddities) {
  Deno.test(`Verify refuses a file with ${name}`, async () => {
    await using backend = openReference();
    assertRefused(await verifyFile(rewritten(file, change), backend), reason);
    assertEquals(backend.allocatedBytes, 0, "memory is left behind");
  });
}

/** Values that are of the wrong type, or out of range, almost everywhere. */
const wrong = [null, "x", -1, 0, 1.5, 1e9, [], {}, true];

/** Replaces or deletes what stands at a random place of a JSON value. */
function disturb(value: unknown, random: () => number): unknown {
  const pick = <Item>(items: readonly Item[]) =>
    items[Math.floor(random() * items.length)];
  const key = pick(Object.keys(Object(value)));
  if (typeof value === "string" || key === undefined || random() < 0.3) {
    return pick(wrong);
  }
  const { [key]: inner, ...others } = value as Record<string, unknown>;
  const changed = random() < 0.2
    ? others
    : { ...others, [key]: disturb(inner, random) };
  return Array.isArray(value) ? Object.values(changed) : changed;
}

Deno.test("Verify refuses random metadata and tensors by name, and frees all memory", async () => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  const generator = new CounterRandom(seed, Purpose.sample);
  await using backend = openReference();
  for (let trial = 0; trial < 400; trial++) {
    let draws = 0;
    const random = () => generator.uniform(trial, draws++);
    const pick = <Item>(items: readonly Item[]) =>
      items[Math.floor(random() * items.length)]!;
    const name = pick(goldenNames);
    let change = "";
    const bytes = rewritten(name, ({ tensors, metadata }) => {
      const [tensor, { shape, data }] = pick([...tensors]);
      const key = pick(Object.keys(metadata));
      change = pick([key, key, tensor]);
      if (change === tensor) {
        const others = pick([[...shape], [1, ...shape], [...shape, 1]]);
        const numbers = Int32Array.from(data as Int32Array, (x) => x || 0);
        if (random() < 0.3) tensors.delete(tensor);
        else {tensors.set(tensor, {
            dtype: "I32",
            shape: others,
            data: numbers,
          });}
      } else if (/^[[{\d]/.test(metadata[key]!)) {
        const value = JSON.parse(metadata[key]!);
        metadata[key] = JSON.stringify(disturb(value, random));
      } else metadata[key] = String(pick(wrong));
    });
    const outcome = await verifyFile(bytes, backend).catch((error) => {
      const words = `seed ${seed}, trial ${trial}: ${name}, ${change}`;
      throw new Error(words, { cause: error });
    });
    assertEquals(
      backend.allocatedBytes,
      0,
      `seed ${seed}: memory is left behind by ${name}, ${change}: ${outcome.notUnderstood}`,
    );
  }
});

Deno.test("Verify refuses files of other kinds", async () => {
  await using backend = openReference();
  const text = new TextEncoder().encode("To be, or not to be");
  assertRefused(
    await verifyFile(text, backend),
    "it is not a safetensors file",
  );
  const torn = goldenFile("rotation").subarray(0, 5000);
  assertRefused(
    await verifyFile(torn, backend),
    "ends at 4320, the data at 4088",
  );
  await using model = await Model.create(
    { vocabSize: 5, blockSize: 2, nLayer: 1, nHead: 1, nEmbd: 4 },
    { backend },
  );
  const checkpoint = await model.save();
  assertRefused(await verifyFile(checkpoint, backend), 'format is "lm"');
});
