/// <reference lib="dom" />

/** Says on which device a session computes, and why on that one. Keeps the times of devices in the browser. */

import type { DeviceVerdict, MeasuredEvent } from "@lm/core/worker";
import { byId } from "./elements.ts";

/** The part of WebGPU that this page itself asks. */
interface Gpu {
  requestAdapter(): Promise<
    { readonly info: { readonly isFallbackAdapter?: boolean } } | null
  >;
}

/** Further things that the times depend on: the browser, and the version of the page. */
const version = `${navigator.userAgent} ${
  byId("worker", HTMLElement).textContent.length
}`;

/** Key of the times in the browser's storage. */
const KEY = "lm devices";

/** Returns the times that earlier visits have measured. */
export function knownVerdicts(): Readonly<Record<string, DeviceVerdict>> {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY)!);
    return kept.version === version ? kept.verdicts : {};
  } catch {
    return {}; // nothing kept, or a browser that keeps nothing
  }
}

/** Keeps times for the next visit; without effect in a browser that keeps nothing. */
export function keepVerdicts({ verdicts }: MeasuredEvent): void {
  try {
    localStorage.setItem(KEY, JSON.stringify({ version, verdicts }));
  } catch {
    // They are measured again.
  }
}

/** Returns the times of both devices, and the reason why the GPU is not used if there is another. */
export function timesNote({ verdict, unit }: MeasuredEvent): string {
  const { gpuMs, cpuMs, refused } = verdict;
  const ms = (time: number) => `${Number(time.toPrecision(2))} ms`;
  const notes = gpuMs === null
    ? []
    : [`A ${unit} takes ${ms(gpuMs)} on the GPU, ${ms(cpuMs)} on the CPU.`];
  if (refused !== null) notes.push(`The GPU is not used: ${refused}.`);
  return notes.join(" ");
}

/**
 * Describes the device of a session in a sentence or two.
 *
 * @param device as the session has opened it
 * @param why reason of the choice; undefined for a device that was asked for
 */
export async function deviceNote(
  device: { readonly kind: string; readonly description: string },
  why: string | undefined,
): Promise<string> {
  const notes = [`Device: ${device.kind} (${device.description}).`];
  if (why !== undefined) notes.push(why || await whyNoGpu());
  if (device.kind === "wasm" && !globalThis.crossOriginIsolated) {
    notes.push(
      "It computes on one thread, because this page is not cross-origin isolated: " +
        (location.protocol === "file:"
          ? "a page opened from disk cannot be."
          : "its server would have to send the headers COOP and COEP."),
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
    : "The GPU is measured after the first step.";
}
