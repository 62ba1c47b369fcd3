/** The reference backend against recorded PyTorch runs; see `tools/record/README.md`. */

import { assert, assertEquals } from "@std/assert";
import { openReference } from "../lib/backends/reference.ts";
import { modelConfig, modelFields } from "../lib/config/model.ts";
import { trainFields } from "../lib/config/train.ts";
import {
  assertVerified,
  draftOf,
  goldenFile,
  goldenNames,
} from "./fixtures/golden_files.ts";

/** Fields that PyTorch cannot show: its dropout draws other numbers, initial values are recorded, and it stores float16 elsewhere. */
const exempt = ["dropout", "init", "precision"];

Deno.test("Golden runs have every choice of every field of a model, and every optimizer, schedule and decay", () => {
  const drafts = goldenNames.map((name) => draftOf(name).metadata)
    .filter(({ kind }) => kind === "model");
  const models = drafts.map(({ config }) => modelConfig(JSON.parse(config!)));
  const trainings = drafts.filter(({ training }) => training !== undefined)
    .map(({ training }) => JSON.parse(training!).config);
  for (
    const [fields, configs] of [
      [modelFields, models],
      [trainFields, trainings],
    ] as const
  ) {
    for (const [field, { type, choices = [true, false] }] of fields) {
      if (exempt.includes(field)) continue;
      const seen = new Set(configs.map((config) => config[field]));
      if (type === "choice" || type === "boolean") {
        const unseen = choices.filter((choice) => !seen.has(choice));
        assertEquals(unseen, [], `no recording has ${field} ${unseen}`);
      } else if (fields === modelFields && type.startsWith("number")) {
        assert(seen.size > 1, `all recordings have ${field} ${[...seen]}`);
      }
    }
  }
});

for (const name of goldenNames) {
  Deno.test(`Reference agrees with the recorded run ${name}`, async () => {
    await using backend = openReference();
    await assertVerified(name, goldenFile(name), backend);
    assertEquals(backend.allocatedBytes, 0, "memory is left behind");
  });
}
