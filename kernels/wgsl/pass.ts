/**
 * The frame of a kernel's text: declarations of its operands, the entry point and
 * the grid. Builders add the code of one invocation, one workgroup, or one row.
 */

import {
  type KernelDims,
  type KernelName,
  type OperandShape,
  operandShapes,
} from "../vocabulary.ts";
import {
  type Binding,
  type Builder,
  extensions,
  type Feature,
  type Lowering,
  type Pass,
  type Range,
  type Target,
} from "./kernel.ts";
import { PLACE } from "./subgroups.ts";
import { grid, indent } from "./text.ts";

/** An operand or a scratch buffer as a pass sees it. */
export interface Parameter extends Binding {
  /** Its name in the text. */
  readonly name: string;
  /** WGSL type of its elements. */
  readonly element: string;
}

/** Returns an operand, or a range of it, that the pass writes (and may read). */
export function output(
  name: string,
  element = "f32",
  range: Range | undefined = undefined,
): Parameter {
  return { operand: name, name, element, range, access: "read_write" };
}

/** Returns an operand, or a range of it, that the pass only reads. */
export function input(
  name: string,
  element = "f32",
  range: Range | undefined = undefined,
): Parameter {
  return { operand: name, name, element, range, access: "read" };
}

/**
 * Returns all operands of a dispatch, as a pass sees them.
 *
 * @param elements the WGSL types of elements, by the operand's name or else by dtype; the dtype itself where there is neither
 */
export function operandsOf<Name extends KernelName>(
  kernel: Name,
  dims: KernelDims[Name],
  elements: Readonly<Record<string, string>>,
): Parameter[] {
  const { outputs, inputs } = operandShapes(kernel, dims);
  const elementOf = ({ name, dtype }: OperandShape) =>
    elements[name] ?? elements[dtype] ?? dtype;
  return [
    ...outputs.map((shape) => output(shape.name, elementOf(shape))),
    ...inputs.map((shape) => input(shape.name, elementOf(shape))),
  ];
}

/** The parts of a pass that builders supply. */
export interface PassParts {
  readonly target: Target;
  readonly parameters: readonly Parameter[];
  /** The optional features that the text uses; none if left out. */
  readonly features?: readonly Feature[];
  /** Functions, constants and workgroup variables, before the entry point. */
  readonly declarations?: string;
  /** The number of invocations, workgroups or rows. */
  readonly count: number;
  /** Invocations per workgroup. */
  readonly size?: number;
  /** The code of one invocation, workgroup or row. */
  readonly body: string;
}

/** The default number of invocations per workgroup. */
export const SIZE = 64;

/** Returns a pass of `count` independent invocations. In the body, `i` is the number of the invocation. */
export function invocations(parts: PassParts): Pass {
  const { count, size = SIZE, target } = parts;
  const { workgroups, index } = grid(Math.ceil(count / size), target);
  const whole = workgroups[0] * workgroups[1] * size === count;
  return frame({ ...parts, size }, workgroups, [
    `let i = ${index} * ${size}u + local;`,
    ...whole ? [] : [`if (i >= ${count}u) { return; }`],
  ]);
}

/** Returns a pass of `count` workgroups whose invocations cooperate. In the body, `row` is the number of the workgroup, and `local` that of the invocation in it. */
export function groups(parts: PassParts): Pass {
  const { count, target } = parts;
  const { workgroups, index } = grid(count, target);
  const whole = workgroups[0] * workgroups[1] === count;
  return frame({ size: SIZE, ...parts }, workgroups, [
    `let row = ${index};`,
    ...whole ? [] : [`if (row >= ${count}u) { return; }`],
  ]);
}

/** The parts of a pass, and whether its count and its body are of invocations or of workgroups. */
export interface Share extends PassParts {
  readonly each: "invocation" | "workgroup";
  /** The count as a WGSL expression, for texts that do not depend on it; the number itself if left out. */
  readonly countText?: string;
}

/** Returns the pass of a single share. */
export function alone({ each, ...parts }: Share): Pass {
  return each === "invocation" ? invocations(parts) : groups(parts);
}

/**
 * Returns a pass of two shares that depend on nothing of one another, so that one launch computes both: the first workgroups
 * belong to the first share. Both have workgroups of one size, and operands of one name are the same.
 */
export function together(first: Share, second: Share): Pass {
  const size = first.size ?? SIZE;
  const [own, others] = [first, second].map(({ each, count }) =>
    each === "workgroup" ? count : Math.ceil(count / size)
  ) as [number, number];
  const textOf = ({ count, countText }: Share) => countText ?? `${count}u`;
  const ownText = first.each === "workgroup"
    ? textOf(first)
    : `(${textOf(first)} + ${size - 1}u) / ${size}u`;
  const functionOf = (name: string, share: Share) => {
    const opening = share.each === "workgroup" ? "let row = group;" : `
let i = group * ${size}u + local;
if (i >= ${textOf(share)}) { return; }`;
    return `fn ${name}(group: u32, local: u32) {
  ${indent(`${opening.trim()}\n${share.body.trim()}`, 2)}
}`;
  };
  const known = new Set(first.parameters.map(({ name }) => name));
  return groups({
    target: first.target,
    size,
    features: [first, second].flatMap(({ features = [] }) => features),
    count: own + others,
    parameters: [
      ...first.parameters,
      ...second.parameters.filter(({ name }) => !known.has(name)),
    ],
    declarations: [
      first.declarations ?? "",
      functionOf("first", first),
      second.declarations ?? "",
      functionOf("second", second),
    ].join("\n\n"),
    body: `
let own = ${ownText};
if (row < own) {
  first(row, local);
} else {
  second(row - own, local);
}`,
  });
}

/** Returns a dispatch of one pass. */
export function single(pass: Pass): Lowering {
  return { passes: [pass], scratch: {} };
}

/**
 * Returns the builder of a kernel that computes each element independently. In its text, every operand is an array with the
 * operand's name; the elements of `f32` operands have type `F`, which holds `lanes` numbers.
 */
export function elementwise<Name extends KernelName>(
  kernel: Name,
  textOf: (
    dims: KernelDims[Name],
    lanes: 1 | 4,
  ) => Pick<PassParts, "declarations" | "body">,
): Builder<Name> {
  return (dims, target) => {
    const n = operandShapes(kernel, dims).outputs[0]!.length;
    const lanes = lanesOf(n);
    const { declarations = "", body } = textOf(dims, lanes);
    return single(invocations({
      target,
      parameters: operandsOf(kernel, dims, { f32: "F", i32: "u32" }),
      declarations: `alias F = ${vectorOf(lanes)};\n${declarations}`,
      count: n / lanes,
      body,
    }));
  };
}

/** The alignment of offsets that every adapter can bind, in 32-bit words: 256 bytes. */
export const ALIGNMENT = 64;

/**
 * Returns a dispatch on operands of n words, which may be longer than the adapter can bind (whole stores of
 * parameters): one pass for each range that it can bind.
 */
export function inRanges(
  n: number,
  { bindingSize }: Pick<Target, "bindingSize">,
  pass: (range: Range) => Pass,
): Lowering {
  const most = ALIGNMENT * Math.floor(bindingSize / 4 / ALIGNMENT);
  const passes = Array.from({ length: Math.ceil(n / most) }, (_, i) => {
    const offset = i * most;
    return pass({ offset, length: Math.min(most, n - offset) });
  });
  return { passes, scratch: {} };
}

/** Returns 4 if every length is a multiple of 4, so that a kernel can read four numbers at a time; else 1. */
export function lanesOf(...lengths: readonly number[]): 1 | 4 {
  return lengths.every((length) => length % 4 === 0) ? 4 : 1;
}

/** Returns the WGSL type of 1 or 4 numbers. */
export function vectorOf(lanes: 1 | 4): "f32" | "vec4f" {
  return lanes === 4 ? "vec4f" : "f32";
}

function frame(
  { target, parameters, features = [], declarations = "", size, body }:
    PassParts,
  workgroups: Pass["workgroups"],
  opening: readonly string[],
): Pass {
  const bindings = parameters.map(({ name, element, access }, binding) =>
    `@group(0) @binding(${binding}) var<storage, ${access}> ${name}: array<${element}>;`
  );
  const [place, placed, ...placing] = features.includes("subgroups")
    ? PLACE
    : ["", ""] as const;
  const between = [place, declarations.trim()]
    .map((text) => text === "" ? "" : `${text}\n\n`).join("");
  const code = `${enabled(features, target)}${bindings.join("\n")}

${between}@compute @workgroup_size(${size})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) local: u32,${placed}
) {
  ${indent([...placing, ...opening, body.trim()].join("\n"), 2)}
}
`;
  return {
    code,
    bindings: parameters.map(({ operand, access, range }) => ({
      operand,
      access,
      range,
    })),
    workgroups,
  };
}

/**
 * Returns the directives at the head of a text that uses these features.
 *
 * @throws {RangeError} if the adapter lacks one of them
 */
export function enabled(
  features: readonly Feature[],
  target: Pick<Target, "features" | "undeclared">,
): string {
  return [...new Set(features)].map((feature) => {
    if (target.features.includes(feature)) {
      return target.undeclared?.includes(feature)
        ? ""
        : `enable ${extensions[feature]};\n`;
    }
    throw new RangeError(
      `Cannot write a pass with ${feature}: the adapter lacks it`,
    );
  }).join("");
}
