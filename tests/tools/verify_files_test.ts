/**
 * Which files the checker of recorded runs accepts: parts of recordings, and nothing
 * that it would have to ignore.
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { openReference } from "../../lib/backends/reference.ts";
import { Model } from "../../lib/model/model.ts";
import type { TensorData } from "../../lib/formats/safetensors.ts";
import { type Outcome, verifyFile } from "../../tools/verify/verify_file.ts";
import {
  assertVerified,
  type Draft,
  goldenFile,
  patch,
  rewritten,
} from "../fixtures/golden_files.ts";

const parameter = /^(_|transformer\.)/;

/** Keeps parameters and the tensors and metadata whose names match. */
function keep({ tensors, metadata }: Draft, pattern: RegExp): void {
  for (const name of tensors.keys()) {
    if (!parameter.test(name) && !pattern.test(name)) tensors.delete(name);
  }
  for (const name of Object.keys(metadata)) {
    const isQuantity = /loss|norm/.test(name);
    if (isQuantity && !pattern.test(name)) delete metadata[name];
  }
}

function floats(shape: number[], data: Float32Array): TensorData {
  return { dtype: "F32", shape, data };
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
    file: "pos-rope-half",
    change: (draft) => keep(draft, /^(tokens|logits)$/),
    compared: ["logits"],
  },
  {
    name: "the last position's logits",
    file: "nanogpt-nobias", // (3, 11, 65)
    change: (draft) => {
      const { data } = draft.tensors.get("logits")!;
      keep(draft, /^tokens$/);
      const last = (data as Float32Array).filter((_, i) =>
        Math.floor(i / 65) % 11 === 10
      );
      draft.tensors.set("last_logits", floats([3, 65], last));
    },
    compared: ["last_logits"],
  },
  {
    name: "float64 records alone",
    file: "seed-tiny",
    change: (draft) => keep(draft, /^(tokens|targets|batch\..*|ref64\..*)$/),
    compared: ["ref64.logits", "ref64.losses", "ref64.step1"],
  },
  {
    name: "gradient norms in place of gradients",
    file: "var-gqa",
    change: (draft) =>
      keep(draft, /^(tokens|targets|ref64\.grad_norms_per_param)$/),
    compared: ["ref64.grad_norms_per_param"],
  },
  {
    name: "parameters after steps whose losses are not recorded",
    file: "nanogpt-steps",
    change: (draft) => keep(draft, /^(batch\..*|step10\..*)$/),
    compared: ["step10", "step10, any element"],
  },
  {
    name: "three batches in place of ten",
    file: "seed-tiny-nosmooth",
    change: (draft) => {
      keep(draft, /^(batch\..*|losses)$/);
      delete draft.metadata["losses"];
      const losses = draft.tensors.get("losses")!.data as Float32Array;
      draft.tensors.set("losses", floats([3], losses.slice(0, 3)));
      for (const name of ["batch.tokens", "batch.targets"]) {
        const data = draft.tensors.get(name)!.data as Int32Array;
        const shape = [3, 2, 16];
        draft.tensors.set(name, {
          dtype: "I32",
          shape,
          data: data.slice(0, 3 * 2 * 16),
        });
      }
    },
    compared: ["losses"],
  },
  {
    name: "one step on the only batch",
    file: "nanogpt-tiny",
    change: (draft) => keep(draft, /^(tokens|targets|step1\..*)$/),
    compared: ["step1", "step1, any element"],
  },
  {
    name: "no list of gradients that are zero",
    file: "seed-tiny",
    change: ({ metadata }) => delete metadata["zero_grad_by_symmetry"],
    compared: ["grad, zero by symmetry", "ref64.step1"],
  },
  {
    name: "generated text without caches",
    file: "seed-kvcache",
    change: (draft) => keep(draft, /^(prompt|generated)$/),
    compared: ["generated, behind the best logit", "generated"],
  },
  {
    name: "rotations without tables",
    file: "rope",
    change: ({ tensors }) => {
      for (const name of tensors.keys()) {
        if (/^(positions|cos|sin|inv)/.test(name)) tensors.delete(name);
      }
    },
    compared: ["half.q_out.offset37", "interleaved.dk"],
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

/** What makes a file one that cannot be judged, and what of it the reason names. */
const oddities: readonly (readonly [
  name: string,
  file: string,
  change: (draft: Draft) => void,
  reason: string,
])[] = [
  [
    "an unknown model",
    "seed-tiny",
    (draft) => draft.metadata["model"] = "gpt5",
    'metadata model is "gpt5"',
  ],
  [
    "no model",
    "seed-tiny",
    (draft) => delete draft.metadata["model"],
    "metadata model is missing",
  ],
  [
    "an unknown tensor",
    "var-relu",
    (draft) => draft.tensors.set("hidden", floats([1], Float32Array.of(1))),
    "tensor hidden",
  ],
  [
    "a parameter of another model",
    "var-relu",
    (draft) => {
      const { data, shape } = draft.tensors.get("transformer.ln_f.bias")!;
      draft.tensors.set(
        "transformer.h.2.ln_1.bias",
        floats([...shape], data as Float32Array),
      );
    },
    "tensor transformer.h.2.ln_1.bias",
  ],
  [
    "a parameter missing",
    "nanogpt-tiny",
    (draft) => draft.tensors.delete("transformer.ln_f.weight"),
    "tensor transformer.ln_f.weight is missing",
  ],
  [
    "a parameter of another shape",
    "nanogpt-tiny",
    (draft) => patch(draft, "config", { n_embd: 64 }),
    "has shape [65,32], not [65,64]",
  ],
  [
    "an unknown config field",
    "var-gqa",
    (draft) => patch(draft, "config", { sliding_window: 4 }),
    "config.sliding_window",
  ],
  [
    "an unknown config value",
    "var-gqa",
    (draft) => patch(draft, "config", { position: "xpos" }),
    'config.position is "xpos"',
  ],
  [
    "an unknown packing of qkv",
    "seed-tiny",
    (draft) => patch(draft, "config", { qkv_layout: "[d, q]" }),
    "config.qkv_layout",
  ],
  [
    "another eps of its norms",
    "var-rmsnorm",
    (draft) => patch(draft, "config", { layernorm_eps: 1e-6 }),
    "config.layernorm_eps is 0.000001, not 0.00001",
  ],
  [
    "dropout",
    "nanogpt-tiny",
    (draft) => patch(draft, "config", { dropout: 0.1 }),
    "config.dropout",
  ],
  [
    "two forms of GELU",
    "var-gelu-tanh",
    (draft) => patch(draft, "config", { gelu: "erf" }),
    "config.gelu",
  ],
  [
    "heads that do not divide the width",
    "nanogpt-tiny",
    (draft) => patch(draft, "config", { n_head: 5 }),
    "nEmbd (32) is not a multiple of nHead (5)",
  ],
  [
    "more layers than tensors",
    "nanogpt-tiny",
    (draft) => patch(draft, "config", { n_layer: 1000 }),
    "n_layer is 1000",
  ],
  [
    "sequences longer than the context",
    "nanogpt-tiny",
    (draft) => patch(draft, "config", { block_size: 8 }),
    "sequences of 16 are longer than block_size (8)",
  ],
  [
    "a token outside of the vocabulary",
    "var-relu",
    (draft) => (draft.tensors.get("tokens")!.data as Int32Array)[3] = 65,
    "tensor tokens holds 65",
  ],
  [
    "another optimizer",
    "seed-tiny",
    (draft) => patch(draft, "optimizer", { type: "Lion" }),
    'optimizer.type is "Lion"',
  ],
  [
    "an optimizer with a field more",
    "seed-tiny",
    (draft) => patch(draft, "optimizer", { amsgrad: true }),
    "optimizer.amsgrad",
  ],
  [
    "decay of some matrices",
    "nanogpt-tiny",
    (draft) => {
      const { decay_params: decay, no_decay_params: others } = JSON.parse(
        draft.metadata["optimizer"]!,
      );
      patch(draft, "optimizer", {
        decay_params: decay.slice(1),
        no_decay_params: [...others, decay[0]],
      });
    },
    "leaves out transformer.wte.weight",
  ],
  [
    "steps without an optimizer",
    "seed-tiny",
    (draft) => delete draft.metadata["optimizer"],
    "metadata optimizer is missing",
  ],
  [
    "more losses than batches",
    "nanogpt-tiny",
    (draft) => {
      draft.tensors.delete("batch.tokens");
      draft.tensors.delete("batch.targets");
    },
    "10 optimizer steps, and 1 batches",
  ],
  [
    "gradient norms in no order",
    "var-gqa",
    (draft) => delete draft.metadata["param_order"],
    "param_order is missing",
  ],
  [
    "zero gradients beyond the tensor",
    "seed-tiny",
    (draft) =>
      patch(draft, "zero_grad_by_symmetry", { "_lm_head.bias": [128] }),
    "holds 128, and there are 128 elements",
  ],
  [
    "another bug",
    "maskbug",
    (draft) => draft.metadata["bug"] = "no mask",
    'metadata bug is "no mask"',
  ],
  [
    "another cache layout",
    "seed-kvcache",
    (draft) => draft.metadata["cache_layout"] = "[B, T, head, head_dim]",
    "metadata cache_layout",
  ],
  [
    "an unknown field of a sampler's setting",
    "sampler",
    (draft) => {
      const topk = JSON.parse(draft.metadata["topk"]!);
      topk[0].typical = 0.5;
      draft.metadata["topk"] = JSON.stringify(topk);
    },
    "topk[0].typical",
  ],
  [
    "rotations at an offset that is not recorded",
    "rope",
    (draft) => patch(draft, "config", { offset: 5 }),
    "config.offset is 5",
  ],
  [
    "nothing to compare",
    "var-relu",
    (draft) => keep(draft, /^tokens$/),
    "it holds nothing to compare",
  ],
  [
    "metadata that is not JSON",
    "var-relu",
    (draft) => draft.metadata["config"] = "{",
    "metadata config is not JSON",
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

Deno.test("Verify refuses files of other kinds", async () => {
  await using backend = openReference();
  const text = new TextEncoder().encode("To be, or not to be");
  assertRefused(await verifyFile(text, backend), "Cannot read safetensors");
  const torn = goldenFile("rope").subarray(0, 5000);
  assertRefused(await verifyFile(torn, backend), "Cannot read safetensors");
  await using model = await Model.create(
    { vocabSize: 5, blockSize: 2, nLayer: 1, nHead: 1, nEmbd: 4 },
    { backend },
  );
  const checkpoint = await model.save();
  assertRefused(await verifyFile(checkpoint, backend), "wte.weight is F64");
});
