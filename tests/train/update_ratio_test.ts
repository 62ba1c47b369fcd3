import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { decodeCheckpoint } from "../../lib/formats/checkpoint.ts";
import type { TrainConfig } from "../../lib/config/train.ts";
import type { Numbers } from "../../lib/backends/backend.ts";
import type { TrainEvent } from "../../lib/train/events.ts";
import { layoutParameters } from "../../lib/graph/layout.ts";
import { Graph } from "../../lib/graph/tensor.ts";
import { Model } from "../../lib/model/model.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { updateRatios } from "../../lib/train/update_ratio.ts";
import { dataset, training } from "../suites/model_training.ts";
import { variant } from "../../lib/checks/variants.ts";
import { internalsOf } from "../../lib/model/internals.ts";

Deno.test("Update ratios are the change's norm over the norm before it, of matrices alone", () => {
  const graph = new Graph();
  const init = { kind: "constant", value: 0 } as const;
  for (const name of ["a", "still", "zero"]) {
    graph.parameter(name, [1, 2], init);
  }
  graph.parameter("gain", [2], init);
  const layout = layoutParameters(graph);
  const flat = (values: Record<string, [number, number]>) => {
    const store = new Float64Array(layout.length);
    for (const { name, offset } of layout.entries) {
      store.set(values[name]!, offset);
    }
    return store;
  };
  const { a, ...rest } = updateRatios(layout, {
    before: flat({ a: [3, 4], still: [1, 1], zero: [0, 0], gain: [1, 1] }),
    after: flat({ a: [3.3, 4.4], still: [1, 1], zero: [1, 0], gain: [2, 2] }),
  });
  assertAlmostEquals(a!, 0.1, 1e-12); // 0.5 / 5, and the rounding of 0.3 and 0.4
  assertEquals(rest, { still: 0 });
});

const { config } = variant("modern");

function createModel(): Promise<Model> {
  return Model.create(config, { device: "reference", seed: 3 });
}

/** Step 5 has an evaluation and a checkpoint, step 6 the update after it and a checkpoint. */
const often: Partial<TrainConfig> = {
  ...training({ maxSteps: 12 }),
  evalInterval: 5,
  checkpointInterval: 1,
};

/** What is told, as far as it does not depend on the clock. */
async function told(trainer: Trainer): Promise<object[]> {
  const events: TrainEvent[] = await Array.fromAsync(trainer.run());
  return events.map((event) => {
    if (event.kind === "step") return { ...event, tokensPerSecond: 0 };
    return event.kind === "end" ? { ...event, seconds: 0 } : event;
  });
}

Deno.test("Training emits the update ratios after each evaluation, with the same weights as without them", async () => {
  await using model = await createModel();
  const seen: string[] = [];
  const read = () => internalsOf(model).stores.get("params")!.read();
  let before: Numbers | undefined;
  for await (const event of new Trainer(model, dataset(), often).run()) {
    if (event.kind === "eval") before = await read();
    if (event.kind === "update") {
      assertEquals(
        event.ratios,
        updateRatios(internalsOf(model).layout, {
          before: before!,
          after: await read(),
        }),
      );
      assert(Object.values(event.ratios).every((ratio) => ratio > 0));
    }
    if (event.step > 4 && event.step < 8) seen.push(event.kind);
  }
  assertEquals(seen, [
    ...["step", "checkpoint", "eval"],
    ...["step", "update", "checkpoint"],
    ...["step", "checkpoint"],
  ]);
  await using other = await createModel();
  const never = { ...often, evalInterval: 0 };
  await Array.fromAsync(new Trainer(other, dataset(), never).run());
  assertEquals(await other.parameters(), await model.parameters());
});

Deno.test("Training resumed at any step emits the updates of an uninterrupted run", async () => {
  await using whole = await createModel();
  const uninterrupted = await told(new Trainer(whole, dataset(), often));
  for (const step of [4, 5, 6, 7, 10]) {
    // The rest is what comes after this step's checkpoint.
    const at = uninterrupted.findIndex((event) => {
      const { kind, step: of } = event as TrainEvent;
      return kind === "checkpoint" && of === step;
    });
    const { bytes } = uninterrupted[at] as { bytes: Uint8Array };
    await using model = await createModel();
    const trainer = new Trainer(model, dataset(), often);
    await trainer.restore(decodeCheckpoint(bytes));
    assertEquals(
      await told(trainer),
      uninterrupted.slice(at + 1),
      `from ${step}`,
    );
  }
});
