/// <reference lib="dom" />

/** Says on which device a session computes, and why on that one. */

/** The part of WebGPU that this page itself asks. */
interface Gpu {
  requestAdapter(): Promise<
    { readonly info: { readonly isFallbackAdapter?: boolean } } | null
  >;
}

/**
 * Describes the device of a session in a sentence or two.
 *
 * @param device as the session has opened it
 * @param wanted the device that was asked for
 */
export async function deviceNote(
  device: { readonly kind: string; readonly description: string },
  wanted: string,
): Promise<string> {
  const notes = [`Device: ${device.kind} (${device.description}).`];
  if (device.kind === "wasm" && wanted === "auto") notes.push(await whyNoGpu());
  if (device.kind === "wasm" && !globalThis.crossOriginIsolated) {
    notes.push(
      "It computes on one thread, because this page is not cross-origin isolated: " +
        "its server would have to send the headers COOP and COEP.",
    );
  }
  return notes.join(" ");
}

/** Returns the reason why the CPU was chosen. */
async function whyNoGpu(): Promise<string> {
  const { gpu } = navigator as unknown as { readonly gpu?: Gpu };
  if (gpu === undefined) {
    return isSecureContext
      ? "This browser has no WebGPU."
      : "WebGPU needs a secure context: https or localhost.";
  }
  const adapter = await gpu.requestAdapter().catch(() => null);
  if (adapter === null) return "This browser's WebGPU found no adapter.";
  return adapter.info.isFallbackAdapter === true
    ? "The only WebGPU adapter is software, which would be slower."
    : "It is faster for this model than the GPU.";
}
