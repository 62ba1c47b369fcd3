/**
 * The threads of the wasm backend other than the caller's: workers that share its
 * memory and run the module's `work` until they end.
 */

import { CONTROL_CLOSING, CONTROL_JOB } from "../../../kernels/wasm/codes.ts";
import { type BlasOpening, openBlas } from "./blas/open.ts";

/**
 * The program of a worker. Starting it from a Blob needs no permission and works wherever
 * the package was loaded from.
 */
const program = `
${openBlas}
onmessage = ({ data: { module, memory, opening } }) => {
  let sgemm = () => {};
  try {
    if (opening) sgemm = openBlas(opening).on(memory);
  } catch (error) {
    return postMessage("failed: " + error.message);
  }
  const env = { memory, sgemm };
  const { exports } = new WebAssembly.Instance(module, { env });
  postMessage("started");
  try {
    exports.work();
    postMessage("ended");
  } catch (error) {
    exports.fail();
    postMessage("failed: " + error.message);
  }
};
`;

/** Milliseconds that a worker may take to start, on a machine that is busy with other things. */
const START_MS = 10_000;

/** Milliseconds that a worker may take to leave `work` before it is terminated. */
const END_MS = 2_000;

/** A team of workers. */
export class WasmWorkers {
  readonly #workers: readonly Worker[];
  readonly #ended: Promise<void>[] = [];
  #failure: string | undefined;

  private constructor(workers: readonly Worker[]) {
    this.#workers = workers;
    for (const worker of workers) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#ended.push(promise);
      worker.onmessage = ({ data }) => {
        if (data !== "ended") this.#failure ??= `a worker ${data}`;
        resolve();
      };
      worker.onerror = (event) => {
        event.preventDefault();
        this.#failure ??= `a worker failed: ${event.message}`;
        resolve();
      };
    }
  }

  /** The number of workers. */
  get count(): number {
    return this.#workers.length;
  }

  /** The reason why a worker failed; undefined while none has. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /**
   * Starts workers. If one cannot be started, there are none.
   *
   * @returns the workers, and the reason why there are fewer than requested
   */
  static async start(
    count: number,
    message: {
      module: WebAssembly.Module;
      memory: WebAssembly.Memory;
      opening: BlasOpening | undefined;
    },
  ): Promise<{ workers: WasmWorkers; failure?: string }> {
    if (count === 0) return { workers: new WasmWorkers([]) };
    const started: Worker[] = [];
    const starting = new AbortController();
    const url = URL.createObjectURL(
      new Blob([program], { type: "text/javascript" }),
    );
    try {
      const ready = Array.from({ length: count }, () => {
        const worker = new Worker(url, { type: "module" });
        started.push(worker);
        worker.postMessage(message);
        return startOf(worker, starting.signal);
      });
      await Promise.all(ready);
      return { workers: new WasmWorkers(started) };
    } catch (error) {
      starting.abort();
      // Deno does not end a worker while it sleeps on memory.
      dismiss(new Int32Array(message.memory.buffer));
      for (const worker of started) worker.terminate();
      return {
        workers: new WasmWorkers([]),
        failure: (error as Error).message,
      };
    } finally {
      URL.revokeObjectURL(url);
    }
  }

  /**
   * Tells the workers to end, and resolves when they have ended.
   *
   * @param control the words of the control block
   */
  async close(control: Int32Array): Promise<void> {
    dismiss(control);
    // A worker that ended without a message must not keep the caller waiting.
    const { promise: patience, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, END_MS);
    await Promise.race([Promise.all(this.#ended), patience]);
    clearTimeout(timer);
    for (const worker of this.#workers) worker.terminate();
  }
}

/** Sets the words of the control block that tell workers to leave `work`, or not to begin it. */
function dismiss(control: Int32Array): void {
  Atomics.store(control, CONTROL_CLOSING / 4, 1);
  Atomics.add(control, CONTROL_JOB / 4, 1);
  Atomics.notify(control, CONTROL_JOB / 4);
}

/** Resolves when a worker reports that it has started; never settles if another worker fails first. */
function startOf(worker: Worker, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => clearTimeout(timer));
    const timer = setTimeout(
      () => reject(new Error(`a worker did not start in ${START_MS} ms`)),
      START_MS,
    );
    worker.onmessage = ({ data }) => {
      clearTimeout(timer);
      if (data === "started") resolve();
      else reject(new Error(`a worker ${data}`));
    };
    worker.onerror = (event) => {
      event.preventDefault();
      clearTimeout(timer);
      // A page's policy refuses workers by an event that has no message.
      const reason = event.message ||
        "the page's Content-Security-Policy may lack worker-src blob:";
      reject(new Error(reason));
    };
  });
}
