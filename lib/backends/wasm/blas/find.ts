/** Finds the machine's BLAS: a library by its usual names, or the one that is asked for; and checks it before the engine trusts it. */

import { firstWrongProduct } from "./answers.ts";
import { type BlasOpening, type OpenBlas, openBlas } from "./open.ts";

/** A library that computed all known answers, open in the calling thread. */
export interface FoundBlas {
  /** The name, version and, in parentheses, the kernels that the library chose for this processor. */
  readonly name: string;
  /** The properties that decide how the engine calls the library: `BlasTraits` in `kernels/wasm/step.ts`. */
  readonly traits: { readonly unpacked: number };
  readonly opening: BlasOpening;
  readonly blas: OpenBlas;
}

/** The result of a search. */
export interface BlasSearch {
  readonly found?: FoundBlas;
  /** The reason why a library that is there, or was asked for, is not used. */
  readonly refusal?: string;
}

/** Returns Deno if this runtime is Deno and may open libraries. Without permission, opening one would ask the user. */
function allowedDeno(): typeof Deno | undefined {
  const deno = (globalThis as { Deno?: typeof Deno }).Deno;
  const { state } = deno?.permissions?.querySync({ name: "ffi" }) ?? {};
  return state === "granted" ? deno : undefined;
}

/**
 * The names of libraries by operating system, in the order in which they are tried. A name without a folder is
 * looked up in the system's folders; Windows would look in the working folder, too, so it has paths only.
 */
const usual: Readonly<Partial<Record<string, readonly string[]>>> = {
  linux: [
    // Fedora's libopenblas.so.0 is built for a single thread.
    ...["libopenblasp.so.0", "libopenblas.so.0", "libopenblas.so"],
    ...["libblis.so.4", "libblis-mt.so.5", "libblis-mt.so.4"],
    ...["libmkl_rt.so.2", "libmkl_rt.so.1", "libmkl_rt.so"],
  ],
  darwin: [
    "/System/Library/Frameworks/Accelerate.framework/Accelerate",
    "/opt/homebrew/opt/openblas/lib/libopenblas.dylib",
    "/usr/local/opt/openblas/lib/libopenblas.dylib",
  ],
  windows: [
    "C:\\Program Files (x86)\\Intel\\oneAPI\\mkl\\latest\\bin\\mkl_rt.2.dll",
  ],
};

/**
 * Looks for a library, and opens it in the calling thread.
 *
 * @param choice `auto` for one of the usual names, or the path of a library
 * @param engine the engine's threads, and true if they share memory, which a library needs
 */
export function findBlas(
  choice: string,
  { threads, shared }: { readonly threads: number; readonly shared: boolean },
): BlasSearch {
  const deno = allowedDeno();
  const isAsked = choice !== "auto";
  if (deno === undefined) {
    return isAsked
      ? { refusal: `${choice} needs Deno and its permission --allow-ffi` }
      : {};
  }
  if (!shared) return { refusal: "memory is not shared" };
  let refusal: string | undefined;
  for (const path of isAsked ? [choice] : usual[deno.build.os] ?? []) {
    const result = tryBlas(path, threads, deno);
    if ("name" in result) return { found: result };
    if (isAsked || !result.isAbsent) refusal ??= `${path} ${result.refusal}`;
  }
  return refusal === undefined ? {} : { refusal };
}

/** Opens a library and checks it; returns it or the reason why it cannot be used. */
function tryBlas(
  path: string,
  threads: number,
  deno: typeof Deno,
): FoundBlas | { readonly refusal: string; readonly isAbsent?: boolean } {
  const opening = { path, symbols: symbolsFor(deno.build) };
  let blas: OpenBlas;
  try {
    blas = openFitting(opening, deno);
  } catch (error) {
    const { message } = error as Error;
    if (message.includes("cblas_sgemm")) {
      return { refusal: "has no cblas_sgemm" };
    }
    // A library that is there may lack another one, which the message names instead.
    const isAbsent = message.includes(`${path}: cannot open`) ||
      /\(no such file\)|could not be found/.test(message);
    return {
      refusal: `cannot be opened: ${
        message.replace(/^(Could not open library: )+/, "")
      }`,
      isAbsent,
    };
  }
  const { name, isForOneThread, unpacked = 0 } = identify(path, blas, deno);
  const wrong = isForOneThread && threads > 1
    ? "is built for a single thread"
    : firstWrongProduct(blas.on);
  if (wrong === undefined) return { name, traits: { unpacked }, opening, blas };
  blas.close();
  return { refusal: wrong };
}

/** The functions that a library has or may have. */
function symbolsFor({ os, arch }: typeof Deno.build): BlasOpening["symbols"] {
  // A library may have sizes of 32 or of 64 bits. A number in 64 bits is right for both, except where
  // arguments on the stack are packed; the only library there has 32.
  const size = os === "darwin" && arch === "aarch64" ? "i32" : "i64";
  const maybe = (
    parameters: readonly Deno.NativeType[],
    result: Deno.NativeResultType,
  ) => ({ parameters, result, optional: true });
  return {
    cblas_sgemm: {
      parameters: [
        ...["i32", "i32", "i32", size, size, size, "f32"] as const,
        ...["usize", size, "usize", size, "f32", "usize", size] as const,
      ],
      result: "void",
    },
    openblas_set_num_threads: maybe(["i32"], "void"),
    openblas_get_config: maybe([], "pointer"),
    openblas_get_corename: maybe([], "pointer"),
    support_avx2: maybe([], "i32"),
    support_avx512: maybe([], "i32"),
    bli_thread_set_num_threads: maybe(["i64"], "void"),
    bli_info_get_version_str: maybe([], "pointer"),
    MKL_Set_Threading_Layer: maybe(["i32"], "i32"),
    MKL_Get_Version_String: maybe(["buffer", "i32"], "void"),
    BLASSetThreading: maybe(["u32"], "i32"),
  };
}

/** The kernels that OpenBLAS takes for a processor that it does not know, such as one newer than the library. They use vectors of 128 bits. */
const FALLBACK = "Prescott";

/** Opens a library. If OpenBLAS did not know the processor, opens it again with kernels for the vectors that the processor has. */
function openFitting(opening: BlasOpening, deno: typeof Deno): OpenBlas {
  const blas = openBlas(opening);
  const { openblas_get_corename: core, ...known } = blas.symbols;
  if (deno.build.os !== "linux" || textOf(core, deno) !== FALLBACK) return blas;
  const fitting = known["support_avx512"]?.()
    ? "SkylakeX"
    : known["support_avx2"]?.()
    ? "Haswell"
    : undefined;
  if (fitting === undefined) return blas;
  const libc = deno.dlopen("libc.so.6", {
    getenv: { parameters: ["buffer"], result: "pointer" },
    setenv: { parameters: ["buffer", "buffer", "i32"], result: "i32" },
    unsetenv: { parameters: ["buffer"], result: "i32" },
  });
  const { getenv, setenv, unsetenv } = libc.symbols;
  const text = (value: string) => new TextEncoder().encode(`${value}\0`);
  // OpenBLAS reads this variable when it is loaded.
  const name = text("OPENBLAS_CORETYPE");
  try {
    if (getenv(name) !== null) return blas;
    blas.close();
    setenv(name, text(fitting), 1);
    try {
      return openBlas(opening);
    } finally {
      unsetenv(name);
    }
  } finally {
    libc.close();
  }
}

/** Returns the text that a function of a library returns; empty if the library lacks the function. */
function textOf(
  call: OpenBlas["symbols"][string] | undefined,
  deno: typeof Deno,
): string {
  const at = call?.() as Deno.PointerValue | undefined;
  return at ? deno.UnsafePointerView.getCString(at) : "";
}

/** The kernels for which OpenBLAS computes small products without packing: those with vectors of 512 bits, from version 0.3.16 on. */
const unpackedCores = /^(SkylakeX|Cooperlake|Sapphirerapids)$/i;

/** The most multiplications and additions of a product that these kernels compute so: OpenBLAS's own limit. */
const UNPACKED = 1_000_000;

/** Returns a library's name, whether only one thread at a time may call it, and the most multiplications and additions of a product without packing. */
function identify(
  path: string,
  { symbols }: OpenBlas,
  deno: typeof Deno,
): { name: string; isForOneThread?: boolean; unpacked?: number } {
  const config = textOf(symbols["openblas_get_config"], deno);
  if (config) {
    const version = /^OpenBLAS \S+/.exec(config)?.[0] ?? "OpenBLAS";
    const core = textOf(symbols["openblas_get_corename"], deno);
    return {
      name: `${version} (${core})`,
      isForOneThread: config.includes("SINGLE_THREADED"),
      unpacked: unpackedCores.test(core) ? UNPACKED : 0,
    };
  }
  const blis = textOf(symbols["bli_info_get_version_str"], deno);
  if (blis) return { name: `BLIS ${blis}` };
  if (symbols["MKL_Get_Version_String"]) {
    const bytes = new Uint8Array(200);
    symbols["MKL_Get_Version_String"](bytes, bytes.length);
    const text = new TextDecoder().decode(bytes);
    return { name: `MKL ${/Version (\S+)/.exec(text)?.[1] ?? ""}`.trim() };
  }
  return { name: path.split(/[\\/]/).at(-1)! };
}
