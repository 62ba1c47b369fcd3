import { assertEquals, assertStringIncludes } from "@std/assert";
import { batchChecks } from "../../lib/checks/mod.ts";
import { Dataset } from "../../lib/text/dataset.ts";

const shape = { blockSize: 8, batchSize: 2 };

/** Returns the finding about the targets of the validation split. */
async function targetsOf(dataset: Dataset, tokens: Int32Array) {
  const group = batchChecks(dataset, tokens.subarray(0, dataset.size("train")));
  const verdicts = await Array.fromAsync(group.run());
  return verdicts.find(({ check }) => check === "validation targets")!;
}

Deno.test("Targets of a text of any length are the next token, also where it ends within a window", async () => {
  for (let length = 200; length < 220; length++) {
    // No token is 0, which pads the end of a text.
    const tokens = Int32Array.from({ length }, (_, i) => 1 + (i * i) % 7);
    const { status, found } = await targetsOf(
      new Dataset(tokens, shape),
      tokens,
    );
    assertEquals([length, status], [length, "ok"], found);
  }
});

Deno.test("Targets that are not the next token are found", async () => {
  class Shifted extends Dataset {
    override *evalBatches(...args: Parameters<Dataset["evalBatches"]>) {
      for (const batch of super.evalBatches(...args)) {
        yield { ...batch, targets: batch.tokens };
      }
    }
  }
  const tokens = Int32Array.from({ length: 211 }, (_, i) => 1 + (i * i) % 7);
  const verdict = await targetsOf(new Shifted(tokens, shape), tokens);
  assertEquals(verdict.status, "failed");
  assertStringIncludes(verdict.found, "the token at the same position");
});
