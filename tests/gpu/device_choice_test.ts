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
import type { ProductTables } from "../../lib/backends/backend.ts";
import { openBackend } from "../../lib/backends/open.ts";
import { openWebGpu } from "../../lib/backends/webgpu/engine.ts";
import { makeGeneric } from "../../lib/checks/variants.ts";
import { modelConfig } from "../../lib/config/model.ts";
import { trainConfig } from "../../lib/config/train.ts";
import { decodeCheckpoint } from "../../lib/formats/checkpoint.ts";
import { Model } from "../../lib/model/model.ts";
import { fromFileUrl } from "@std/path";
import { SMALL, Workplace } from "../cli/process.ts";
import { openFaulty } from "../fixtures/faulty_backend.ts";
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
  await makeGeneric(model); // With initial values attention has almost no effect.
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

/** Returns a store in memory, with what it holds. */
function verdicts() {
  const known = new Map<string, DeviceVerdict>();
  const store: VerdictStore = {
    get: (key) => Promise.resolve(known.get(key)),
    set: (key, verdict) => Promise.resolve(void known.set(key, verdict)),
  };
  return { known, store };
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
      assertEquals(refused, null);
      assert(gpuMs! > 0 && gpuMs! < 1e4 && cpuMs > 0 && cpuMs < 1e4, work.unit);
      assertEquals(device, gpuMs! < cpuMs ? "webgpu" : "wasm");
    }
  },
);

gpuTest(
  "A GPU that is faster and right is chosen, and not measured again",
  async () => {
    const { known, store } = verdicts();
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

gpuTest(
  "A GPU is measured again once its products have been tuned",
  async () => {
    const { store } = verdicts();
    const measured: string[] = [];
    const work = withTimes(trainingWork(training), { gpu: 3, cpu: 2 });
    const timesMeasured = async (products?: ProductTables) => {
      await asHardware(() =>
        chooseDevice(work, {
          ...{ store, products },
          onMeasure: ({ description }) => measured.push(description),
        })
      );
      return measured.length;
    };
    assertEquals(await timesMeasured(), 1);
    const [name] = measured as [string];
    const table = { "nn 2048x128x512": "64x64 in 1, unrolled 4" };
    assertEquals(await timesMeasured({ "another GPU": table }), 1);
    assertEquals(await timesMeasured({ [name]: table }), 2);
    assertEquals(await timesMeasured({ [name]: table }), 2);
    const other = { ...table, "nn 2048x128x512": "32x32 in 1, unrolled 4" };
    assertEquals(await timesMeasured({ [name]: other }), 3);
    assertEquals(await timesMeasured(), 3);
  },
);

Deno.test("Work that takes different times has different shapes", async () => {
  const { model, train } = training;
  const changes = [
    {},
    { batchSize: 5 },
    { gradAccumulation: 2 },
    { optimizer: "muon" as const },
  ].map((change) => ({ model, train: trainConfig({ ...train, ...change }) }));
  const wider = { model: modelConfig({ ...model, nHidden: 65 }), train };
  const checkpoint = await someCheckpoint();
  const works = [
    ...[...changes, wider].map(trainingWork),
    textWork(checkpoint),
    ...[4, 5].map((rows) => evaluationWork(checkpoint, rows)),
  ];
  const shapes = works.map(({ unit, shape }) => unit + shape);
  assertEquals(new Set(shapes).size, works.length);
});

gpuTest(
  "A GPU that is faster and wrong is not chosen, and the reason is kept",
  async () => {
    const checkpoint = await someCheckpoint();
    // A driver that compiles one constant wrong: exponentials everywhere, the place of cached values, or a sampler's share.
    const everywhere = (code: string) => code.replaceAll("exp(", "0.9 * exp(");
    const cached = (code: string) =>
      code.replace("j0 + k) * CACHE + VALUES", "j0 + k) * CACHE");
    const choice = (code: string) =>
      code.replace("f32(bits >> 8u)", "0.5 * f32(bits >> 8u)");
    const texts = textWork(checkpoint);
    const wrongly = [
      [everywhere, trainingWork(training), /^unlike the CPU engine: /],
      [everywhere, evaluationWork(checkpoint, 4), /^its logits differ/],
      [everywhere, texts, /^its logits differ from the CPU's by 0\.\d+$/],
      [cached, texts, /^its logits differ/],
      [choice, texts, /^it chooses other tokens than the CPU/],
    ] as const;
    for (const [replace, work, reason] of wrongly) {
      const timed = withTimes(work, { gpu: 1, cpu: 2 });
      const { device, verdict } = await withDevices((device) => {
        const create = device.createShaderModule.bind(device);
        device.createShaderModule = ({ code, ...rest }) =>
          create({ ...rest, code: replace(code) });
      }, () => asHardware(() => chooseDevice(timed)));
      assertEquals(device, "wasm");
      assertMatch(verdict!.refused!, reason);
    }
  },
);

Deno.test("Results that are not numbers are no rounding", async () => {
  const checkpoint = await someCheckpoint();
  await using cpu = await openBackend("wasm", { threads: 1 });
  await using faulty = openFaulty({
    dispatch: (dispatch) =>
      dispatch.kernel === "norm"
        ? { ...dispatch, dims: { ...dispatch.dims, eps: NaN } }
        : dispatch,
  });
  for (
    const work of [
      trainingWork(training),
      textWork(checkpoint),
      evaluationWork(checkpoint, 4),
    ]
  ) assertMatch((await work.difference(faulty, cpu))!, /NaN/);
});

Deno.test("Times are those of all micro-batches and rows, though fewer are measured", async () => {
  await using cpu = await openBackend("wasm", { threads: 1, blas: "off" });
  // A row takes about 4e8 floating-point operations, and 1e9 are measured.
  const model = modelConfig({
    ...{
      vocabSize: 20,
      blockSize: 64,
      nLayer: 4,
      nEmbd: 144,
      position: "rope",
    },
  });
  const timeOf = (options: Parameters<typeof trainConfig>[0]) =>
    trainingWork({ model, train: trainConfig(options) }).time(cpu);
  const one = await timeOf({ batchSize: 2 });
  assert(await timeOf({ batchSize: 32 }) > 4 * one);
  assert(await timeOf({ batchSize: 2, gradAccumulation: 16 }) > 4 * one);
  await using created = await Model.create(model, { backend: cpu });
  const checkpoint = decodeCheckpoint(await created.save());
  const [few, many] = [
    await evaluationWork(checkpoint, 2).time(cpu),
    await evaluationWork(checkpoint, 32).time(cpu),
  ];
  assert(many > 4 * few, `${many}, ${few}`);
});

gpuTest(
  "The time of a token is that of a block, divided",
  async () => {
    const checkpoint = await someCheckpoint();
    await using gpu = await openWebGpu({ adapter: "any" });
    const ms = await textWork(checkpoint).time(gpu);
    await using model = await Model.load(checkpoint, { backend: gpu });
    const options = { maxNewTokens: 400 };
    await Array.fromAsync(model.generate([0], options)); // compiles
    const begun = performance.now();
    await Array.fromAsync(model.generate([0], options));
    const token = (performance.now() - begun) / 400;
    assert(ms < 8 * token && token < 8 * ms, `${ms}, ${token}`);
  },
);

gpuTest(
  "A GPU that fails is not chosen, and is asked again the next time",
  async () => {
    const known: DeviceVerdict[] = [];
    const checkpoint = await someCheckpoint();
    const store: VerdictStore = {
      get: () => Promise.resolve(undefined),
      set: (_, verdict) => Promise.resolve(void known.push(verdict)),
    };
    const noPipeline = (device: GPUDevice) => {
      device.createComputePipelineAsync = () =>
        Promise.reject(new Error("no such pipeline"));
    };
    const noRead = (device: GPUDevice) => {
      const create = device.createBuffer.bind(device);
      device.createBuffer = (descriptor) =>
        Object.assign(create(descriptor), {
          mapAsync: () =>
            Promise.reject(
              new DOMException("no such memory", "OperationError"),
            ),
        });
    };
    for (
      const [change, reason] of [
        [noPipeline, /no such pipeline/],
        [noRead, /Cannot .*: no such memory/],
      ] as const
    ) {
      const { device, verdict } = await withDevices(
        change,
        () =>
          asHardware(() =>
            chooseDevice(evaluationWork(checkpoint, 4), { store })
          ),
      );
      assertEquals([device, verdict!.gpuMs, known], ["wasm", null, []]);
      assertMatch(verdict!.refused!, reason);
    }
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
    const report = await here.run(
      ["report", "first", "--device", "auto", "--out", "page.html"],
      { env, permissions },
    );
    assertMatch(report.stderr, /a batch takes [\d.]+ ms on the GPU/);
    const info = await here.run(["info"], { env, permissions });
    assertMatch(info.stdout, /^--device auto measures webgpu and wasm/m);
  },
);
