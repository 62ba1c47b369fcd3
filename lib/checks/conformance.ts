/**
 * The conformance suite: one set of cases (`conformance_cases.ts`) for which every backend must
 * agree with the float64 reference. The tests run all cases, the command `check` the small ones.
 *
 * A case is a plan that runs one kernel twice: on buffers of exactly the right length, and on
 * ranges of stores that start at offset 64 and have sentinels around them. The plan runs twice
 * and must give the same bits both times. A case of float16 runs its kernel once, on slots that are copied from and to the buffers.
 */

import type {
  BufferKind,
  BufferSpec,
  Dispatch,
  Operand as BufferRange,
  Plan,
} from "../graph/plan.ts";
import type {
  Executor,
  Numbers,
  Program,
  Stores,
} from "../backends/backend.ts";
import { operandShapes } from "../../kernels/vocabulary.ts";
import type { Case } from "./conformance_case.ts";
import {
  type Memory,
  type Operand,
  type Operands,
  operandsOf,
  run,
} from "./conformance_operands.ts";
import { type Tolerance, toleranceOf, UNIT } from "./conformance_tolerances.ts";

/** Elements before and after an operand in its store: the alignment of operands in plans. */
const MARGIN = 64;

/** Value of the margins, exact in every element type. */
const SENTINEL = -77;

/** Most elements of a case that also runs in stores; smaller cases cover the same code. */
const LARGEST_IN_STORES = 1 << 21;

/** Result of one case. */
export interface Outcome {
  /** Largest error divided by its tolerance; 1 just passes. */
  readonly worst: number;
  /** Description of the element with the largest error. */
  readonly at: string;
}

/** Error thrown if the result of a backend is wrong. */
export class MismatchError extends Error {
  override readonly name = "MismatchError";
}

/** Returns the number of elements of all operands of a case. */
export function sizeOf({ kernel, dims }: Case): number {
  const { outputs, inputs } = operandShapes(kernel, dims as never);
  return [...outputs, ...inputs].reduce((sum, { length }) => sum + length, 0);
}

/** Describes a case by its dims, without flags that are off. */
export function describe({ kernel, dims, halves, note }: Case): string {
  const words = Object.entries(dims).flatMap(([name, value]) => {
    if (value === false || value === null) return [];
    if (value === true) return [name];
    return [`${name}=${Array.isArray(value) ? `[${value}]` : value}`];
  });
  const types = halves ? ["in float16"] : [];
  return [kernel, ...words, ...types, ...(note ? [`(${note})`] : [])].join(" ");
}

/**
 * Runs a case on a backend and compares the result with the reference.
 *
 * @throws {MismatchError} if the result is wrong; the message gives the worst element with its
 * expected and actual values
 */
export async function checkCase(
  backend: Executor,
  test: Case,
): Promise<Outcome> {
  const operands = operandsOf(test);
  const expected = expect(test, operands);
  const { plan, contents } = planOf(test, operands);
  const stores: Stores = new Map();
  const program = await backend.compile(plan, stores);
  try {
    const first = await runOnce(program, contents);
    const second = await runOnce(program, contents);
    for (const [name, numbers] of first) {
      assertSameBits(numbers, second.get(name)!, `${name}, run again`, test);
    }
    checkUntouched(test, { operands, contents }, first);
    const outcomes = operands.outputs.map((output, index) => {
      const actual = first.get(`own ${output.name}`)!;
      const store = first.get(`store ${output.name}`);
      if (store) {
        const part = store.subarray(MARGIN, MARGIN + output.length);
        assertSameBits(part, actual, `${output.name} at an offset`, test);
      }
      const target = { output, operands, expected: expected[index]! };
      return compare(test, target, actual);
    });
    return outcomes.reduce((a, b) => a.worst >= b.worst ? a : b);
  } finally {
    program.destroy();
    for (const store of stores.values()) store.destroy();
  }
}

/** Returns the outputs that the reference computes. */
function expect(test: Case, { outputs, inputs }: Operands): Memory[] {
  const expected = outputs.map(({ data }) => data.slice());
  run(test.kernel, expected, inputs.map(({ data }) => data), test.dims);
  return expected.map((data, i) =>
    outputs[i]!.half ? data.map(Math.f16round) : data
  );
}

/** Content of each buffer of a plan before a run. */
type Contents = ReadonlyMap<string, Memory>;

/** Returns a plan and the initial content of its buffers. */
function planOf(
  test: Case,
  { outputs, inputs }: Operands,
): { readonly plan: Plan; readonly contents: Contents } {
  const buffers: BufferSpec[] = [];
  const contents = new Map<string, Memory>();
  const own =
    (kind: BufferKind) => ({ name, dtype, data }: Operand): BufferRange => {
      const { length } = data;
      const buffer = buffers.push({ name: `own ${name}`, kind, dtype, length });
      contents.set(`own ${name}`, data);
      return { buffer: buffer - 1, offset: 0, length };
    };
  const inStore = ({ name, dtype, data }: Operand): BufferRange => {
    const padded = withMargins(data);
    const buffer = buffers.push({
      name: `store ${name}`,
      kind: "store",
      dtype,
      length: padded.length,
    });
    contents.set(`store ${name}`, padded);
    return { buffer: buffer - 1, offset: MARGIN, length: data.length };
  };
  const dispatch = (outputs: BufferRange[], inputs: BufferRange[]) => {
    const { kernel, dims } = test;
    const label = describe(test);
    return { kernel, dims, outputs, inputs, label } as Dispatch;
  };
  const dispatches: Dispatch[] = [];
  const results: Dispatch[] = [];
  /** Returns the range of an operand in buffers that the host reads; for one of float16, a slot that is copied from there and, if an output, back. */
  const place = (kind: "input" | "output") => (operand: Operand) => {
    const range = own(kind)(operand);
    if (!operand.half) return range;
    const { length } = range;
    const name = `half ${operand.name}`;
    const slot = {
      name,
      kind: "slot",
      dtype: "f32",
      length: length / 2,
    } as const;
    const half = {
      buffer: buffers.push(slot) - 1,
      offset: 0,
      length,
      dtype: "f16",
    } as const;
    dispatches.push(copy(half, range));
    if (kind === "output") results.push(copy(range, half));
    return half;
  };
  const [to, from] = [outputs.map(place("output")), inputs.map(place("input"))];
  dispatches.push(dispatch(to, from), ...results);
  if (!test.halves && sizeOf(test) <= LARGEST_IN_STORES) {
    dispatches.push(dispatch(outputs.map(inStore), inputs.map(inStore)));
  }
  return {
    plan: { name: describe(test), buffers, dispatches, phases: {} },
    contents,
  };
}

/** Returns the dispatch that copies one range to another, and converts its numbers if the types differ. */
function copy(to: BufferRange, from: BufferRange): Dispatch {
  const dims = { n: to.length };
  return { kernel: "copy", dims, outputs: [to], inputs: [from], label: "" };
}

function withMargins(data: Memory): Memory {
  const length = data.length + 2 * MARGIN;
  const padded = data instanceof Int32Array
    ? new Int32Array(length)
    : new Float64Array(length);
  padded.fill(SENTINEL);
  padded.set(data, MARGIN);
  return padded;
}

/** Fills all buffers, runs the program, and reads all buffers. */
async function runOnce(
  program: Program,
  contents: Contents,
): Promise<Map<string, Numbers>> {
  for (const [name, data] of contents) program.buffer(name).write(data);
  program.run();
  return new Map(
    await Promise.all(
      [...contents.keys()].map(async (name) =>
        [name, await program.buffer(name).read()] as const
      ),
    ),
  );
}

function assertSameBits(
  actual: Numbers,
  expected: ArrayLike<number>,
  what: string,
  test: Case,
): void {
  for (let i = 0; i < actual.length; i++) {
    if (Object.is(actual[i], expected[i])) continue;
    throw new MismatchError(
      `${describe(test)}: ${what}: element ${i} is ${actual[i]}, not ${
        expected[i]
      }`,
    );
  }
}

/** Throws if a run wrote to an input or outside the operands. */
function checkUntouched(
  test: Case,
  { operands, contents }: { operands: Operands; contents: Contents },
  after: ReadonlyMap<string, Numbers>,
): void {
  for (const { name } of operands.inputs) {
    for (const buffer of [`own ${name}`, `store ${name}`]) {
      const before = contents.get(buffer);
      if (before) assertSameBits(after.get(buffer)!, before, buffer, test);
    }
  }
  for (const { name, length } of operands.outputs) {
    const store = after.get(`store ${name}`);
    if (!store) continue;
    const sentinels = new Array<number>(MARGIN).fill(SENTINEL);
    const what = `the margin of store ${name}`;
    assertSameBits(store.subarray(0, MARGIN), sentinels, what, test);
    assertSameBits(store.subarray(MARGIN + length), sentinels, what, test);
  }
}

/** One output of a case, with its expected content. */
interface Target {
  readonly output: Operand;
  readonly operands: Operands;
  readonly expected: Memory;
}

/** Returns the largest error of one output relative to its tolerance. */
function compare(
  test: Case,
  { output, operands, expected }: Target,
  actual: Numbers,
): Outcome {
  const get = (name: string) =>
    [...operands.inputs, ...operands.outputs]
      .find((operand) => operand.name === name)!.data;
  const tolerance = toleranceOf(test, output.name, get);
  const { units } = tolerance;
  const size = sizes(expected, tolerance);
  const ofStorage = (i: number) =>
    output.half ? 2 ** -10 * Math.abs(expected[i]!) + 2 ** -24 : 0;
  const allowed = (i: number) => units * UNIT * size(i) + ofStorage(i);
  const skipped = test.unspecified?.[output.name] ?? [];
  let worst = 0;
  let at = 0;
  for (let i = 0; i < expected.length; i++) {
    const wanted = expected[i]!;
    if (matches(actual[i]!, wanted) || skipped.includes(i)) continue;
    // Elements that the reference leaves unchanged, or for which it computes 0, must match to the bit.
    const discrete = wanted === output.data[i] ||
      wanted === 0 && !tolerance.cancels && !output.half;
    const part = discrete
      ? Infinity
      : Math.abs(actual[i]! - wanted) / allowed(i);
    // A NaN in place of a number counts as the largest error.
    if (part > worst || Number.isNaN(part)) [worst, at] = [part, i];
  }
  const where = `${output.name}[${at}]`;
  if (worst <= 1) return { worst, at: `${describe(test)}: ${where}` };
  throw new MismatchError(
    `${describe(test)}: ${where} is ${actual[at]}, expected ${
      expected[at]
    }: off by ${Math.abs(actual[at]! - expected[at]!)}, allowed ${allowed(at)}`,
  );
}

/** Returns the size that the error of each element is relative to. */
function sizes(
  expected: Memory,
  { magnitude = 0, elementwise = false, partOf = () => "" }: Tolerance,
): (element: number) => number {
  if (elementwise) return (i) => Math.max(magnitude, Math.abs(expected[i]!));
  const largest = new Map<string, number>();
  expected.forEach((x, i) => {
    const known = largest.get(partOf(i)) ?? magnitude;
    if (Number.isFinite(x)) {
      largest.set(partOf(i), Math.max(known, Math.abs(x)));
    }
  });
  return (i) => largest.get(partOf(i)) ?? magnitude;
}

/** Returns whether a number matches the expected one in 64 or 32 bits. NaN and the infinities count as equal. */
function matches(actual: number, expected: number): boolean {
  if (actual === expected || actual === Math.fround(expected)) return true;
  return !Number.isFinite(expected) && !Number.isFinite(actual);
}
