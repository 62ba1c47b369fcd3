/**
 * Stand-in for `jsr:@std/assert`: the functions that the tests use, with the
 * messages and differences of Deno's own `node:assert`. Each accepts no more than its namesake does.
 *
 * @module
 */
import { AssertionError as NodeAssertionError } from "node:assert";
import { isDeepStrictEqual } from "node:util";

// deno-lint-ignore no-explicit-any
type ErrorClass<E extends Error> = new (...args: any[]) => E;

/** Thrown by a failed assertion. */
export class AssertionError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "AssertionError";
  }
}

/** Passes when `expr` is truthy. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError(msg);
}

/** Passes when |actual - expected| <= tolerance (1e-7 of `expected` if left out). */
export function assertAlmostEquals(
  actual: number,
  expected: number,
  tolerance?: number,
  msg?: string,
): void {
  const delta = Math.abs(expected - actual);
  const most = tolerance ??
    (isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7);
  if (Object.is(actual, expected) || delta <= most) return;
  throw new AssertionError(
    `Expected actual: "${actual}" to be close to "${expected}": delta "${delta}" is greater than "${most}"${
      suffix(msg)
    }`,
  );
}

/** Passes when the two are deeply equal; 0 equals -0, and NaN itself. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  if (equal(actual, expected)) return;
  throw new AssertionError(
    `Values are not equal${suffix(msg)}\n${difference(actual, expected)}`,
  );
}

/** Passes when the two are not deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  if (!equal(actual, expected)) return;
  throw new AssertionError(
    `Expected actual: ${shown(actual)} not to be: ${shown(expected)}${
      suffix(msg)
    }`,
  );
}

/** Passes when `Object.is(actual, expected)`. */
export function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  msg?: string,
): asserts actual is T {
  if (Object.is(actual, expected)) return;
  throw new AssertionError(
    `Values are not strictly equal${suffix(msg)}\nactual: ${
      shown(actual)
    }\nexpected: ${shown(expected)}`,
  );
}

/** Passes when actual > expected. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  compare(actual > expected, [actual, ">", expected], msg);
}

/** Passes when actual >= expected. */
export function assertGreaterOrEqual<T>(
  actual: T,
  expected: T,
  msg?: string,
): void {
  compare(actual >= expected, [actual, ">=", expected], msg);
}

/** Passes when actual < expected. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  compare(actual < expected, [actual, "<", expected], msg);
}

/** Passes when actual <= expected. */
export function assertLessOrEqual<T>(
  actual: T,
  expected: T,
  msg?: string,
): void {
  compare(actual <= expected, [actual, "<=", expected], msg);
}

function compare(
  holds: boolean,
  [actual, sign, expected]: readonly [unknown, string, unknown],
  msg = `Expect ${shown(actual)} ${sign} ${shown(expected)}`,
): void {
  if (!holds) throw new AssertionError(msg);
}

/** Passes when the pattern matches somewhere in `actual`. */
export function assertMatch(
  actual: string,
  expected: RegExp,
  msg?: string,
): void {
  if (expected.test(actual)) return;
  throw new AssertionError(
    `Expected actual: "${actual}" to match: "${expected}"${suffix(msg)}`,
  );
}

/** Passes when `actual` contains `expected`. */
export function assertStringIncludes(
  actual: string,
  expected: string,
  msg?: string,
): void {
  if (actual.includes(expected)) return;
  throw new AssertionError(
    `Expected actual: "${actual}" to contain: "${expected}"${suffix(msg)}`,
  );
}

/** Passes when `fn` throws; returns what it threw. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** Passes when `fn` throws an `errorClass` whose message holds `msgIncludes`. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  errorClass: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows(
  fn: () => unknown,
  ...wanted: readonly unknown[]
): unknown {
  const { msg } = read(wanted);
  try {
    fn();
  } catch (error) {
    return checkError(error, wanted);
  }
  throw new AssertionError(`Expected function to throw${suffix(msg)}`);
}

/** Passes when `fn`'s promise rejects; resolves to the reason. */
export function assertRejects(
  fn: () => PromiseLike<unknown>,
  msg?: string,
): Promise<unknown>;
/** Passes when `fn`'s promise rejects with an `errorClass` whose message holds `msgIncludes`. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  errorClass: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects(
  fn: () => PromiseLike<unknown>,
  ...wanted: readonly unknown[]
): Promise<unknown> {
  const { msg } = read(wanted);
  let promise: PromiseLike<unknown> | undefined;
  try {
    promise = fn();
  } catch {
    // Whatever it is, it was thrown and not rejected.
  }
  if (typeof promise?.then !== "function") {
    throw new AssertionError(
      `Function throws when expected to reject${suffix(msg)}`,
    );
  }
  try {
    await promise;
  } catch (error) {
    return checkError(error, wanted);
  }
  throw new AssertionError(`Expected function to reject${suffix(msg)}`);
}

interface Wanted {
  readonly errorClass?: ErrorClass<Error>;
  readonly includes?: string;
  readonly msg?: string;
}

function read(wanted: readonly unknown[]): Wanted {
  const [errorClass, includes, msg] = wanted;
  return (typeof errorClass === "string"
    ? { msg: errorClass }
    : { errorClass, includes, msg }) as Wanted;
}

function checkError(error: unknown, wanted: readonly unknown[]): unknown {
  const { errorClass, includes = "", msg } = read(wanted);
  if (errorClass === undefined) return error;
  if (!(error instanceof errorClass)) {
    throw new AssertionError(
      `Expected error to be instance of "${errorClass.name}", but was "${
        className(error)
      }"${suffix(msg)}`,
      { cause: error },
    );
  }
  if (error.message.includes(includes)) return error;
  throw new AssertionError(
    `Expected error message to include ${JSON.stringify(includes)}, but got ${
      JSON.stringify(error.message)
    }${suffix(msg)}`,
    { cause: error },
  );
}

function className(value: unknown): string {
  return Object(value).constructor?.name ?? "null";
}

function suffix(msg: string | undefined): string {
  return msg ? `: ${msg}` : ".";
}

/** The longest values, in characters, of which all differences are sought: that takes a time that is their product. */
const LONGEST = 20_000;

/** What differs: line by line, or of long values the first place. */
function difference(actual: unknown, expected: unknown): string {
  const options = { depth: Infinity, iterableLimit: Infinity } as const;
  const [a, b] = [actual, expected].map((value) =>
    Deno.inspect(value, { ...options, strAbbreviateSize: Infinity })
  ) as [string, string];
  if (Math.max(a.length, b.length) <= LONGEST) {
    const operator = "deepStrictEqual";
    return new NodeAssertionError({ actual, expected, operator }).message;
  }
  let at = 0;
  while (at < a.length && a[at] === b[at]) at++;
  const [found, wanted] = [a, b].map((text) =>
    text.slice(Math.max(0, at - 100), at + 100)
  );
  return `At character ${at} of what they look like:\n… ${found} …\n\n!==\n\n… ${wanted} …`;
}

function shown(value: unknown): string {
  return Deno.inspect(value, { depth: Infinity });
}

/** Returns whether a value is an object or an array without a class of its own. */
function isPlain(value: unknown): value is Record<PropertyKey, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype ||
    prototype === Array.prototype;
}

/** Deep equality as @std/assert has it: unlike in node:util, 0 equals -0, and a null prototype counts for nothing. */
function equal(a: unknown, b: unknown): boolean {
  if (a === b || isDeepStrictEqual(a, b)) return true;
  if (ArrayBuffer.isView(a) && ArrayBuffer.isView(b)) return equalViews(a, b);
  if (a instanceof Map && b instanceof Map) {
    return a.size === b.size &&
      [...a].every(([key, value]) => b.has(key) && equal(value, b.get(key)));
  }
  if (!isPlain(a) || !isPlain(b) || Array.isArray(a) !== Array.isArray(b)) {
    return false;
  }
  const keys = Reflect.ownKeys(a);
  return keys.length === Reflect.ownKeys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && equal(a[key], b[key]));
}

function equalViews(a: ArrayBufferView, b: ArrayBufferView): boolean {
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  const [one, other] = [a, b] as unknown as ArrayLike<number>[];
  return one!.length === other!.length &&
    Array.from(one!).every((value, i) =>
      value === other![i] || Object.is(value, other![i])
    );
}
