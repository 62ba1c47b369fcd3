/**
 * That the checker of recorded runs can fail: common mistakes in an implementation
 * and wrong numbers in a file are each caught, by float32's tolerances.
 */

import { assert, assertEquals } from "@std/assert";
import type { TensorData } from "../../lib/formats/safetensors.ts";
import { passes } from "../../tools/verify/comparison.ts";
import { verifyFile } from "../../tools/verify/verify_file.ts";
import { type Mistake, wrongDims } from "../../lib/checks/mistakes.ts";
import { openFaulty } from "../fixtures/faulty_backend.ts";
import {
  assertVerified,
  type Draft,
  goldenFile,
  rewritten,
} from "../fixtures/golden_files.ts";

/** A mistake, a recording that shows it, and a quantity in which it shows. */
interface Trap {
  readonly name: string;
  readonly file: string;
  readonly shows: string;
  readonly mistake: Mistake;
}

const attention = /^attention/;

const traps: readonly Trap[] = [
  {
    name: "GELU by tanh in place of erf",
    file: "nanogpt-tiny",
    shows: "logits",
    mistake: wrongDims(/^activation/, () => ({ kind: "geluTanh" })),
  },
  {
    name: "GELU by erf in place of tanh",
    file: "seed-tiny",
    shows: "logits",
    mistake: wrongDims(/^activation/, () => ({ kind: "gelu" })),
  },
  {
    name: "the derivative of another activation",
    file: "nanogpt-tiny",
    shows: "grad",
    mistake: wrongDims(/^activationBackward/, () => ({ kind: "geluTanh" })),
  },
  {
    name: "layer norm's eps 1e-6",
    file: "nanogpt-tiny",
    shows: "logits",
    mistake: wrongDims(/^norm$/, () => ({ eps: 1e-6 })),
  },
  {
    name: "RMS norm's eps 1e-6",
    file: "var-rmsnorm",
    shows: "logits",
    mistake: wrongDims(/^norm$/, () => ({ eps: 1e-6 })),
  },
  {
    name: "scores without their scale",
    file: "nanogpt-tiny",
    shows: "logits",
    mistake: wrongDims(attention, () => ({ scale: 1 })),
  },
  {
    name: "scores scaled where they are not",
    file: "var-noscale",
    shows: "logits",
    mistake: wrongDims(attention, () => ({ scale: 1 / Math.sqrt(8) })),
  },
  {
    name: "masked scores 0 in place of -inf",
    file: "nanogpt-tiny",
    shows: "logits",
    mistake: wrongDims(attention, () => ({ mask: "zeroed" })),
  },
  {
    name: "no mask",
    file: "maskbug",
    shows: "correct.leak, from the future",
    mistake: wrongDims(attention, ({ mask }) => ({
      mask: mask === "causal" ? "none" : mask,
    })),
  },
  {
    name: "a mask that masks where it should only zero",
    file: "maskbug",
    shows: "bug.leak",
    mistake: wrongDims(attention, () => ({ mask: "causal" })),
  },
  {
    name: "RoPE with neighbours paired in place of halves",
    file: "pos-rope-half",
    shows: "logits",
    mistake: wrongDims(/^rope$/, () => ({ interleaved: true })),
  },
  {
    name: "RoPE with halves paired in place of neighbours",
    file: "rope",
    shows: "interleaved.q_out",
    mistake: wrongDims(/^rope$/, () => ({ interleaved: false })),
  },
  {
    name: "RoPE's gradient turned the wrong way",
    file: "rope",
    shows: "half.dq",
    mistake: wrongDims(/^rope$/, () => ({ inverse: false })),
  },
  {
    name: "RoPE that forgets where a sequence starts",
    file: "rope",
    shows: "half.q_out.offset37",
    mistake: {
      write: (name, data) => name === "start" ? [0, 0] : data,
    },
  },
  {
    name: "ALiBi left out",
    file: "pos-alibi",
    shows: "logits",
    mistake: wrongDims(attention, () => ({ slopes: [] })),
  },
  {
    name: "ALiBi with the slopes of the next head",
    file: "pos-alibi",
    shows: "logits",
    mistake: wrongDims(attention, ({ slopes }) => ({
      slopes: (slopes as number[]).map((slope) => slope / 4),
    })),
  },
  {
    name: "the softcap ignored",
    file: "var-modern",
    shows: "logits",
    mistake: wrongDims(/^softcap/, () => ({ cap: 1e6 })),
  },
  {
    name: "query-key norm with another eps",
    file: "var-qknorm",
    shows: "logits",
    mistake: wrongDims(/^qkNorm/, () => ({ eps: 1e-3 })),
  },
  {
    name: "label smoothing ignored",
    file: "var-smoothing",
    shows: "loss",
    mistake: wrongDims(/^crossEntropy/, () => ({ smoothing: 0 })),
  },
  {
    name: "the gradient of a sum in place of a mean",
    file: "seed-tiny",
    shows: "grad",
    mistake: wrongDims(/^crossEntropy/, () => ({ gradientScale: 1 })),
  },
  {
    name: "no clipping",
    file: "nanogpt-steps",
    shows: "losses",
    mistake: wrongDims(/^clip$/, () => ({ maxNorm: 0 })),
  },
  {
    name: "no decay",
    file: "nanogpt-steps",
    shows: "step10",
    mistake: wrongDims(/^adamw$/, () => ({ weightDecay: 0 })),
  },
  {
    name: "decay of vectors too",
    file: "nanogpt-steps",
    shows: "step10",
    mistake: wrongDims(/^adamw$/, ({ n }) => ({ decayed: n })),
  },
  {
    name: "decay of matrices only",
    file: "seed-tiny",
    shows: "step1",
    mistake: wrongDims(/^adamw$/, () => ({ decayed: 128 * 32 })),
  },
  {
    name: "another eps in AdamW",
    file: "nanogpt-steps",
    shows: "step10",
    mistake: wrongDims(/^adamw$/, () => ({ eps: 1e-7 })),
  },
  {
    name: "another beta2",
    file: "nanogpt-steps",
    shows: "step10",
    mistake: wrongDims(/^adamw$/, () => ({ beta2: 0.999 })),
  },
  {
    name: "no bias correction",
    file: "seed-tiny",
    shows: "step1",
    mistake: {
      write: (name, data) => name === "schedule" ? [data[0]!, 1, 1] : data,
    },
  },
  {
    name: "moments corrected by the wrong step",
    file: "nanogpt-steps",
    shows: "losses",
    mistake: {
      write: (name, data) =>
        name === "schedule" ? [data[0]!, 1 - 0.9, 1 - 0.99] : data,
    },
  },
  {
    name: "cached attention to tokens that have yet to come",
    file: "seed-kvcache",
    shows: "step_logits, prompt at once",
    mistake: wrongDims(/^attentionCached$/, () => ({ mask: "none" })),
  },
  {
    name: "decoding at the position before",
    file: "seed-kvcache",
    shows: "cache, token by token",
    mistake: {
      write: (name, data) =>
        name === "start"
          ? Array.from(data, (start) => Math.max(0, start - 1))
          : data,
    },
  },
];

for (const { name, file, shows, mistake } of traps) {
  Deno.test(`Verify catches ${name}`, async () => {
    await using backend = openFaulty(mistake);
    const { report, notUnderstood, passed } = await verifyFile(
      goldenFile(file),
      backend,
    );
    assertEquals(notUnderstood, undefined);
    assert(!passed);
    const missed = report.checks.filter((check) => !passes(check))
      .map(({ quantity }) => quantity);
    assert(missed.includes(shows), `missed are ${missed.join(", ")}`);
  });
}

Deno.test("Verify finds no mistake in a backend without one, by float32's tolerances", async () => {
  await using backend = openFaulty();
  for (const file of new Set(traps.map(({ file }) => file))) {
    await assertVerified(file, goldenFile(file), backend);
  }
});

/**
 * One element of a tensor changed by a hundredth of the largest, or a token exchanged for its neighbour.
 * After ten steps of AdamW float32 leaves no single element sure to better than the steps are long.
 */
function corrupt({ tensors }: Draft, name: string): void {
  const { dtype, shape, data } = tensors.get(name)!;
  if (dtype === "I32") {
    const changed = data.slice();
    changed[0] = changed[0]! === 0 ? 1 : changed[0]! - 1;
    tensors.set(name, { dtype, shape, data: changed });
    return;
  }
  const changed = Float32Array.from(data as Float32Array);
  const finite = changed.filter(Number.isFinite).map(Math.abs);
  const index = changed.findIndex(Number.isFinite);
  const share = name.includes("step10") ? 1 : 0.01;
  changed[index]! += share * Math.max(...finite) || 1;
  tensors.set(name, { dtype: "F32", shape, data: changed } as TensorData);
}

/** Recordings, and which of their tensors to corrupt in turn: one of each kind, or all. */
const records: readonly (readonly [file: string, tensors: RegExp])[] = [
  ["rope", /./],
  ["sampler", /./],
  ["maskbug", /^(tokens|targets|_lm_head\.bias|(ref64\.)?(correct|bug)\..*)$/],
  [
    "seed-kvcache",
    /^(prompt|generated|_transformer\._ln\.bias|.*logits|cache.*)$/,
  ],
  ["pos-alibi", /^(tokens|logits|loss|slopes|slopes\.n13|bias|ref64\.l.*)$/],
  ["pos-sinusoidal", /^pe$/],
  [
    "seed-tiny",
    /^(tokens|batch\..*|(ref64\.)?(logits|loss|losses|grad_norms|(grad\.|step1\.)?_transformer\._blocks\.1\._attention\._qkv\.bias))$/,
  ],
  ["nanogpt-steps", /^((ref64\.)?step10?\.transformer\.wpe\.weight)$/],
  ["var-llama-like", /^(ref64\..*|grad\.transformer\.h\.0\.mlp\.c_gate.*)$/],
];

for (const [file, pattern] of records) {
  Deno.test(`Verify catches one wrong number in any kind of tensor of ${file}`, async () => {
    await using backend = openFaulty();
    const names: string[] = [];
    rewritten(file, ({ tensors }) => names.push(...tensors.keys()));
    const tried = names.filter((name) => pattern.test(name));
    assert(tried.length > 0);
    for (const name of tried) {
      const bytes = rewritten(file, (draft) => corrupt(draft, name));
      const { passed } = await verifyFile(bytes, backend);
      assert(!passed, `${name} was corrupted, and nothing missed`);
    }
  });
}

Deno.test("Verify does not take NaN for agreement", async () => {
  await using backend = openFaulty();
  const bytes = rewritten("var-relu", ({ tensors }) => {
    const logits = tensors.get("logits")!;
    (logits.data as Float32Array).fill(NaN);
  });
  assert(!(await verifyFile(bytes, backend)).passed);
  await using broken = openFaulty(
    wrongDims(attention, () => ({ scale: NaN })),
  );
  assert(!(await verifyFile(goldenFile("var-relu"), broken)).passed);
});
