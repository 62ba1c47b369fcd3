/** The check that a backend takes a plan with operands of float16. */

import { refusal } from "../refusal.ts";
import type { Plan } from "../graph/plan.ts";
import type { Executor } from "./backend.ts";

/** Returns whether a plan has operands of float16. */
export function hasHalves({ dispatches }: Plan): boolean {
  return dispatches.some(({ outputs, inputs }) =>
    [...outputs, ...inputs].some(({ dtype }) => dtype === "f16")
  );
}

/**
 * Checks that a backend takes the operands of a plan.
 *
 * @throws {RangeError} if some are float16, and the backend takes none
 */
export function checkHalves(
  plan: Plan,
  { halves, description }: Pick<Executor, "halves" | "description">,
): void {
  if (halves || !hasHalves(plan)) return;
  throw halvesRefusal(plan, `${description} has no float16`);
}

/** Returns the error of a plan that a device refuses because of its operands of float16. */
export function halvesRefusal({ name }: Plan, reason: string): RangeError {
  return refusal(RangeError, `compile ${name}`, reason, {
    hint: "a run of precision f32 trains on every device",
    fields: ["precision"],
  });
}
