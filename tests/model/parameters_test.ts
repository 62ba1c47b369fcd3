import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertThrows,
} from "@std/assert";
import { modelConfig, type ModelOptions } from "../../lib/config/model.ts";
import {
  flopsPerToken,
  initialParameters,
} from "../../lib/model/parameters.ts";
import { parameterLayout } from "../../lib/model/plans.ts";

/** A model's initial values by parameter. */
function initial(options: ModelOptions, seed = 1): Map<string, Float32Array> {
  const layout = parameterLayout(modelConfig(options));
  const flat = initialParameters(layout, seed);
  return new Map(
    layout.entries.map(({ name, offset, length }) => [
      name,
      flat.subarray(offset, offset + length),
    ]),
  );
}

function deviation(values: Float32Array): number {
  const squares = values.reduce((sum, value) => sum + value * value, 0);
  return Math.sqrt(squares / values.length);
}

/** The standard error of an estimated deviation is 1 / sqrt(2n) of it; five of them miss once in a million. */
function assertDeviation(values: Float32Array, expected: number): void {
  const tolerance = 5 * expected / Math.sqrt(2 * values.length);
  assertAlmostEquals(deviation(values), expected, tolerance);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  assertAlmostEquals(mean, 0, 5 * expected / Math.sqrt(values.length));
}

const model = { vocabSize: 65, nLayer: 3, nHead: 4, nEmbd: 64 };

Deno.test("GPT-2's initial values are normal with sd 0.02, output projections divided by sqrt(2 nLayer)", () => {
  const values = initial({ ...model, position: "learned", init: "gpt2" });
  for (const name of ["wte.weight", "wpe.weight", "lm_head.weight"]) {
    assertDeviation(values.get(name)!, 0.02);
  }
  for (const name of ["attn.c_attn", "mlp.c_fc"]) {
    assertDeviation(values.get(`h.2.${name}.weight`)!, 0.02);
  }
  for (const name of ["attn.c_proj", "mlp.c_proj"]) {
    assertDeviation(values.get(`h.2.${name}.weight`)!, 0.02 / Math.sqrt(6));
  }
  for (const [name, value] of values) {
    if (name.endsWith(".bias")) assert(value.every((x) => x === 0), name);
    if (/ln_\w\.weight/.test(name)) assert(value.every((x) => x === 1), name);
  }
});

Deno.test("PyTorch's initial values are uniform in 1 / sqrt(fan in) either way, embeddings standard normal", () => {
  const values = initial({ ...model, nHidden: 256, init: "torch" });
  assertDeviation(values.get("wte.weight")!, 1);
  const fanIn = {
    "h.0.attn.c_attn": 64,
    "h.1.attn.c_proj": 64,
    "h.1.mlp.c_fc": 64,
    "h.2.mlp.c_proj": 256,
    "lm_head": 64,
  };
  for (const [path, nIn] of Object.entries(fanIn)) {
    const bound = 1 / Math.sqrt(nIn);
    for (const kind of ["weight", "bias"]) {
      const value = values.get(`${path}.${kind}`)!;
      assert(value.every((x) => Math.abs(x) <= bound), `${path}.${kind}`);
    }
    const weight = values.get(`${path}.weight`)!;
    assertDeviation(weight, bound / Math.sqrt(3));
    // Of thousands of draws some come within a hundredth of either end.
    assert(Math.max(...weight) > 0.99 * bound, path);
    assert(Math.min(...weight) < -0.99 * bound, path);
  }
});

Deno.test("A parameter has the same initial values in every model that has it, and others with another seed", () => {
  const base = initial(model);
  const variant = initial({ ...model, mlp: "swiglu", position: "learned" });
  const name = "h.1.attn.c_attn.weight";
  assertEquals(variant.get(name), base.get(name));
  assert(variant.get("h.1.mlp.c_gate.weight")![0] !== variant.get(name)![0]);
  assert(initial(model, 2).get(name)![0] !== base.get(name)![0]);
});

Deno.test("A model too large for any memory is refused with its size", () => {
  assertThrows(
    () => initial({ vocabSize: 65, nLayer: 3, nHead: 2, nEmbd: 65536 }),
    RangeError,
    "GiB, more than can be allocated at once",
  );
});

Deno.test("flopsPerToken follows PaLM's rule", () => {
  // 6 for each number of the matrices it is multiplied with, 12 L C T for attention (arXiv 2204.02311, appendix B).
  const [V, C, T, L] = [65, 64, 256, 3];
  const block = 3 * C * C + C * C + 2 * 4 * C * C;
  const flops = (options: Partial<ModelOptions>) => {
    const config = modelConfig({ ...model, blockSize: T, ...options });
    return flopsPerToken(config, parameterLayout(config));
  };
  const whole = 6 * (L * block + V * C) + 12 * L * C * T;
  // What a token only looks up it is not multiplied with.
  assertEquals(flops({ position: "learned", tiedHead: false }), whole);
  assertEquals(flops({ position: "learned", tiedHead: true }), whole);
  assertEquals(flops({ position: "rope", bias: false }), whole);
  assertEquals(
    flops({ attention: false }),
    6 * (L * 8 * C * C + V * C),
  );
});
