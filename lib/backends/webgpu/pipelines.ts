/**
 * Compute pipelines, one for each distinct text, and the layouts of their bind
 * groups. What the texts say is the business of `kernels/wgsl/`.
 */

import type { Pass } from "../../../kernels/wgsl/kernel.ts";

/** A pipeline and the layout that its bind groups take. */
export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** Pipelines that are kept for programs to come: those of some dozen plans. Programs hold their own. */
const KEPT = 512;

/** The pipelines of a device: the latest ones. */
export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly #kept: number;
  /** By text, in the order of their last use. */
  readonly #pipelines = new Map<string, Promise<Pipeline>>();

  /** @param kept how many are kept */
  constructor(device: GPUDevice, kept: number = KEPT) {
    this.#device = device;
    this.#kept = kept;
  }

  /**
   * The pipeline of a pass, compiled if it is not kept. One that is refused is not.
   *
   * @param name the kernel and what it is part of, for errors
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
    // Push, create and pop without a pause between: scopes of the device are one stack.
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
      throw new Error(`Cannot compile ${name}: ${refused.message.trim()}`);
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
