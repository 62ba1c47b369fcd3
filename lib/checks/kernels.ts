/** Checks of every kernel of a backend against the float64 reference, with the small cases of the conformance suite. */

import type { KernelName } from "../../kernels/vocabulary.ts";
import { type Backend, executorOf } from "../backends/backend.ts";
import { checkCase, MismatchError, sizeOf } from "./conformance.ts";
import { conformanceCases } from "./conformance_cases.ts";
import { type CheckGroup, type Verdict, verdict } from "./verdict.ts";

/** Most elements in the operands of a case: enough for several tiles of every kernel. */
const LARGEST = 1 << 16;

/** Returns one check for each kernel of the vocabulary. */
export function kernelChecks(backend: Backend): CheckGroup {
  return {
    name: "kernels",
    meaning:
      "each kernel against float64; the worst error as a share of what rounding to 32 bits allows.",
    async *run() {
      const kernels = new Set(conformanceCases.map(({ kernel }) => kernel));
      for (const kernel of kernels) yield await kernelVerdict(backend, kernel);
    },
  };
}

/** Checks one kernel. */
export function kernelVerdict(
  backend: Backend,
  kernel: KernelName,
): Promise<Verdict> {
  const tests = conformanceCases.filter((test) =>
    test.kernel === kernel && sizeOf(test) <= LARGEST
  );
  return verdict(kernel, async () => {
    let worst = 0;
    for (const test of tests) {
      try {
        worst = Math.max(
          worst,
          (await checkCase(executorOf(backend), test)).worst,
        );
      } catch (error) {
        if (!(error instanceof MismatchError)) throw error;
        return {
          status: "failed",
          found: error.message,
          hint:
            `this device computes ${kernel} wrong: do not train on it; try another --device or a newer driver`,
        };
      }
    }
    return {
      status: "ok",
      found: `${worst.toFixed(2)} in ${tests.length} cases`,
      numbers: { worst, cases: tests.length },
    };
  });
}
