import { assert, assertEquals } from "@std/assert";
import { openReference } from "../../lib/backends/reference.ts";
import { openWasm } from "../../lib/backends/wasm/engine.ts";
import { innerValues } from "../../lib/lab/positions/inner_values.ts";
import {
  exactModel,
  exactTokens,
  orderChange,
} from "../../lib/lab/positions/order.ts";
import type { Model } from "../../lib/model/model.ts";
import { registerOrder } from "../suites/positions_order.ts";

registerOrder({
  name: "reference",
  open: () => Promise.resolve(openReference()),
  epsilon: 2 ** -52,
});

registerOrder({
  name: "wasm",
  open: () => openWasm({ threads: 1 }),
  epsilon: 2 ** -23,
});

Deno.test("No sum of the exact model rounds in float32: its numbers are multiples of 1/64 below 2000", async () => {
  await using backend = openReference();
  await using model = await exactModel(backend, {
    ...{ position: "none", mask: "none", nLayer: 2 },
  });
  const T = exactTokens.length;
  const windows = { T, count: 1, tokens: exactTokens, targets: exactTokens };
  const numbers = [...await model.forward(exactTokens, { B: 1, T })];
  for (const inside of ["stream", "attention"] as const) {
    for await (const { values } of innerValues(model, windows, { inside })) {
      for (const all of values.values()) numbers.push(...all);
    }
  }
  for (const number of numbers) {
    assert(
      Number.isInteger(64 * number) && Math.abs(number) < 2000,
      `${number}`,
    );
  }
  assert(new Set(numbers).size > 50, "the model does something");
  assert(numbers.some((number) => !Number.isInteger(8 * number)));
});

Deno.test("A logit that is NaN in one order makes the largest change NaN", async () => {
  const tokens = Int32Array.of(0, 1, 2, 3);
  const model = {
    config: { vocabSize: 2 },
    forward: (ids: Int32Array) =>
      Promise.resolve(
        Float64Array.of(...Array(6).fill(0), ids[0] === 0 ? 1 : NaN, 2),
      ),
  } as unknown as Model;
  assertEquals((await orderChange(model, tokens)).largest, NaN);
});
