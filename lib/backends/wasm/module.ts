/** Loads the wasm backend's module: selects a build that the JavaScript engine can run, and its kind of memory. */

import {
  blockLength,
  builds,
  lengths,
} from "../../../kernels/wasm/module.generated.ts";
import { NoAdapterError } from "../backend.ts";

/**
 * A build of the kernels, by how it sums products: `relaxed` with fused multiply-add where the processor
 * has it, `strict` with a multiplication and an addition.
 */
export type WasmBuild = "relaxed" | "strict";

/** A module for a backend. */
export interface LoadedModule {
  readonly build: WasmBuild;
  readonly module: WebAssembly.Module;
}

/**
 * Compiles the requested build or, without a request, the fastest build that this JavaScript engine supports.
 *
 * @param options.shared true if the module's memory is shared between threads
 * @throws {NoAdapterError} if WebAssembly or a feature is missing, or a page's policy refuses it
 */
export async function loadModule(
  { build, shared }: { build?: WasmBuild | undefined; shared: boolean },
): Promise<LoadedModule> {
  const wasm = globalThis.WebAssembly as typeof WebAssembly | undefined;
  if (wasm === undefined) throw missing("WebAssembly");
  if (!wasm.validate(simdProbe)) throw missing("WebAssembly's SIMD");
  const modules = await unpack();
  for (const name of build ? [build] : ["relaxed", "strict"] as const) {
    const bytes = modules[name];
    if (!shared) unshare(bytes);
    if (!wasm.validate(bytes)) continue;
    const module = await wasm.compile(bytes).catch((error: Error) => {
      // The module is valid: only a page's policy refuses it.
      throw new NoAdapterError(
        "open device wasm",
        error.message,
        (device) =>
          `A page's Content-Security-Policy needs 'wasm-unsafe-eval'; ${
            device("reference")
          } runs anywhere, slowly.`,
      );
    });
    return { build: name, module };
  }
  throw missing(
    build === "relaxed"
      ? "WebAssembly's relaxed SIMD"
      : "WebAssembly's threads and bulk memory",
  );
}

/** A module with one function, which makes a vector and drops it: valid only where SIMD is supported. */
const simdProbe = Uint8Array.of(
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0], // magic, version
  ...[1, 4, 1, 0x60, 0, 0], // type () -> ()
  ...[3, 2, 1, 0], // one function of it
  ...[10, 9, 1, 7, 0, 0x41, 0, 0xfd, 0x0f, 0x1a, 0x0b], // i8x16.splat(0), drop
);

function missing(what: string): NoAdapterError {
  return new NoAdapterError(
    "open device wasm",
    `this runtime has no ${what}`,
    (device) =>
      `Deno 2.9 and current browsers have it; ${
        device("reference")
      } runs anywhere, slowly.`,
  );
}

/** Returns the bytes of every build. */
async function unpack(): Promise<Record<WasmBuild, Uint8Array<ArrayBuffer>>> {
  const packed = Uint8Array.from(atob(builds), (byte) => byte.charCodeAt(0));
  const stream = new Blob([packed]).stream()
    .pipeThrough(new DecompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const modules = {
    relaxed: new Uint8Array(lengths.relaxed),
    strict: new Uint8Array(lengths.strict),
  };
  let from = 0;
  for (let at = 0; from < bytes.length; at += blockLength) {
    for (const module of [modules.relaxed, modules.strict]) {
      const block = module.subarray(at, at + blockLength);
      block.set(bytes.subarray(from, from + block.length));
      from += block.length;
    }
  }
  return modules;
}

/** The import of "env" "memory", up to the byte of its limits: 3 for shared memory, 1 for memory that is not; both with a maximum. */
const memoryImport = [3, ...ascii("env"), 6, ...ascii("memory"), 2];

/** Changes the module to import memory that is not shared; its atomic instructions work on such memory, too. */
function unshare(bytes: Uint8Array): void {
  const at = bytes.findIndex((_, start) =>
    memoryImport.every((byte, i) => bytes[start + i] === byte)
  );
  bytes[at + memoryImport.length] = 1;
}

function ascii(text: string): number[] {
  return Array.from(text, (letter) => letter.charCodeAt(0));
}
