/**
 * A native BLAS through Deno's FFI: opens a library in the calling thread, and makes the
 * function by which this thread multiplies matrices in the engine's memory.
 */

/**
 * y[M,N] = alpha · product + beta · y, by addresses in the engine's memory and by strides, the numbers from a row to the next.
 * Forms: 0 is a[M,K] · b[K,N], 1 is a[M,K] · b[N,K]ᵀ, 2 is a[K,M]ᵀ · b[K,N]. If beta is 0, y is not read.
 */
export type Sgemm = (
  form: number,
  M: number,
  N: number,
  K: number,
  alpha: number,
  a: number,
  aStride: number,
  b: number,
  bStride: number,
  beta: number,
  y: number,
  yStride: number,
) => void;

/** A library and its functions as plain data, which each thread opens for itself. */
export interface BlasOpening {
  /** A path, or a name that the system looks up in its own folders. */
  readonly path: string;
  readonly symbols: Readonly<Record<string, Deno.ForeignFunction>>;
}

/** A library as one thread has it open. */
export interface OpenBlas {
  /** The library's functions by name; null for those that it lacks. */
  readonly symbols: Readonly<
    Record<string, ((...args: unknown[]) => unknown) | null>
  >;
  /** Makes the function that multiplies in this memory, which must stay at its place: shared memory does. */
  on(memory: WebAssembly.Memory): Sgemm;
  close(): void;
}

/**
 * Opens a library and makes its calls from this thread compute in this thread alone, since the engine has threads of its own.
 *
 * The workers' program contains the text of this function, so it may name nothing but globals.
 *
 * @throws {Error} if the library cannot be opened or lacks `cblas_sgemm`
 */
export function openBlas({ path, symbols }: BlasOpening): OpenBlas {
  const { dlopen, UnsafePointer } = Deno;
  const library = dlopen(path, symbols);
  const known = library.symbols as unknown as OpenBlas["symbols"];
  known["openblas_set_num_threads"]?.(1);
  known["bli_thread_set_num_threads"]?.(1);
  known["MKL_Set_Threading_Layer"]?.(1); // MKL_THREADING_SEQUENTIAL
  known["BLASSetThreading"]?.(1); // BLAS_THREADING_SINGLE_THREADED
  const gemm = known["cblas_sgemm"]!;
  return {
    symbols: known,
    on: ({ buffer }) => {
      const bytes = UnsafePointer.of(new Uint8Array(buffer));
      const start = Number(UnsafePointer.value(bytes));
      // Deno calls a function five times as fast if its 64-bit arguments are BigInts. Making one takes a while, too.
      const made = Array.from({ length: 4096 }, (_, n) => BigInt(n));
      const isWide = symbols["cblas_sgemm"]!.parameters.includes("i64");
      const size = (n: number) => isWide ? made[n] ?? BigInt(n) : n;
      // WebAssembly passes addresses as signed integers.
      const address = (at: number) => BigInt(start + (at >>> 0));
      return (
        form,
        M,
        N,
        K,
        alpha,
        a,
        aStride,
        b,
        bStride,
        beta,
        y,
        yStride,
      ) => {
        gemm(
          101, // CblasRowMajor
          form === 2 ? 112 : 111, // CblasTrans, CblasNoTrans
          form === 1 ? 112 : 111,
          size(M),
          size(N),
          size(K),
          alpha,
          address(a),
          size(aStride),
          address(b),
          size(bStride),
          beta,
          address(y),
          size(yStride),
        );
      };
    },
    close: () => library.close(),
  };
}
