/** Cases of the conformance suite in float16: the small cases of every kernel that takes it, for backends that do. */

import { sizeOf } from "../../lib/checks/conformance.ts";
import type { Case } from "../../lib/checks/conformance_case.ts";
import { conformanceCases } from "../../lib/checks/conformance_cases.ts";
import { operandsOf } from "../../lib/checks/conformance_operands.ts";

/** Most elements in the operands of a case. */
const LARGEST = 1 << 13;

/** The cases. Operands of an odd length stay float32, and cases have no number that is too large for float16. */
export const halfCases: readonly Case[] = conformanceCases
  .filter((test) => sizeOf(test) <= LARGEST)
  .map((test) => ({ ...test, halves: true }))
  .filter((test) => {
    const { outputs, inputs } = operandsOf(test);
    const halves = [...outputs, ...inputs].filter(({ half }) => half);
    return halves.length > 0 &&
      halves.every(({ data }) => data.every(Number.isFinite));
  });
