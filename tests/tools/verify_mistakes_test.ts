/**
 * That the checker of recorded runs can fail: common mistakes in an implementation
 * and wrong numbers in a file are each caught, by float32's tolerances.
 */

import { assert, assertEquals } from "@std/assert";
import type { TensorData } from "../../lib/formats/safetensors.ts";
import { passes } from "../../tools/verify/comparison.ts";
import { verifyFile } from "../../tools/verify/verify_file.ts";
import type { Mistake } from "../../lib/checks/mistakes.ts";
import type { Dispatch } from "../../lib/graph/plan.ts";
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

/** Returns a mistake that changes the dims of all dispatches whose kernel name matches a pattern. */
function wrongDims(
  kernels: RegExp,
  change: (dims: Record<string, unknown>) => Record<string, unknown>,
): Mistake {
  return {
    dispatch: (dispatch) => {
      if (!kernels.test(dispatch.kernel)) return dispatch;
      const dims: Record<string, unknown> = { ...dispatch.dims };
      return { ...dispatch, dims: { ...dims, ...change(dims) } } as Dispatch;
    },
  };
}

/** Replaces the activation of products, and its derivative. */
function withActivation(kind: string) {
  return ({ activation, slope }: Record<string, unknown>) => ({
    activation: activation && kind,
    slope: slope && kind,
  });
}

const traps: readonly Trap[] = [
  {
    name: "GELU by tanh in place of erf",
    file: "base",
    shows: "logits",
    mistake: wrongDims(/^matmul$/, withActivation("geluTanh")),
  },
  {
    name: "GELU by erf in place of tanh",
    file: "mlp-gelu-tanh",
    shows: "logits",
    mistake: wrongDims(/^matmul$/, withActivation("gelu")),
  },
  {
    name: "the derivative of another activation",
    file: "base",
    shows: "grad",
    mistake: wrongDims(/^matmul$/, ({ slope }) => ({
      slope: slope && "geluTanh",
    })),
  },
  {
    name: "layer norm's eps 1e-6",
    file: "base",
    shows: "logits",
    mistake: wrongDims(/^norm$/, () => ({ eps: 1e-6 })),
  },
  {
    name: "RMS norm's eps 1e-6",
    file: "norm-rmsnorm",
    shows: "logits",
    mistake: wrongDims(/^norm$/, () => ({ eps: 1e-6 })),
  },
  {
    name: "scores without their scale",
    file: "base",
    shows: "logits",
    mistake: wrongDims(attention, () => ({ scale: 1 })),
  },
  {
    name: "scores scaled where they are not",
    file: "attention-noscale",
    shows: "logits",
    mistake: wrongDims(attention, () => ({ scale: 1 / Math.sqrt(4) })),
  },
  {
    name: "masked scores 0 in place of -inf",
    file: "base",
    shows: "logits",
    mistake: wrongDims(attention, () => ({ mask: "zeroed" })),
  },
  {
    name: "no mask",
    file: "base",
    shows: "leak, from the future",
    mistake: wrongDims(attention, ({ mask }) => ({
      mask: mask === "causal" ? "none" : mask,
    })),
  },
  {
    name: "a mask that masks where it should only zero",
    file: "mask-zeroed",
    shows: "leak",
    mistake: wrongDims(attention, () => ({ mask: "causal" })),
  },
  {
    name: "RoPE with neighbours paired in place of halves",
    file: "position-rope-half",
    shows: "logits",
    mistake: wrongDims(/^rope$/, () => ({ interleaved: true })),
  },
  {
    name: "RoPE with halves paired in place of neighbours",
    file: "rotation",
    shows: "q_out",
    mistake: wrongDims(/^rope$/, () => ({ interleaved: false })),
  },
  {
    name: "RoPE's gradient turned the wrong way",
    file: "rotation-half",
    shows: "dq",
    mistake: wrongDims(/^rope$/, () => ({ inverse: false })),
  },
  {
    name: "RoPE that forgets where a sequence starts",
    file: "rotation-half",
    shows: "q_out",
    mistake: {
      write: (name, data) =>
        name === "start" ? Array.from(data, () => 0) : data,
    },
  },
  {
    name: "ALiBi left out",
    file: "position-alibi",
    shows: "logits",
    mistake: wrongDims(attention, () => ({ slopes: [] })),
  },
  {
    name: "ALiBi with the slopes of the next head",
    file: "position-alibi",
    shows: "logits",
    mistake: wrongDims(attention, ({ slopes }) => ({
      slopes: (slopes as number[]).map((slope) => slope / 4),
    })),
  },
  {
    name: "the softcap ignored",
    file: "modern",
    shows: "logits",
    mistake: wrongDims(/^softcap/, () => ({ cap: 1e6 })),
  },
  {
    name: "query-key norm with another eps",
    file: "attention-qknorm",
    shows: "logits",
    mistake: wrongDims(/^qkNorm/, () => ({ eps: 1e-3 })),
  },
  {
    name: "label smoothing ignored",
    file: "loss-smoothing",
    shows: "loss",
    mistake: wrongDims(/^crossEntropy/, () => ({ smoothing: 0 })),
  },
  {
    name: "the gradient of a sum in place of a mean",
    file: "base",
    shows: "grad",
    mistake: wrongDims(/^crossEntropy/, () => ({ gradientScale: 1 })),
  },
  {
    name: "no clipping",
    file: "steps-adamw",
    shows: "losses",
    mistake: wrongDims(/^clip$/, () => ({ maxNorm: 0 })),
  },
  {
    name: "no decay",
    file: "steps-adamw",
    shows: "step10",
    mistake: wrongDims(/^adamw$/, () => ({ weightDecay: 0 })),
  },
  {
    name: "decay of vectors too",
    file: "steps-adamw",
    shows: "step10",
    mistake: wrongDims(/^adamw$/, ({ n }) => ({ decayed: n })),
  },
  {
    name: "decay of matrices only",
    file: "steps-adamw-all",
    shows: "step1",
    mistake: wrongDims(/^adamw$/, () => ({ decayed: 23 * 12 })),
  },
  {
    name: "another eps in AdamW",
    file: "steps-adamw-all",
    shows: "step10",
    mistake: wrongDims(/^adamw$/, () => ({ eps: 1e-8 })),
  },
  {
    name: "another beta2",
    file: "steps-adamw",
    shows: "step10",
    mistake: wrongDims(/^adamw$/, () => ({ beta2: 0.999 })),
  },
  {
    name: "no bias correction",
    file: "steps-adamw-all",
    shows: "step1",
    mistake: {
      write: (name, data) => name === "schedule" ? [data[0]!, 1, 1] : data,
    },
  },
  {
    name: "moments corrected by the wrong step",
    file: "steps-adamw",
    shows: "losses",
    mistake: {
      write: (name, data) =>
        name === "schedule" ? [data[0]!, 1 - 0.9, 1 - 0.99] : data,
    },
  },
  {
    name: "cached attention to tokens that have yet to come",
    file: "decoding-original",
    shows: "step_logits, prompt at once",
    mistake: wrongDims(/^attentionCached$/, () => ({ mask: "none" })),
  },
  {
    name: "decoding at the position before",
    file: "decoding-learned",
    shows: "cache.k, token by token",
    mistake: {
      write: (name, data) =>
        name === "start"
          ? Array.from(data, (start) => Math.max(0, start - 1))
          : data,
    },
  },
  {
    name: "another score for masked keys",
    file: "mask-finite-3",
    shows: "logits",
    mistake: wrongDims(attention, () => ({ maskValue: -1e4 })),
  },
  {
    name: "RoPE's other pairing in decoding",
    file: "decoding-rope-gqa",
    shows: "step_logits, prompt at once",
    mistake: wrongDims(/^rope$/, ({ interleaved }) => ({
      interleaved: !interleaved,
    })),
  },
  {
    name: "a learning rate that never falls",
    file: "steps-adamw-all",
    shows: "step10",
    mistake: {
      write: (name, data) =>
        name === "schedule" ? [1e-3, data[1]!, data[2]!] : data,
    },
  },
  {
    name: "another momentum in SGD",
    file: "steps-sgd",
    shows: "losses",
    mistake: wrongDims(/^momentum$/, () => ({ momentum: 0.95 })),
  },
  {
    name: "SGD that looks ahead",
    file: "steps-sgd",
    shows: "step1",
    mistake: wrongDims(/^momentum$/, () => ({ nesterov: true })),
  },
  {
    name: "Muon that does not look ahead",
    file: "steps-muon",
    shows: "step10",
    mistake: wrongDims(/^momentum$/, () => ({ nesterov: false })),
  },
  {
    name: "Muon's steps of tall matrices not scaled",
    file: "steps-muon",
    shows: "step1",
    mistake: wrongDims(/^descend$/, () => ({ scale: 1 })),
  },
  {
    name: "Muon's iteration with another coefficient",
    file: "steps-muon",
    shows: "step1",
    mistake: wrongDims(/^matmul$/, ({ beta }) => ({
      beta: beta === 3.4445 ? 3.4 : beta,
    })),
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
 * Changes one element of a tensor by a hundredth of the largest, or a token to its neighbour.
 * After ten steps of AdamW float32 leaves no single element sure to better than the steps are long.
 */
function corrupt({ tensors }: Draft, name: string): void {
  const tensor = tensors.get(name)!;
  const data = tensor.data.slice() as Float64Array;
  if (tensor.dtype === "I32") {
    data[0] = data[0]! === 0 ? 1 : data[0]! - 1;
  } else {
    const finite = data.filter(Number.isFinite).map(Math.abs);
    const index = data.findIndex(Number.isFinite);
    const share = name.includes("step10") ? 1 : 0.01;
    data[index]! += share * Math.max(...finite) || 1;
  }
  tensors.set(name, { ...tensor, data } as unknown as TensorData);
}

/** Recordings, and which of their tensors to corrupt in turn: one of each kind, or all. */
const records: readonly (readonly [file: string, tensors: RegExp])[] = [
  ["rotation", /./],
  ["rotation-half", /./],
  ["sampler", /./],
  ["positions", /./],
  ["base", /^(tokens|targets|logits|loss|leak|(grad\.)?h\.1\.attn\..*)$/],
  ["llama-like", /^(grad\.)?h\.0\.mlp\.c_gate\.weight$/],
  ["decoding-learned", /^(prompt|generated|ln_f\.bias|step_logits|cache.*)$/],
  ["steps-adamw", /^(tokens|targets|losses|grad_norms|step\d+\.wpe\.weight)$/],
  ["steps-muon", /^(losses|step1\.h\.0\.mlp\.c_fc\.weight)$/],
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

Deno.test("Verify counts NaN as a miss", async () => {
  await using backend = openFaulty();
  const bytes = rewritten("mlp-relu", ({ tensors }) => {
    const logits = tensors.get("logits")!;
    (logits.data as Float64Array).fill(NaN);
  });
  assert(!(await verifyFile(bytes, backend)).passed);
  await using broken = openFaulty(
    wrongDims(attention, () => ({ scale: NaN })),
  );
  assert(!(await verifyFile(goldenFile("mlp-relu"), broken)).passed);
});
