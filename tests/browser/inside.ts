/**
 * Runs in the browser: what `engine_test.ts` asks of the library there. Bundled into one script,
 * whose functions are those of {@linkcode Inside} on `globalThis.inside`.
 */

import { type Pass, ROWS, type Target } from "../../kernels/wgsl/kernel.ts";
import { productVariants } from "../../kernels/wgsl/matmul_variants.ts";
import { SUBGROUPS } from "../../kernels/wgsl/subgroups.ts";
import { reducesRows } from "../../bench/gpu/rows.ts";
import type { Executor } from "../../lib/backends/backend.ts";
import { openWebGpu } from "../../lib/backends/webgpu/engine.ts";
import { openWasm } from "../../lib/backends/wasm/engine.ts";
import { featuresOf, targetOf } from "../../lib/backends/webgpu/device.ts";
import { lowerPlan } from "../../lib/backends/webgpu/lowering.ts";
import { checkCase, describe, sizeOf } from "../../lib/checks/conformance.ts";
import { conformanceCases } from "../../lib/checks/conformance_cases.ts";
import { modelConfig } from "../../lib/config/model.ts";
import { type PresetName, presets } from "../../lib/config/presets.ts";
import { trainConfig } from "../../lib/config/train.ts";
import type { Plan } from "../../lib/graph/plan.ts";
import { attentionPlan } from "../../lib/model/attention_maps.ts";
import { evaluationPlan } from "../../lib/model/evaluate.ts";
import { generationPlans } from "../../lib/model/generation.ts";
import { trainPlan } from "../../lib/train/plan.ts";
import { steps, type Trained } from "./steps.ts";

/** An engine, as the tests name it. */
export type Engine = "register" | "workgroup" | "subgroups" | "wasm";

/** The functions that the tests call. */
export interface Inside {
  /** Checks kernels against the float64 reference; returns how many cases ran, and what was wrong. */
  conformance(engine: Engine, options: {
    readonly largest: number;
    /** Most cases of a kernel. */
    readonly most: number;
  }): Promise<{ readonly cases: number; readonly faults: string[] }>;
  /** Trains for some steps, from random weights or from a checkpoint in base64. */
  train(engine: Engine, options: Parameters<typeof steps>[1]): Promise<Trained>;
  /** Compiles the WGSL texts of all plans of all presets; returns their number, and the compiler's messages. */
  compileTexts(): Promise<
    { readonly texts: number; readonly messages: string[] }
  >;
}

async function open(engine: Engine): Promise<Executor> {
  if (engine === "wasm") return await openWasm();
  if (engine !== "subgroups") {
    return await openWebGpu({ adapter: "any", tiling: engine });
  }
  const any = { adapter: "any", tiling: "workgroup" } as const;
  await using usual = await openWebGpu(any);
  const products = { [usual.name]: { [ROWS]: SUBGROUPS } };
  return await openWebGpu({ ...any, products });
}

const inside: Inside = {
  async conformance(engine, { largest, most }) {
    const faults: string[] = [];
    let cases = 0;
    const small = conformanceCases.filter((test) =>
      sizeOf(test) <= largest && (engine !== "subgroups" || reducesRows(test))
    );
    for (const [, tests] of Map.groupBy(small, ({ kernel }) => kernel)) {
      await using backend = await open(engine);
      for (const test of spread(tests, most)) {
        cases++;
        try {
          await checkCase(backend, test);
        } catch (error) {
          faults.push(`${describe(test)}: ${(error as Error).message}`);
        }
      }
    }
    return { cases, faults };
  },

  async train(engine, options) {
    await using backend = await open(engine);
    return await steps(backend, options);
  },

  async compileTexts() {
    const adapter = await navigator.gpu.requestAdapter();
    const device = await adapter!.requestDevice({
      requiredFeatures: featuresOf(adapter!),
    });
    const { limits } = device;
    const texts = new Map<string, string>();
    const targets = [
      targetOf(device, { tiling: "register" }),
      targetOf(device, { tiling: "workgroup" }),
      targetOf(device, {
        tiling: "workgroup",
        products: { [ROWS]: SUBGROUPS },
      }),
    ];
    for (const target of targets) {
      for (const [name, plan] of plansOfPresets(target)) {
        for (const { pass } of lowerPlan(plan, target, limits).passes) {
          texts.set(pass.code, name);
        }
        for (const { code } of variantsOf(plan, target)) texts.set(code, name);
      }
    }
    const messages: string[] = [];
    for (const [code, name] of texts) {
      device.pushErrorScope("validation");
      const module = device.createShaderModule({ code });
      const info = await module.getCompilationInfo();
      const error = await device.popErrorScope();
      messages.push(
        ...info.messages.map(({ type, message, lineNum }) =>
          `${name}: ${type} in line ${lineNum}: ${message}`
        ),
        ...error ? [`${name}: ${error.message}`] : [],
      );
    }
    device.destroy();
    return { texts: texts.size, messages };
  },
};

/** Returns at most `most` items, the first and, of two or more, the last among them. */
function spread<Item>(items: readonly Item[], most: number): Item[] {
  if (items.length <= most) return [...items];
  const at = (i: number) =>
    Math.round(i * (items.length - 1) / Math.max(1, most - 1));
  return Array.from({ length: most }, (_, i) => items[at(i)]!);
}

/** Yields the passes of all variants of a plan's products, those that take more than every adapter has included. */
function* variantsOf(
  { dispatches }: Plan,
  target: Target,
): Generator<Pass> {
  if (target.tiling === "register") return;
  for (const { kernel, dims } of dispatches) {
    if (kernel !== "matmul") continue;
    const roomy = { ...target, workgroupStorage: 2 ** 15 };
    for (const { lower } of productVariants(dims, roomy)) {
      yield* lower().passes;
    }
  }
}

/** Yields the plans that training, evaluating, sampling and looking at attention run with each preset. */
function* plansOfPresets(
  { features }: Target,
): Generator<[name: string, plan: Plan]> {
  for (const name of Object.keys(presets) as PresetName[]) {
    const { model, train, tokenizer } = presets[name];
    const vocabSize = tokenizer === "ascii" ? 128 : 65;
    const config = modelConfig({ ...model, vocabSize });
    const training = trainConfig(train);
    const shape = { B: training.batchSize, T: config.blockSize };
    yield [`${name}, training`, trainPlan(config, training, shape)];
    // SwiftShader has no float16, so that only a browser on a GPU compiles these.
    if (features.includes("shader-f16")) {
      const half = { ...training, precision: "f16" } as const;
      yield [`${name}, training in f16`, trainPlan(config, half, shape)];
    }
    yield [`${name}, evaluation`, evaluationPlan(config, shape)];
    const sizes = { rows: 1, promptLength: 7, maxNewTokens: 1000 };
    for (const chooses of [false, true]) {
      const where = chooses ? "the device" : "the host";
      for (const [T, plan] of generationPlans(config, sizes, { chooses })) {
        yield [`${name}, generation of ${T}, tokens from ${where}`, plan];
      }
    }
    const { plan } = attentionPlan(config, config.blockSize);
    yield [`${name}, attention maps`, plan];
  }
}

Object.assign(globalThis, { inside });
