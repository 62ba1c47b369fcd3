/**
 * A program on the CPU engine in a runtime that lacks something, for `runtimes_test.ts`
 * to run in a process of its own: `deno run elsewhere.ts MODE`. It prints what happened.
 */

import { openWasm } from "../../lib/backends/wasm/engine.ts";
import { filled, sums } from "../fixtures/sums.ts";

/** What the program tells of itself. */
export interface Told {
  readonly description?: string;
  readonly threads?: number;
  /** First element of the result; 2 is right. */
  readonly z?: number | undefined;
  /** Name, message and hint of what was thrown. */
  readonly error?: readonly string[];
}

/** Puts something else in a global's place. */
function replace(target: object, name: string, value: unknown): void {
  Object.defineProperty(target, name, { value, configurable: true });
}

/** What can be asked for. */
export type Mode =
  | "as it is"
  | "a BLAS"
  | "no shared memory"
  | "no WebAssembly"
  | "no SIMD"
  | "no relaxed SIMD"
  | "no workers"
  | "no second worker"
  | "failing workers"
  | "a policy against workers"
  | "a policy against WebAssembly";

/** How each runtime comes to lack what it lacks. */
const changes: Readonly<Record<Mode, () => void>> = {
  "as it is": () => {},
  "a BLAS": () => {},
  "no shared memory": () => {
    Reflect.deleteProperty(globalThis, "SharedArrayBuffer");
  },
  "no WebAssembly": () => {
    Reflect.deleteProperty(globalThis, "WebAssembly");
  },
  "no SIMD": () => replace(WebAssembly, "validate", () => false),
  "no relaxed SIMD": () => {
    // Any SIMD, but not in a module of any length.
    const validate = WebAssembly.validate;
    let large = 0;
    replace(
      WebAssembly,
      "validate",
      (bytes: Uint8Array<ArrayBuffer>) =>
        validate(bytes) && (bytes.length < 100 || ++large > 1),
    );
  },
  "no workers": () =>
    replace(
      globalThis,
      "Worker",
      class {
        constructor() {
          throw new Error("workers are not allowed here");
        }
      },
    ),
  "no second worker": () => {
    let count = 0;
    replace(
      globalThis,
      "Worker",
      class extends Worker {
        constructor(...args: ConstructorParameters<typeof Worker>) {
          if (++count > 1) throw new Error("one worker is enough");
          super(...args);
        }
      },
    );
  },
  "failing workers": () =>
    replace(
      globalThis,
      "Worker",
      class extends Worker {
        constructor() {
          super("data:text/javascript,throw new Error('out of order')", {
            type: "module",
          });
        }
      },
    ),
  // As Chromium has it where a Content-Security-Policy lacks worker-src blob:.
  "a policy against workers": () =>
    replace(
      globalThis,
      "Worker",
      class {
        onerror?: (event: Event) => void;
        postMessage() {
          setTimeout(() => this.onerror!(new Event("error")));
        }
        terminate() {}
      },
    ),
  "a policy against WebAssembly": () =>
    replace(WebAssembly, "compile", () => {
      const error = new WebAssembly.CompileError("it violates the policy");
      return Promise.reject(error);
    }),
};

async function tell(mode: Mode): Promise<Told> {
  changes[mode]();
  try {
    await using backend = await openWasm({
      threads: 3,
      blas: mode === "a BLAS" ? "auto" : "off",
    });
    const { description, threads } = backend;
    const program = await backend.compile(sums, new Map());
    program.buffer("a").write(filled(1));
    program.run();
    const [z] = await program.buffer("z").read();
    return { description, threads, z };
  } catch (error) {
    const { name, message, hint } = error as Error & { hint?: string };
    return { error: [name, message, hint ?? ""] };
  }
}

if (import.meta.main) {
  console.log(JSON.stringify(await tell(Deno.args[0] as Mode)));
}
