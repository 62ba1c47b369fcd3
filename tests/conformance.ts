/**
 * The conformance suite: one set of cases (`conformance_cases.ts`) that every backend must
 * compute as the float64 reference does. A backend's test calls {@linkcode registerConformance}.
 *
 * A case is a plan that runs one kernel twice, in two phases: on buffers of its own, of exactly
 * the right length, and on stretches of stores that begin at offset 64 and have sentinels
 * around them. All is then run once more: the bits must be the same each time.
 */

import { assertEquals, AssertionError } from "@std/assert";
import type { KernelName } from "../kernels/vocabulary.ts";
import type {
  BufferKind,
  BufferSpec,
  Dispatch,
  Operand as Stretch,
  Plan,
} from "../lib/graph/plan.ts";
import type { Backend, Numbers, Program } from "../lib/backends/backend.ts";
import { type Case, conformanceCases } from "./conformance_cases.ts";
import {
  type Memory,
  type Operand,
  type Operands,
  operandsOf,
  run,
} from "./conformance_operands.ts";
import {
  largest,
  type Tolerance,
  toleranceOf,
  UNIT,
} from "./conformance_tolerances.ts";

/** Elements before and after an operand in its store: the alignment that plans keep. */
const MARGIN = 64;

/** What stands in the margins; exact in every type. */
const SENTINEL = -77;

/** Larger operands are not tried in stores as well: those take memory until the backend closes. */
const LARGEST_IN_STORE = 1 << 20;

/** What was computed for one case. */
export interface Outcome {
  /** The largest error as a part of its tolerance; 1 would just pass. */
  readonly worst: number;
  /** Where, for people. */
  readonly at: string;
}

/**
 * Registers a test for each kernel, with a step for each of its cases.
 *
 * @param name what the backend is called in the tests' names
 * @param open opens the backend, for each kernel anew
 */
export function registerConformance(
  name: string,
  open: () => Promise<Backend>,
  { ignore = false }: { ignore?: boolean } = {},
): void {
  const cases = Map.groupBy(conformanceCases, ({ kernel }) => kernel);
  for (const [kernel, tests] of cases) {
    Deno.test({
      name: `${kernel} on ${name} agrees with the float64 reference`,
      ignore,
      fn: async (context) => {
        await using backend = await open();
        for (const test of tests) {
          await context.step(describe(test), async () => {
            await checkCase(backend, test);
          });
        }
      },
    });
  }
}

/** The kernels that have cases. */
export function coveredKernels(): Set<KernelName> {
  return new Set(conformanceCases.map(({ kernel }) => kernel));
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
 * @throws {AssertionError} saying where the worst element is, what was expected and what was
 * computed
 */
export async function checkCase(
  backend: Backend,
  test: Case,
): Promise<Outcome> {
  const operands = operandsOf(test);
  const expected = expect(test, operands);
  const { plan, contents } = planOf(test, operands);
  const program = await backend.compile(plan, new Map());
  try {
    const first = await runOnce(program, contents);
    const second = await runOnce(program, contents);
    for (const [name, numbers] of first) {
      assertSameBits(numbers, second.get(name)!, `${name}, run again`, test);
    }
    checkMargins(contents, first, test);
    const outcomes = operands.outputs.map((output, index) => {
      const actual = first.get(`own ${output.name}`)!;
      const inStore = first.get(`store ${output.name}`);
      if (inStore) {
        const part = inStore.subarray(MARGIN, MARGIN + output.length);
        assertSameBits(part, actual, `${output.name} at an offset`, test);
      }
      return compare(test, { output, operands, expected: expected[index]! }, {
        actual,
      });
    });
    return outcomes.reduce((a, b) => a.worst >= b.worst ? a : b);
  } finally {
    program.destroy();
  }
}

/** What the reference makes of the outputs. */
function expect(test: Case, { outputs, inputs }: Operands): Memory[] {
  const expected = outputs.map(({ data }) => data.slice());
  run(test.kernel, expected, inputs.map(({ data }) => data), test.dims);
  return expected;
}

/** A plan, and what each of its buffers holds before a run. */
interface Prepared {
  readonly plan: Plan;
  readonly contents: ReadonlyMap<string, Memory>;
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
  if (
    [...outputs, ...inputs].every(({ length }) => length <= LARGEST_IN_STORE)
  ) {
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
  contents: ReadonlyMap<string, Memory>,
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
  expected: Numbers,
  what: string,
  test: Case,
): void {
  const index = actual.findIndex((x, i) => !Object.is(x, expected[i]));
  assertEquals(
    index,
    -1,
    `${describe(test)}: ${what}: element ${index} is ${actual[index]}, it was ${
      expected[index]
    }`,
  );
}

/** Nothing beside the operands was written, and no input. */
function checkMargins(
  contents: ReadonlyMap<string, Memory>,
  after: ReadonlyMap<string, Numbers>,
  test: Case,
): void {
  const { inputs } = operandsOf(test);
  const names = new Set(
    inputs.flatMap(({ name }) => [`own ${name}`, `store ${name}`]),
  );
  for (const [name, before] of contents) {
    const numbers = after.get(name)!;
    const isInput = names.has(name);
    if (isInput) {
      assertSameBits(numbers, numbersLike(numbers, before), name, test);
    }
    if (isInput || name.startsWith("own ")) continue;
    const end = before.length - MARGIN;
    for (const margin of [numbers.subarray(0, MARGIN), numbers.subarray(end)]) {
      const sentinels = margin.slice().fill(SENTINEL);
      assertSameBits(margin, sentinels, `the margin of ${name}`, test);
    }
  }
}

/** The data in the type that the backend has it in. */
function numbersLike(numbers: Numbers, data: Memory): Numbers {
  return numbers instanceof Float32Array ? Float32Array.from(data) : data;
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
  { actual }: { actual: Numbers },
): Outcome {
  const get = (name: string) =>
    [...operands.inputs, ...operands.outputs]
      .find((operand) => operand.name === name)!.data;
  const tolerance = toleranceOf(test, output.name, get);
  const finite = expected.filter((x) => Number.isFinite(x));
  const scale = Math.max(largest(finite), tolerance.magnitude ?? 0);
  const allowed = tolerance.units * UNIT * scale;
  const skipped = new Set(test.unspecified?.[output.name] ?? []);
  let [worst, at] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    if (skipped.has(i)) continue;
    const element = { before: output.data[i]!, expected: expected[i]! };
    const part = errorOf(actual[i]!, element, { allowed, tolerance });
    if (part > worst) [worst, at] = [part, i];
  }
  const where = `${output.name}[${at}]`;
  if (worst > 1) {
    throw new AssertionError(
      `${describe(test)}: ${where} is ${actual[at]}, expected ${
        expected[at]
      }: off by ${Math.abs(actual[at]! - expected[at]!)}, allowed ${allowed}`,
    );
  }
  return { worst, at: `${describe(test)}: ${where}` };
}

/** The error of one element as a part of what is allowed. */
function errorOf(
  actual: number,
  { before, expected }: { before: number; expected: number },
  { allowed, tolerance }: { allowed: number; tolerance: Tolerance },
): number {
  const rounded = Math.fround(expected);
  if (actual === expected || actual === rounded) return 0;
  // Which of NaN and the infinities it is, is not the point.
  if (!Number.isFinite(rounded)) return Number.isFinite(actual) ? Infinity : 0;
  if (Number.isNaN(actual)) return Infinity;
  // What the reference left alone, or says is nothing, must be so to the bit.
  if (expected === before) return Infinity;
  if (expected === 0 && !tolerance.cancels) return Infinity;
  return Math.abs(actual - expected) / allowed;
}
