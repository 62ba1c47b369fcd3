/** The choice of `--device auto`, on a software adapter that passes for hardware. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  chooseDevice,
  type DeviceVerdict,
  evaluationWork,
  textWork,
  trainingWork,
  type VerdictStore,
  type Work,
} from "../../lib/checks/device_choice.ts";
import { modelConfig } from "../../lib/config/model.ts";
import { trainConfig } from "../../lib/config/train.ts";
import { decodeCheckpoint } from "../../lib/formats/checkpoint.ts";
import { Model } from "../../lib/model/model.ts";
import { fromFileUrl } from "@std/path";
import { SMALL, Workplace } from "../cli/process.ts";
import { gpuTest } from "./adapter.ts";
import { asHardware, withDevices } from "./fake_adapter.ts";

const training = {
  model: modelConfig({
    ...{ vocabSize: 20, blockSize: 16, nLayer: 1, nHead: 2, nEmbd: 16 },
  }),
  train: trainConfig({ batchSize: 4 }),
};

async function someCheckpoint() {
  await using model = await Model.create(training.model, {
    device: "reference",
  });
  return decodeCheckpoint(await model.save());
}

/** Returns work with the given times, whose results are compared all the same. */
function withTimes(work: Work, times: { gpu: number; cpu: number }): Work {
  return {
    ...work,
    time: ({ kind }) =>
      Promise.resolve(kind === "webgpu" ? times.gpu : times.cpu),
  };
}

gpuTest(
  "Training, text and evaluation are measured on both devices, and the faster one is chosen",
  async () => {
    const checkpoint = await someCheckpoint();
    for (
      const work of [
        trainingWork(training),
        textWork(checkpoint),
        evaluationWork(checkpoint, 4),
      ]
    ) {
      const { device, verdict } = await asHardware(() => chooseDevice(work));
      const { gpuMs, cpuMs, refused } = verdict!;
      assertEquals(refused, undefined);
      assert(gpuMs! > 0 && gpuMs! < 1e4 && cpuMs > 0 && cpuMs < 1e4, work.unit);
      assertEquals(device, gpuMs! < cpuMs ? "webgpu" : "wasm");
    }
  },
);

gpuTest(
  "A GPU that is faster and right is chosen, and not measured again",
  async () => {
    const known = new Map<string, DeviceVerdict>();
    const store: VerdictStore = {
      get: (key) => Promise.resolve(known.get(key)),
      set: (key, verdict) => Promise.resolve(void known.set(key, verdict)),
    };
    let measured = 0;
    const options = { store, onMeasure: () => measured++ };
    const work = withTimes(trainingWork(training), { gpu: 1, cpu: 2 });
    for (let i = 0; i < 2; i++) {
      const { device } = await asHardware(() => chooseDevice(work, options));
      assertEquals([device, measured, known.size], ["webgpu", 1, 1]);
    }
    const larger = { ...training, train: trainConfig({ batchSize: 5 }) };
    const other = withTimes(trainingWork(larger), { gpu: 3, cpu: 2 });
    const { device } = await asHardware(() => chooseDevice(other, options));
    assertEquals([device, measured, known.size], ["wasm", 2, 2]);
  },
);

Deno.test("Trainings that take different times have different shapes", () => {
  const { model, train } = training;
  const changes = [
    {},
    { batchSize: 5 },
    { gradAccumulation: 2 },
    { optimizer: "muon" as const },
  ].map((change) => ({ model, train: trainConfig({ ...train, ...change }) }));
  const wider = { model: modelConfig({ ...model, nHidden: 65 }), train };
  const shapes = [...changes, wider].map((each) => trainingWork(each).shape);
  assertEquals(new Set(shapes).size, 5);
});

gpuTest(
  "A GPU that is faster and wrong is not chosen, and the reason is kept",
  async () => {
    const checkpoint = await someCheckpoint();
    const wrongly = <T>(use: () => Promise<T>) =>
      withDevices((device) => {
        const create = device.createShaderModule.bind(device);
        // A driver that compiles one constant wrong: the softmax's and the GELU's exponentials.
        device.createShaderModule = ({ code, ...rest }) =>
          create({ ...rest, code: code.replaceAll("exp(", "0.9 * exp(") });
      }, () => asHardware(use));
    for (const work of [trainingWork(training), textWork(checkpoint)]) {
      const timed = withTimes(work, { gpu: 1, cpu: 2 });
      const { device, verdict } = await wrongly(() => chooseDevice(timed));
      assertEquals(device, "wasm");
      assertMatch(verdict!.refused!, /CPU/);
    }
  },
);

gpuTest(
  "A GPU that fails is not chosen, and is asked again the next time",
  async () => {
    const known: DeviceVerdict[] = [];
    const store: VerdictStore = {
      get: () => Promise.resolve(undefined),
      set: (_, verdict) => Promise.resolve(void known.push(verdict)),
    };
    const failing = <T>(use: () => Promise<T>) =>
      withDevices((device) => {
        device.createComputePipelineAsync = () =>
          Promise.reject(new Error("no such pipeline"));
      }, () => asHardware(use));
    const { device, verdict } = await failing(() =>
      chooseDevice(trainingWork(training), { store })
    );
    assertEquals([device, verdict!.gpuMs, known], ["wasm", null, []]);
    assertMatch(verdict!.refused!, /no such pipeline/);
  },
);

Deno.test("A machine without a hardware GPU has nothing to measure", async () => {
  const work: Work = {
    ...trainingWork(training),
    time: () => Promise.reject(new Error("measured")),
  };
  assertEquals(await chooseDevice(work), { device: "wasm" });
});

gpuTest(
  "train measures the machine once for a shape, and says both times",
  async () => {
    await using here = await Workplace.create();
    const permissions = [
      `--preload=${
        fromFileUrl(new URL("hardware_adapter.ts", import.meta.url))
      }`,
    ];
    const env = { XDG_CACHE_HOME: here.file("cache") };
    const train = (name: string, ...flags: string[]) =>
      here.run(
        ["train", ...SMALL, "--device", "auto", "--out", name, ...flags],
        { env, permissions },
      );
    const times =
      /a step takes [\d.]+ ms on the GPU, [\d.]+ ms on the CPU: chose --device (wasm|webgpu)\n/;
    const first = await train("first");
    assertEquals(first.code, 0, first.stderr);
    assertMatch(first.stderr, /^measuring .* and the CPU, once\n/);
    assertMatch(first.stderr, times);
    const [line] = times.exec(first.stderr)!;
    const again = await train("again");
    assert(again.stderr.startsWith(line), again.stderr);
  },
);
