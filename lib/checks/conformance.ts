/**
 * The conformance suite: one set of cases (`conformance_cases.ts`) that every backend must
 * compute as the float64 reference does. The tests run all of it, the verb `check` the small ones.
 *
 * A case is a plan that runs one kernel twice: on buffers of its own, of exactly the right
 * length, and on stretches of stores that begin at offset 64 and have sentinels around them.
 * All is then run once more: the bits must be the same each time.
 */

import type {
  BufferKind,
  BufferSpec,
  Dispatch,
  Operand as Stretch,
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

/** Elements before and after an operand in its store: the alignment that plans keep. */
const MARGIN = 64;

/** What stands in the margins; exact in every type. */
const SENTINEL = -77;

/** Cases with more elements than this are not run in stores as well: what those show, small ones show. */
const LARGEST_IN_STORES = 1 << 21;

/** What was computed for one case. */
export interface Outcome {
  /** The largest error as a part of its tolerance; 1 would just pass. */
  readonly worst: number;
  /** Where, for people. */
  readonly at: string;
}

/** A backend did not compute what it should have. */
export class MismatchError extends Error {
  override readonly name = "MismatchError";
}

/** Elements of all operands of a case. */
export function sizeOf({ kernel, dims }: Case): number {
  const { outputs, inputs } = operandShapes(kernel, dims as never);
  return [...outputs, ...inputs].reduce((sum, { length }) => sum + length, 0);
}

/** A case in words: its dims, without flags that are off. */
export function describe({ kernel, dims, note }: Case): string {
  const words = Object.entries(dims).flatMap(([name, value]) => {
    if (value === false) return [];
    if (value === true) return [name];
    return [`${name}=${Array.isArray(value) ? `[${value}]` : value}`];
  });
  return [kernel, ...words, ...(note ? [`(${note})`] : [])].join(" ");
}

/**
 * Runs a case on a backend and compares.
 *
 * @throws {MismatchError} saying where the worst element is, what was expected and what was
 * computed
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

/** What the reference makes of the outputs. */
function expect(test: Case, { outputs, inputs }: Operands): Memory[] {
  const expected = outputs.map(({ data }) => data.slice());
  run(test.kernel, expected, inputs.map(({ data }) => data), test.dims);
  return expected;
}

/** What each buffer of a plan holds before a run. */
type Contents = ReadonlyMap<string, Memory>;

/** A plan, ready to be tried. */
interface Prepared {
  readonly plan: Plan;
  readonly contents: Contents;
}

function planOf(test: Case, { outputs, inputs }: Operands): Prepared {
  const buffers: BufferSpec[] = [];
  const contents = new Map<string, Memory>();
  const own =
    (kind: BufferKind) => ({ name, dtype, data }: Operand): Stretch => {
      const { length } = data;
      const buffer = buffers.push({ name: `own ${name}`, kind, dtype, length });
      contents.set(`own ${name}`, data);
      return { buffer: buffer - 1, offset: 0, length };
    };
  const inStore = ({ name, dtype, data }: Operand): Stretch => {
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
  const dispatch = (outputs: Stretch[], inputs: Stretch[]) => {
    const { kernel, dims } = test;
    const label = describe(test);
    return { kernel, dims, outputs, inputs, label } as Dispatch;
  };
  const dispatches = [
    dispatch(outputs.map(own("output")), inputs.map(own("input"))),
  ];
  if (sizeOf(test) <= LARGEST_IN_STORES) {
    dispatches.push(dispatch(outputs.map(inStore), inputs.map(inStore)));
  }
  return {
    plan: { name: describe(test), buffers, dispatches, phases: {} },
    contents,
  };
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

/** Presets every buffer, runs, and reads every buffer. */
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

/** Nothing beside the operands was written, and no input. */
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

/** One output of a case, and what it ought to be. */
interface Target {
  readonly output: Operand;
  readonly operands: Operands;
  readonly expected: Memory;
}

/** The largest error of one output against its tolerance. */
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
  const allowed = (i: number) => units * UNIT * size(i);
  const skipped = test.unspecified?.[output.name] ?? [];
  let worst = 0;
  let at = 0;
  for (let i = 0; i < expected.length; i++) {
    const wanted = expected[i]!;
    if (matches(actual[i]!, wanted) || skipped.includes(i)) continue;
    // What the reference left as it was, or says is nothing, must be so to the bit.
    const discrete = wanted === output.data[i] ||
      wanted === 0 && !tolerance.cancels;
    const part = discrete
      ? Infinity
      : Math.abs(actual[i]! - wanted) / allowed(i);
    // A NaN, where a number is expected, is the worst of all.
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

/** What the error of each element is relative to. */
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

/** Whether a number is what was expected, in 64 or 32 bits. Which of NaN and the infinities it is does not matter. */
function matches(actual: number, expected: number): boolean {
  if (actual === expected || actual === Math.fround(expected)) return true;
  return !Number.isFinite(expected) && !Number.isFinite(actual);
}
