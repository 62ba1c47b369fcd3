/** Memory of a model on a backend that it shares with others. */

import { assertEquals, assertGreater, assertRejects } from "@std/assert";
import { openReference } from "../../lib/backends/reference.ts";
import { Model } from "../../lib/model/model.ts";
import { openFaulty } from "../fixtures/faulty_backend.ts";
import { randomIds, variant } from "../../lib/checks/variants.ts";

const { config } = variant("nanoGPT");
const shape = { B: 1, T: 4 };
const tokens = randomIds(4, config);

Deno.test("Model frees all its memory on a shared backend", async () => {
  await using backend = openReference();
  {
    await using model = await Model.create(config, { backend });
    await model.forward(tokens, shape);
    await model.forward(tokens, { B: 2, T: 2 });
    assertGreater(backend.allocatedBytes, 8 * model.parameterCount);
  }
  assertEquals(backend.allocatedBytes, 0);
});

Deno.test("Model refuses all work after it was disposed, even if its backend is open", async () => {
  await using backend = openReference();
  const model = await Model.create(config, { backend });
  const generation = model.generate([1], { maxNewTokens: 9 });
  await generation.next();
  await model[Symbol.asyncDispose]();
  const refused = [
    () => model.forward(tokens, shape),
    () => model.save(),
    () => Array.fromAsync(model.generate([1])),
  ];
  for (const use of refused) {
    await assertRejects(use, TypeError, "Cannot use model: it was disposed");
  }
  await generation.return();
  assertEquals(backend.allocatedBytes, 0);
});

Deno.test("Model that cannot be compiled gives the reason, and can be disposed", async () => {
  await using backend = openFaulty({
    dispatch: () => {
      throw new RangeError("Cannot lower: no such kernel");
    },
  });
  await assertRejects(
    async () => {
      await using model = await Model.create(config, { backend });
      await model.forward(tokens, shape);
    },
    RangeError,
    "no such kernel",
  );
});

Deno.test("Model.load frees its memory if the tensors do not fit", async () => {
  await using backend = openReference();
  await using model = await Model.create(config, { backend });
  const before = backend.allocatedBytes;
  const tensors = await model.parameters();
  tensors.set("wpe.weight", tensors.get("wte.weight")!);
  await assertRejects(
    () => Model.load({ config, tensors }, { backend }),
    RangeError,
    "wpe.weight has shape [7,8], not [6,8]",
  );
  assertEquals(backend.allocatedBytes, before);
});
