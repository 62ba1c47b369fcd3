/**
 * Stand-in for `jsr:@std/testing/bdd`: nested suites on `Deno.test`, each
 * outermost suite one test and everything inside it a step, so that Deno's
 * sanitizers hold for them. (`node:test` would switch these off.)
 *
 * Only the plain forms are here: `describe(name, body)`, `it(name, body)`,
 * their `skip`, and the four hooks inside a suite.
 *
 * @module
 */

/** A test or a hook. */
export type TestBody = () => void | Promise<void>;

/** What {@linkcode describe} and {@linkcode it} are. */
export interface Registrar<Body> {
  (name: string, body: Body): void;
  skip(name: string, body: Body): void;
}

type Hook = "beforeAll" | "beforeEach" | "afterEach" | "afterAll";

interface Case {
  name: string;
  ignore: boolean;
  body: TestBody;
}

interface Suite {
  name: string;
  ignore: boolean;
  parent: Suite | undefined;
  hooks: Record<Hook, TestBody[]>;
  children: (Suite | Case)[];
}

/** The suite whose body is being read. */
let current: Suite | undefined;

function addSuite(name: string, body: () => void, ignore: boolean): void {
  const parent = current;
  const hooks = { beforeAll: [], beforeEach: [], afterEach: [], afterAll: [] };
  const suite: Suite = { name, ignore, parent, hooks, children: [] };
  current = suite;
  try {
    body();
  } finally {
    current = parent;
  }
  if (parent) parent.children.push(suite);
  else Deno.test({ name, ignore, fn: (t) => runSuite(suite, t) });
}

function addCase(name: string, body: TestBody, ignore: boolean): void {
  if (current) current.children.push({ name, ignore, body });
  else Deno.test({ name, ignore, fn: body });
}

function addHook(kind: Hook, body: TestBody): void {
  if (!current) throw new Error(`Cannot add ${kind}: not inside describe()`);
  current.hooks[kind].push(body);
}

async function runSuite(suite: Suite, t: Deno.TestContext): Promise<void> {
  try {
    for (const hook of suite.hooks.beforeAll) await hook();
    for (const child of suite.children) {
      const { name, ignore } = child;
      const fn = (step: Deno.TestContext) =>
        "body" in child ? runCase(child, suite) : runSuite(child, step);
      await t.step({ name, ignore, fn });
    }
  } finally {
    for (const hook of suite.hooks.afterAll) await hook();
  }
}

/** Runs one case between the hooks of its suites: outermost first, and back. */
async function runCase(test: Case, suite: Suite): Promise<void> {
  const suites = [suite];
  for (let s = suite.parent; s; s = s.parent) suites.unshift(s);
  try {
    for (const s of suites) {
      for (const hook of s.hooks.beforeEach) await hook();
    }
    await test.body();
  } finally {
    for (const s of suites.reverse()) {
      for (const hook of s.hooks.afterEach) await hook();
    }
  }
}

/** Registers a suite of tests; `skip` one that is reported as ignored. */
export const describe: Registrar<() => void> = Object.assign(
  (name: string, body: () => void) => addSuite(name, body, false),
  { skip: (name: string, body: () => void) => addSuite(name, body, true) },
);

/** Registers a test; `skip` one that is reported as ignored. */
export const it: Registrar<TestBody> = Object.assign(
  (name: string, body: TestBody) => addCase(name, body, false),
  { skip: (name: string, body: TestBody) => addCase(name, body, true) },
);

/** Runs `body` before the first test of the suite. */
export function beforeAll(body: TestBody): void {
  addHook("beforeAll", body);
}

/** Runs `body` before each test of the suite and of the suites within. */
export function beforeEach(body: TestBody): void {
  addHook("beforeEach", body);
}

/** Runs `body` after each test of the suite and of the suites within. */
export function afterEach(body: TestBody): void {
  addHook("afterEach", body);
}

/** Runs `body` after the last test of the suite. */
export function afterAll(body: TestBody): void {
  addHook("afterAll", body);
}
