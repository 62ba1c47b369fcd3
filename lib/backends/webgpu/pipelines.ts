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

/** The pipelines of a device. */
export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly #pipelines = new Map<string, Promise<Pipeline>>();

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /**
   * The pipeline of a pass, compiled when first asked for.
   *
   * @param name the kernel and what it is part of, for errors
   * @throws {Error} with the compiler's message if WebGPU refuses the text
   */
  get(pass: Pass, name: string): Promise<Pipeline> {
    const known = this.#pipelines.get(pass.code);
    if (known) return known;
    const made = this.#compile(pass, name);
    this.#pipelines.set(pass.code, made);
    return made;
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
