/** Files in the older format, with other programs' names: what the checker makes of them. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { openReference } from "../../lib/backends/reference.ts";
import {
  encodeSafetensors,
  type TensorData,
} from "../../lib/formats/safetensors.ts";
import { verifyFile } from "../../tools/verify/verify_file.ts";
import { openFaulty } from "../fixtures/faulty_backend.ts";
import {
  assertVerified,
  type Draft,
  draftOf,
  patch,
} from "../fixtures/golden_files.ts";

const seedNames: readonly (readonly [ours: RegExp, seed: string])[] = [
  [/^wte\./, "_token_embedding."],
  [/^ln_f\./, "_transformer._ln."],
  [/^lm_head\./, "_lm_head."],
  [/^h\.(\d+)\.attn\.c_attn\./, "_transformer._blocks.$1._attention._qkv."],
  [/^h\.(\d+)\.attn\.c_proj\./, "_transformer._blocks.$1._attention._proj."],
  [/^h\.(\d+)\.mlp\.c_fc\./, "_transformer._blocks.$1._ffn._linear1."],
  [/^h\.(\d+)\.mlp\.c_proj\./, "_transformer._blocks.$1._ffn._linear2."],
  [/^h\.(\d+)\.ln_([12])\./, "_transformer._blocks.$1._ln$2."],
];

const isParameter = /^(wte|wpe|h|ln_f|lm_head)\./;

/** One of our recordings of a model in the older format. */
function older(name: string, model: "seed" | "own"): Draft {
  const { tensors, metadata } = draftOf(name);
  const config = JSON.parse(metadata["config"]!);
  const { nEmbd, nHead } = config;
  const isSeed = model === "seed";
  const nameOf = (ours: string) => {
    if (!isSeed) {
      return ours.startsWith("lm_head.") ? ours : `transformer.${ours}`;
    }
    return seedNames.reduce((name, part) => name.replace(...part), ours);
  };
  const draft: Draft = { tensors: new Map(), metadata: { model } };
  for (const [name, { dtype, shape, data }] of tensors) {
    const [, per = "", last = ""] = /^(grad\.|step\d+\.)?(.*)$/.exec(name)!;
    if (dtype === "I32") {
      if (shape.length === 2) draft.tensors.set(name, { dtype, shape, data });
      else {
        const size = shape[1]! * shape[2]!;
        const first = {
          dtype,
          shape: shape.slice(1),
          data: data.slice(0, size),
        };
        draft.tensors.set(name, first);
        if (shape[0] !== 1) {
          draft.tensors.set(`batch.${name}`, { dtype, shape, data });
        }
      }
      continue;
    }
    let values = Float32Array.from(data as Float64Array);
    if (isSeed && last.includes("c_attn")) {
      values = headFirst(values, { nEmbd, nHead });
    }
    const quantity = last === "leak" ? "correct.leak" : last;
    const theirs = per + (isParameter.test(last) ? nameOf(last) : quantity);
    const prefix = dtype === "F64" ? "ref64." : "";
    draft.tensors.set(prefix + theirs, { dtype: "F32", shape, data: values });
  }
  const { nHidden, maskValue: _, position, ...others } = config;
  draft.metadata["config"] = JSON.stringify({
    ...Object.fromEntries(
      Object.entries(others).map(([key, value]) => [
        key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
        value,
      ]),
    ),
    [isSeed ? "mlp_dim" : "n_hidden"]: nHidden,
    position: position === "rope" ? "rope-interleaved" : position,
  });
  if (metadata["leakShift"] !== undefined) {
    draft.metadata["leak_replacement"] = `token j -> (token + ${
      metadata["leakShift"]
    }) mod vocab_size`;
  }
  if (metadata["training"] !== undefined) {
    const { config } = JSON.parse(metadata["training"]);
    draft.metadata["optimizer"] = JSON.stringify({
      type: "AdamW",
      lr: config.learningRate,
      betas: [config.beta1, config.beta2],
      eps: config.eps,
      ["weight_decay"]: config.weightDecay,
      ["clip_norm"]: config.gradClip,
    });
  }
  return draft;
}

/** Rows (part, head, d) as (head, part, d). */
function headFirst(
  values: Float32Array,
  { nEmbd: C, nHead }: { nEmbd: number; nHead: number },
): Float32Array<ArrayBuffer> {
  const [HS, width] = [C / nHead, values.length / (3 * C)];
  return Float32Array.from(values, (_, i) => {
    const [row, column] = [Math.floor(i / width), i % width];
    const [head, part] = [Math.floor(row / (3 * HS)), Math.floor(row / HS) % 3];
    return values[(part * C + head * HS + row % HS) * width + column]!;
  });
}

function bytesOf({ tensors, metadata }: Draft): Uint8Array {
  return encodeSafetensors(tensors, metadata);
}

const accepted = [
  ["base", "own"],
  ["modern", "own"],
  ["llama-like", "own"],
  ["attention-gqa", "own"],
  ["steps-adamw", "own"],
  ["decoding-original", "seed"],
] as const;

for (const [name, model] of accepted) {
  Deno.test(`Verify accepts ${name} in the older format, model ${model}`, async () => {
    await using backend = openReference();
    const count = (await assertVerified(name, bytesOf(draftOf(name)), backend))
      .report.checks.length;
    const draft = older(name, model);
    const { report } = await assertVerified(name, bytesOf(draft), backend);
    // Nothing is lost on the way.
    assert(report.checks.length >= count, `${report.checks.length} < ${count}`);
  });
}

Deno.test("Verify compares float32, rounded and decimal numbers of the older format, each by its own tolerance", async () => {
  await using backend = openReference();
  const draft = older("base", "own");
  const loss = draft.tensors.get("ref64.loss")!;
  draft.tensors.set("loss", loss);
  const exact = draftOf("base").tensors.get("loss")!.data[0]!;
  draft.metadata["ref64.loss"] = String(exact);
  draft.metadata["loss"] = String(loss.data[0]);
  const { report } = await assertVerified("base", bytesOf(draft), backend);
  const losses = report.checks.filter(({ quantity }) =>
    quantity.endsWith("loss")
  );
  assertEquals(
    losses.map(({ quantity, tolerance }) => [quantity, tolerance.limit]),
    [["loss", 1e-6], ["ref64.loss", 1e-9]],
  );
  draft.metadata["ref64.loss"] = String(Number(exact) * (1 + 1e-6));
  const { notUnderstood } = await verifyFile(bytesOf(draft), backend);
  assertStringIncludes(notUnderstood ?? "", "tensor ref64.loss is");
});

/** What makes a file one that cannot be judged, and what of it the reason names. */
const oddities: readonly (readonly [
  name: string,
  file: readonly [name: string, model: "seed" | "own"],
  change: (draft: Draft) => void,
  reason: string,
])[] = [
  [
    "an unknown model",
    ["base", "own"],
    (draft) => draft.metadata["model"] = "gpt5",
    'metadata model is "gpt5"',
  ],
  [
    "no model",
    ["base", "own"],
    (draft) => delete draft.metadata["model"],
    "metadata model is missing",
  ],
  [
    "an unknown tensor",
    ["mlp-relu", "own"],
    ({ tensors }) => tensors.set("hidden", tensors.get("ref64.loss")!),
    "tensor hidden",
  ],
  [
    "a parameter missing",
    ["base", "own"],
    ({ tensors }) => tensors.delete("transformer.ln_f.weight"),
    "tensor ln_f.weight is missing",
  ],
  [
    "an unknown config field",
    ["base", "own"],
    (draft) => patch(draft, "config", { ["sliding_window"]: 4 }),
    "slidingWindow",
  ],
  [
    "an unknown config value",
    ["base", "own"],
    (draft) => patch(draft, "config", { position: "xpos" }),
    '"xpos"',
  ],
  [
    "an unknown packing of qkv",
    ["decoding-original", "seed"],
    (draft) => patch(draft, "config", { ["qkv_layout"]: "[d, q]" }),
    "config.qkv_layout",
  ],
  [
    "another eps of its norms",
    ["norm-rmsnorm", "own"],
    (draft) => patch(draft, "config", { ["layernorm_eps"]: 1e-6 }),
    "config.layernorm_eps is 0.000001, not 0.00001",
  ],
  [
    "dropout",
    ["base", "own"],
    (draft) => patch(draft, "config", { dropout: 0.1 }),
    "dropout is 0.1",
  ],
  [
    "two forms of GELU",
    ["mlp-gelu-tanh", "own"],
    (draft) => patch(draft, "config", { gelu: "erf" }),
    "config.gelu",
  ],
  [
    "sequences longer than the context",
    ["position-alibi", "own"],
    (draft) => patch(draft, "config", { ["block_size"]: 6 }),
    "sequences of 7 are longer than blockSize (6)",
  ],
  [
    "another optimizer",
    ["steps-adamw", "own"],
    (draft) => patch(draft, "optimizer", { type: "Lion" }),
    'optimizer.type is "Lion"',
  ],
  [
    "an optimizer with a field more",
    ["steps-adamw", "own"],
    (draft) => patch(draft, "optimizer", { amsgrad: true }),
    "optimizer.amsgrad",
  ],
  [
    "decay of some matrices",
    ["steps-adamw", "own"],
    (draft) => {
      const names = [...draft.tensors.keys()].filter((name) =>
        name.startsWith("transformer.")
      );
      const decay = names.filter((name) =>
        draft.tensors.get(name)!.shape.length === 2 && !name.includes("wte")
      );
      patch(draft, "optimizer", {
        ["decay_params"]: decay,
        ["no_decay_params"]: names.filter((name) => !decay.includes(name)),
      });
    },
    "leaves out transformer.wte.weight",
  ],
  [
    "steps without an optimizer",
    ["steps-adamw", "own"],
    (draft) => delete draft.metadata["optimizer"],
    "metadata optimizer",
  ],
  [
    "another cache layout",
    ["decoding-original", "seed"],
    (draft) => draft.metadata["cache_layout"] = "[B, T, head, head_dim]",
    "metadata cache_layout",
  ],
  [
    "another bug",
    ["base", "own"],
    (draft) => draft.metadata["bug"] = "no mask",
    'metadata bug is "no mask"',
  ],
];

for (const [name, [file, model], change, reason] of oddities) {
  Deno.test(`Verify refuses a file in the older format with ${name}`, async () => {
    await using backend = openReference();
    const draft = older(file, model);
    change(draft);
    const { passed, notUnderstood } = await verifyFile(bytesOf(draft), backend);
    assert(!passed);
    assertStringIncludes(notUnderstood ?? "it was understood", reason);
    assertEquals(backend.allocatedBytes, 0, "memory is left behind");
  });
}

/** Recordings of other implementations in the older format, outside of this repository. */
const outside = new URL("../../../shared/golden/", import.meta.url);
const names = await namesIn(outside);

async function namesIn(folder: URL): Promise<string[]> {
  try {
    const entries = await Array.fromAsync(Deno.readDir(folder));
    return entries.map(({ name }) => name)
      .filter((name) => name.endsWith(".safetensors")).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

Deno.test({
  name: `Verify accepts all ${names.length} recordings in ../shared/golden${
    names.length === 0 ? " (skipped: there are none)" : ""
  }`,
  ignore: names.length === 0,
  fn: async (test) => {
    await using exact = openReference();
    await using rounded = openFaulty();
    for (const name of names) {
      await test.step(name, async () => {
        const bytes = await Deno.readFile(new URL(name, outside));
        await assertVerified(name, bytes, exact);
        await assertVerified(name, bytes, rounded);
      });
    }
  },
});

/** Recordings in ../shared/golden and tensors in them, one of each kind. */
const records: Readonly<Record<string, readonly string[]>> = {
  "maskbug": ["tokens", "bug.logits", "ref64.correct.loss", "bug.leak"],
  "nanogpt-steps": ["batch.targets", "ref64.step10.transformer.wpe.weight"],
  "pos-alibi": ["slopes", "slopes.n13", "bias", "ref64.logits"],
  "rope": ["positions.offset37", "inv_freq", "half.dk", "sin"],
  "sampler": ["topk.k5.t0.9.keepties", "topp.p0.5.t1.0.count", "softmax.t1.0"],
  "seed-kvcache": ["sequence", "ref64.full_logits", "cache.1.v"],
  "var-gqa": ["ref64.grad_norms_per_param"],
};

for (const [file, tensors] of Object.entries(records)) {
  const isThere = names.includes(`${file}.safetensors`);
  Deno.test({
    name: `Verify catches one wrong number in ../shared/golden's ${file}${
      isThere ? "" : " (skipped: it is not there)"
    }`,
    ignore: !isThere,
    fn: async () => {
      await using backend = openFaulty();
      for (const name of tensors) {
        const draft = draftOf(file, outside);
        corrupt(draft, name);
        const { passed } = await verifyFile(bytesOf(draft), backend);
        assert(!passed, `${name} was corrupted, and nothing missed`);
      }
    },
  });
}

/** Changes one finite element by a hundredth of the largest (after ten steps, by the largest), or a token. */
function corrupt({ tensors }: Draft, name: string): void {
  const tensor = tensors.get(name)!;
  const data = Float64Array.from(tensor.data as Float32Array);
  const share = name.includes("step10") ? 1 : 0.01;
  data[0]! += tensor.dtype === "I32"
    ? 1
    : share * Math.max(...data.map(Math.abs));
  tensors.set(name, {
    ...tensor,
    data: tensor.dtype === "I32"
      ? Int32Array.from(data)
      : Float32Array.from(data),
  } as TensorData);
}
