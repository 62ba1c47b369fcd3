/**
 * Lowers a plan to its list of compute passes, and checks them against what WebGPU
 * allows. Uses no device, so a plan that cannot run is refused before anything is
 * allocated.
 */

import { type KernelName, operandShapes } from "../../../kernels/vocabulary.ts";
import { withHalves } from "../../../kernels/wgsl/half.ts";
import { builders } from "../../../kernels/wgsl/registry.ts";
import type {
  Builder,
  Lowering,
  Pass,
  Target,
} from "../../../kernels/wgsl/kernel.ts";
import {
  type Dispatch,
  extentOf,
  type Operand,
  type Plan,
} from "../../graph/plan.ts";
import { refusal } from "../../refusal.ts";
import { nameOf } from "../checks.ts";

/** A pass, and the memory of its bindings. */
export interface PlacedPass {
  readonly pass: Pass;
  /** Index into {@linkcode Plan.dispatches}. */
  readonly dispatch: number;
  /**
   * Memory of each binding, in the order of the pass's bindings. `buffer` indexes {@linkcode Plan.buffers}; numbers past
   * its end name {@linkcode LoweredPlan.scratch} in order.
   */
  readonly operands: readonly Operand[];
}

/** A plan as compute passes for a target. */
export interface LoweredPlan {
  readonly passes: readonly PlacedPass[];
  /** Lengths, in 32-bit words, of buffers private to the program. Passes of one dispatch share them; dispatches reuse them. */
  readonly scratch: readonly number[];
}

/** Limits on the bindings of a pass, in addition to those of the target. */
export type BindingLimits = Pick<
  GPUSupportedLimits,
  "maxStorageBuffersPerShaderStage" | "minStorageBufferOffsetAlignment"
>;

/**
 * Lowers every dispatch of a plan.
 *
 * @throws {RangeError} if an operand is not inside its buffer or cannot be bound on this adapter
 * @throws {Error} if a pass would read and write one buffer, which WebGPU does not allow
 */
export function lowerPlan(
  plan: Plan,
  target: Target,
  limits: BindingLimits,
): LoweredPlan {
  const known = new Map<string, Lowering>();
  const passes: PlacedPass[] = [];
  const scratch: number[] = [];
  plan.dispatches.forEach((dispatch, index) => {
    const { outputs, inputs } = operandShapes(
      dispatch.kernel,
      dispatch.dims as never,
    );
    const placed = [...dispatch.outputs, ...dispatch.inputs];
    const operands = new Map<string, Operand>();
    const halves: string[] = [];
    [...outputs, ...inputs].forEach(({ name }, i) => {
      const operand = placed[i]!;
      operands.set(name, { ...operand, length: extentOf(operand) });
      if (operand.dtype === "f16") halves.push(name);
    });
    // Layers repeat the same dims many times over.
    const key = dispatch.kernel + JSON.stringify([dispatch.dims, halves]);
    const lowering = known.get(key) ??
      withHalves(lower(dispatch, target), halves, target);
    known.set(key, lowering);

    Object.entries(lowering.scratch).forEach(([name, length], i) => {
      scratch[i] = Math.max(scratch[i] ?? 0, length);
      const buffer = plan.buffers.length + i;
      operands.set(name, { buffer, offset: 0, length });
    });
    const action = `run ${nameOf(dispatch)}`;
    for (const pass of lowering.passes) {
      const bound = pass.bindings.map(({ operand, range }) => {
        const whole = operands.get(operand);
        if (!whole) {
          throw refusal(Error, action, `it has no operand ${operand}`);
        }
        if (!range) return whole;
        const { buffer, offset } = whole;
        return { ...range, buffer, offset: offset + range.offset };
      });
      const placed = { pass, dispatch: index, operands: bound };
      checkLimits(placed, plan, limits, target.bindingSize, action);
      checkAliasing(placed, plan, action);
      passes.push(placed);
    }
  });
  return { passes, scratch };
}

function lower(dispatch: Dispatch, target: Target): Lowering {
  // The record pairs each name with its own dims, as Dispatch does; the compiler cannot follow a union through it.
  const build = builders[dispatch.kernel] as Builder<KernelName>;
  return build(dispatch.dims, target);
}

/**
 * Checks a pass against the limits of the device.
 *
 * @param action what cannot be done, in messages
 */
function checkLimits(
  { pass: { bindings }, operands }: PlacedPass,
  { buffers }: Plan,
  limits: BindingLimits,
  bindingSize: number,
  action: string,
): void {
  const most = limits.maxStorageBuffersPerShaderStage;
  if (operands.length > most) {
    throw refusal(
      RangeError,
      action,
      `it binds ${operands.length} buffers and this adapter allows ${most}`,
    );
  }
  for (const [i, { buffer, offset, length }] of operands.entries()) {
    if (4 * length > bindingSize) {
      const spec = buffers[buffer];
      const store = spec?.kind === "store" ? ` of ${spec.name}` : "";
      throw refusal(
        RangeError,
        action,
        `its ${bindings[i]!.operand} takes ${
          4 * length
        } bytes${store}, more than the ${bindingSize} that this adapter binds`,
      );
    }
    const alignment = limits.minStorageBufferOffsetAlignment;
    if (4 * offset % alignment !== 0) {
      throw refusal(
        RangeError,
        action,
        `byte offset ${4 * offset} is not a multiple of ${alignment}`,
      );
    }
  }
}

/** Checks that a pass follows WebGPU's rule: a buffer is either only read, or is written in a range that no other binding reaches. */
function checkAliasing(
  { pass: { bindings }, operands }: PlacedPass,
  { buffers }: Plan,
  action: string,
): void {
  operands.forEach((a, i) => {
    operands.slice(0, i).forEach((b, j) => {
      if (a.buffer !== b.buffer) return;
      const [first, second] = [bindings[j]!.access, bindings[i]!.access];
      const apart = a.offset + a.length <= b.offset ||
        b.offset + b.length <= a.offset;
      if (first === second && (first === "read" || apart)) return;
      const name = buffers[a.buffer]?.name ?? "scratch";
      throw refusal(
        Error,
        action,
        `it binds ${name} twice (${first}, ${second})`,
      );
    });
  });
}
