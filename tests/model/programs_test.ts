/** Which programs a model keeps compiled, and that what it frees is compiled again when it is needed. */

import {
  assertEquals,
  assertGreater,
  assertLessOrEqual,
  assertRejects,
} from "@std/assert";
import {
  type Backend,
  type Executor,
  OutOfMemoryError,
  type Program,
} from "../../lib/backends/backend.ts";
import { openReference } from "../../lib/backends/reference.ts";
import { openWasm } from "../../lib/backends/wasm/engine.ts";
import { Dataset } from "../../lib/text/dataset.ts";
import { Model } from "../../lib/model/model.ts";
import { internalsOf } from "../../lib/model/internals.ts";
import { Programs } from "../../lib/model/programs.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { randomIds, variant } from "../../lib/checks/variants.ts";

/** Programs that are only counted. */
class Counted {
  readonly made: string[] = [];
  readonly destroyed: string[] = [];

  compile(name: string, bytes = 1): () => Promise<Program> {
    return () => {
      this.made.push(name);
      const destroy = () => this.destroyed.push(name);
      return Promise.resolve({ bytes, destroy } as unknown as Program);
    };
  }
}

const nothing = () => {};

Deno.test("Programs keeps the most recently used programs", async () => {
  const counted = new Counted();
  const programs = new Programs({ count: 2 });
  for (const name of ["a", "b", "a", "c", "a", "b"]) {
    await programs.use(name, counted.compile(name), nothing);
  }
  assertEquals(counted.made, ["a", "b", "c", "b"]);
  assertEquals(counted.destroyed, ["b", "c"]);
  await programs.dispose();
  assertEquals(counted.destroyed, ["b", "c", "a", "b"]);
});

Deno.test("Programs keeps no more bytes than its limit, but always the last program", async () => {
  const counted = new Counted();
  const programs = new Programs({ count: 9, bytes: 10 });
  const sizes = { a: 4, b: 6, c: 1, d: 20, e: 3 };
  for (const [name, bytes] of Object.entries(sizes)) {
    await programs.use(name, counted.compile(name, bytes), nothing);
  }
  assertEquals(counted.destroyed, ["a", "b", "c", "d"]);
  await programs.use("e", counted.compile("e"), nothing);
  assertEquals(counted.made, Object.keys(sizes));
});

Deno.test("Programs does not free a program in use, and frees it afterwards", async () => {
  const counted = new Counted();
  const programs = new Programs({ count: 1 });
  const gate = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const first = programs.use("a", counted.compile("a"), () => {
    begun.resolve();
    return gate.promise;
  });
  await begun.promise;
  await programs.use("b", counted.compile("b"), nothing);
  assertEquals(counted.destroyed, []);
  assertEquals(programs.freeIdle(), true);
  assertEquals(programs.freeIdle(), false);
  assertEquals(counted.destroyed, ["b"]);
  await programs.use("b", counted.compile("b"), nothing);
  gate.resolve();
  await first;
  assertEquals(counted.destroyed, ["b", "a"]);
});

Deno.test("Programs compiles again after a failed compilation", async () => {
  const counted = new Counted();
  const programs = new Programs({ count: 2 });
  const refuse = () => Promise.reject(new RangeError("Cannot compile a"));
  const both = [1, 2].map(() => programs.use("a", refuse, nothing));
  for (const use of both) await assertRejects(() => use, RangeError);
  assertEquals(await programs.use("a", counted.compile("a"), () => 7), 7);
  assertEquals(counted.made, ["a"]);
});

const T = 32;
const config = { ...variant("nanoGPT").config, blockSize: T };
const tokens = randomIds(T, config);

function datasetOf(seed: number): Dataset {
  const ids = randomIds(600, { ...config, seed });
  return new Dataset(ids, { blockSize: T, batchSize: 2 });
}

/** The most that is allocated on a backend after `work(1)`, `work(2)`, ... */
async function mostBytes(
  backend: Backend,
  { times, work }: {
    readonly times: number;
    readonly work: (time: number) => Promise<unknown>;
  },
): Promise<number> {
  let most = 0;
  for (let time = 1; time <= times; time++) {
    await work(time);
    most = Math.max(most, backend.allocatedBytes);
  }
  return most;
}

for (
  const [device, open] of [["reference", openReference], [
    "wasm",
    openWasm,
  ]] as const
) {
  Deno.test(`Model.forward of every length keeps few programs, device ${device}`, async () => {
    await using backend = await open();
    await using model = await Model.create(config, { backend });
    const before = backend.allocatedBytes;
    const most = await mostBytes(backend, {
      times: T,
      work: (T) => model.forward(tokens.subarray(0, T), { B: 1, T }),
    });
    const last = await model.forward(tokens, { B: 1, T });
    const first = await model.forward(tokens.subarray(0, 2), { B: 1, T: 2 });
    assertEquals([...first], [...last.subarray(0, 2 * config.vocabSize)]);
    await using other = await Model.create(config, { backend });
    const alone = backend.allocatedBytes;
    await other.forward(tokens, { B: 1, T });
    const longest = backend.allocatedBytes - alone;
    assertGreater(longest, 0);
    assertLessOrEqual(most - before, 8 * longest);
  });

  Deno.test(`Successive Trainers take the memory of one, device ${device}`, async () => {
    await using backend = await open();
    await using model = await Model.create(config, { backend });
    const dataset = datasetOf(1);
    const train = async () => {
      const trainer = new Trainer(model, dataset, { maxSteps: 1 });
      await Array.fromAsync(trainer.run());
    };
    await train();
    const one = backend.allocatedBytes;
    assertEquals(await mostBytes(backend, { times: 6, work: train }), one);
    // Nor do runs pile up that nobody ends.
    const begin = () => new Trainer(model, dataset).run().next();
    assertEquals(await mostBytes(backend, { times: 6, work: begin }), one);
  });
}

/** The weights after two trainers took turns; the model keeps the programs of so many. */
async function taughtByTwo(count: number): Promise<number[]> {
  await using model = await Model.create(config, { device: "reference" });
  const internals = internalsOf(model);
  Object.assign(internals, { trainings: new Programs({ count }) });
  const options = { learningRate: 1e-3, warmupSteps: 0 };
  const trainers = [1, 2].map((seed) =>
    new Trainer(model, datasetOf(seed), options)
  );
  for (const trainer of [...trainers, ...trainers]) {
    let left = 3;
    for await (const { kind } of trainer.run()) {
      if (kind === "step" && --left === 0) trainer.stop({ evaluate: false });
    }
  }
  return [...await internals.stores.get("params")!.read()];
}

Deno.test("Trainer continues unchanged after another Trainer of the same model has run", async () => {
  assertEquals(await taughtByTwo(1), await taughtByTwo(2));
});

Deno.test("Trainers of one model do not free each other's program during a step", async () => {
  await using model = await Model.create(config, { device: "reference" });
  const done = [1, 2].map(async (seed) => {
    const options = { maxSteps: 4, gradAccumulation: 3 };
    const trainer = new Trainer(model, datasetOf(seed), options);
    for await (const _ of trainer.run());
    return trainer.step;
  });
  assertEquals(await Promise.all(done), [4, 4]);
});

/** A backend that has room for so many programs at a time. */
function openFor(most: number): Executor {
  const inner = openReference();
  let programs = 0;
  return {
    ...{ kind: "reference", description: "small", blas: undefined },
    ...{ allocatedBytes: 0, room: undefined, halves: false },
    createStore: (spec) => inner.createStore(spec),
    async compile(plan, stores) {
      if (programs === most) {
        const sizes = { needed: 2, room: 1 };
        throw new OutOfMemoryError(`compile ${plan.name}`, sizes);
      }
      const program = await inner.compile(plan, stores);
      programs++;
      const destroy = () => {
        programs--;
        program.destroy();
      };
      return {
        ...{ plan, bytes: program.bytes, destroy },
        buffer: (name) => program.buffer(name),
        run: (phases) => program.run(phases),
      };
    },
    measure: (plans, stores) => inner.measure(plans, stores),
    finish: () => inner.finish(),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  };
}

Deno.test("Model frees idle programs when memory for another one is short", async () => {
  for (const most of [2, 9]) {
    await using backend = openFor(most);
    await using model = await Model.create(config, { backend });
    const trainer = new Trainer(model, datasetOf(1), { maxSteps: 2 });
    await Array.fromAsync(trainer.run());
    for (const length of [1, 2, 3]) {
      const ids = tokens.subarray(0, length);
      await model.forward(ids, { B: 1, T: length });
    }
    const ids = await Array.fromAsync(
      model.generate([1], { maxNewTokens: 40 }),
    );
    assertEquals(ids.length, 40, `room for ${most}`);
  }
});

Deno.test("Model reports a lack of memory, and compiles once there is enough", async () => {
  await using backend = openFor(1);
  await using model = await Model.create(config, { backend });
  await using other = await Model.create(config, { backend });
  const shape = { B: 1, T };
  await model.forward(tokens, shape);
  for (let time = 0; time < 2; time++) {
    const error = await assertRejects(
      () => other.forward(tokens, shape),
      OutOfMemoryError,
    );
    assertEquals([error.needed, error.room], [2, 1]);
  }
  await model[Symbol.asyncDispose]();
  assertEquals(
    (await other.forward(tokens, shape)).length,
    T * config.vocabSize,
  );
});
