/**
 * Compute pipelines, one for each distinct text, and the layouts of their bind
 * groups. The texts themselves are in `kernels/wgsl/`.
 */

import type { Pass } from "../../../kernels/wgsl/kernel.ts";
import { refusal } from "../../refusal.ts";

/** A pipeline, and the layout of its bind groups. */
export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** Pipelines kept for later programs: enough for some dozen plans. Programs keep their own pipelines themselves. */
const KEPT = 512;

/** The most recently used pipelines of a device. */
export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly #kept: number;
  /** Pipelines by text, in the order of their last use. */
  readonly #pipelines = new Map<string, Promise<Pipeline>>();

  /** @param kept the number of pipelines to keep */
  constructor(device: GPUDevice, kept: number = KEPT) {
    this.#device = device;
    this.#kept = kept;
  }

  /**
   * Returns the pipeline of a pass, and compiles it if the cache does not have it. Does not keep a pipeline that WebGPU refuses.
   *
   * @param name the name of the dispatch, for errors
   * @throws {Error} with the compiler's message if WebGPU refuses the text
   */
  get(pass: Pass, name: string): Promise<Pipeline> {
    const { code } = pass;
    const pipeline = this.#pipelines.get(code) ?? this.#compile(pass, name);
    this.#pipelines.delete(code);
    this.#pipelines.set(code, pipeline); // now the last
    pipeline.catch(() => {
      if (this.#pipelines.get(code) === pipeline) this.#pipelines.delete(code);
    });
    if (this.#pipelines.size > this.#kept) {
      const [oldest] = this.#pipelines.keys();
      this.#pipelines.delete(oldest!);
    }
    return pipeline;
  }

  async #compile(pass: Pass, name: string): Promise<Pipeline> {
    const layout = this.#layout(pass);
    // Push, create and pop without an await in between: all error scopes of the device share one stack.
    this.#device.pushErrorScope("validation");
    const module = this.#device.createShaderModule({
      label: name,
      code: pass.code,
    });
    const scope = this.#device.popErrorScope();
    const pipeline = this.#device.createComputePipelineAsync({
      label: name,
      layout: this.#device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: "main" },
    }).catch((error: Error) => error);

    const refused = await scope ?? await pipeline;
    if (refused instanceof GPUError || refused instanceof Error) {
      throw refusal(Error, `compile ${name}`, refused.message.trim());
    }
    return { pipeline: refused, layout };
  }

  #layout({ bindings }: Pass): GPUBindGroupLayout {
    const signature = bindings.map(({ access }) => access).join(",");
    let layout = this.#layouts.get(signature);
    if (!layout) {
      layout = this.#device.createBindGroupLayout({
        label: signature,
        entries: bindings.map(({ access }, binding) => ({
          binding,
          visibility: GPUShaderStage.COMPUTE,
          buffer: {
            type: access === "read" ? "read-only-storage" : "storage",
          },
        })),
      });
      this.#layouts.set(signature, layout);
    }
    return layout;
  }
}
