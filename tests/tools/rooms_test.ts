/**
 * Each rule of tools/lint_rooms.ts is shown to fire on an offending file and to
 * stay silent on one that does the same thing in a room that may. That the
 * project itself obeys is for `deno lint` to say.
 */

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import plugin from "../../tools/lint_rooms.ts";

/** The findings of the rooms' rules, were `source` the file at `path`. */
function findings(path: string, source: string): Deno.lint.Diagnostic[] {
  const file = new URL(`../../${path}`, import.meta.url);
  return Deno.lint.runPlugin(plugin, decodeURIComponent(file.pathname), source);
}

/** Checks that `source` at `path` breaks one rule, once, for that reason. */
function assertRefused(
  path: string,
  source: string,
  expected: { rule: string; reason: string },
): void {
  const found = findings(path, source);
  const about = `${path}: ${source.slice(0, 80)}`;
  assertEquals(found.map(({ id }) => id), [`rooms/${expected.rule}`], about);
  assertStringIncludes(found[0]?.message ?? "", expected.reason, about);
}

function assertAllowed(path: string, source: string): void {
  const messages = findings(path, source).map(({ message }) => message);
  assertEquals(messages, [], `${path}: ${source.slice(0, 80)}`);
}

/** Every pair of rooms that are not to know each other: importer, imported. */
const refusedImports: [string, string][] = [
  ["examples/train.ts", "../lib/model/model.ts"],
  ["mod.ts", "./lib/cli/verbs/train.ts"],
  ["mod.ts", "./lib/lab/trial.ts"],
  ["mod.ts", "./data/datasets.ts"],
  ["mod.ts", "./cli.ts"],
  ["cli.ts", "./lib/model/model.ts"],
  ["lib/cli/verbs/train.ts", "../../../kernels/wgsl/matmul.ts"],
  ["lib/cli/verbs/train.ts", "../../../tools/verify.ts"],
  ["lib/text/sampler.ts", "../graph/tensor.ts"],
  ["lib/text/tokenizer.ts", "../backends/backend.ts"],
  ["lib/text/tokenizer.ts", "../formats/checkpoint.ts"],
  ["lib/text/dataset.ts", "../../data/datasets.ts"],
  ["lib/config/model.ts", "../model/model.ts"],
  ["lib/formats/checkpoint.ts", "../model/model.ts"],
  ["lib/model/network.ts", "../cli/verbs/train.ts"],
  ["lib/model/network.ts", "../train/optimizer.ts"],
  ["lib/model/network.ts", "../../mod.ts"],
  ["lib/model/network.ts", "../text/mod.ts"],
  ["lib/text/ngram.ts", "./mod.ts"],
  ["lib/cli/verbs/train.ts", "../../../mod.ts"],
  ["lib/text/mod.ts", "../model/model.ts"],
  ["lib/model/network.ts", "../../kernels/wasm/step.ts"],
  ["lib/model/network.ts", "../nowhere/else.ts"],
  ["lib/model/generate.ts", "../../kernels/wgsl/matmul.ts"],
  ["lib/train/trainer.ts", "../../data/datasets.ts"],
  ["lib/train/trainer.ts", "../lab/trial.ts"],
  ["lib/lab/trial.ts", "../cli/lab/run.ts"],
  ["lib/report/html.ts", "../lab/table.ts"],
  ["lib/report/html.ts", "../cli/command/program.ts"],
  ["lib/model/model.ts", "../report/numbers.ts"],
  ["lib/graph/plan.ts", "../backends/backend.ts"],
  ["lib/graph/ops/matmul.ts", "../../model/model.ts"],
  ["lib/graph/ops/matmul.ts", "../../../kernels/wgsl/matmul.ts"],
  ["lib/backends/webgpu/engine.ts", "../../model/model.ts"],
  ["lib/backends/webgpu/engine.ts", "../../cli/verbs/info.ts"],
  ["lib/backends/wasm/engine.ts", "../../../tests/rooms_test.ts"],
  ["lib/backends/wasm/engine.ts", "../../../kernels/wasm/assembly/tile.ts"],
  ["kernels/vocabulary.ts", "./wgsl/matmul.ts"],
  ["kernels/random.ts", "./vocabulary.ts"],
  ["kernels/reference/matmul.ts", "../wgsl/text.ts"],
  ["kernels/reference/matmul.ts", "../../lib/graph/plan.ts"],
  ["kernels/wgsl/matmul.ts", "../random.ts"],
  ["kernels/wgsl/matmul.ts", "../../lib/graph/plan.ts"],
  ["kernels/wgsl/matmul.ts", "../wasm/step.ts"],
  ["kernels/wasm/matmul.ts", "../wgsl/text.ts"],
  ["kernels/wasm/matmul.ts", "../random.ts"],
  ["kernels/wasm/matmul.ts", "../../lib/backends/wasm/engine.ts"],
  ["kernels/wasm/matmul.ts", "./assembly/tile.ts"],
  ["data/datasets.ts", "../lib/text/tokenizer.ts"],
  ["tests/model_test.ts", "../../elsewhere/model.ts"],
];

const allowedImports: [string, string][] = [
  ["mod.ts", "./lib/model/model.ts"],
  ["mod.ts", "./lib/backends/backend.ts"],
  ["cli.ts", "./lib/cli/command/main.ts"],
  ["lib/cli/verbs/train.ts", "../../../data/datasets.ts"],
  ["lib/cli/verbs/train.ts", "../command/arguments.ts"],
  ["lib/cli/verbs/info.ts", "../../graph/plan.ts"],
  ["lib/text/dataset.ts", "../../kernels/random.ts"],
  ["lib/formats/checkpoint.ts", "../text/tokenizer.ts"],
  ["lib/model/network.ts", "../graph/tensor.ts"],
  ["lib/train/trainer.ts", "../backends/backend.ts"],
  ["lib/train/trainer.ts", "../config/train.ts"],
  ["lib/graph/plan.ts", "../../kernels/vocabulary.ts"],
  ["lib/graph/ops/matmul.ts", "../tensor.ts"],
  ["lib/backends/webgpu/engine.ts", "../../../kernels/wgsl/matmul.ts"],
  ["lib/backends/reference.ts", "../graph/plan.ts"],
  ["lib/backends/reference.ts", "../../kernels/reference/registry.ts"],
  ["lib/backends/wasm/module.ts", "../../../kernels/wasm/module.generated.ts"],
  ["kernels/reference/elementwise.ts", "../random.ts"],
  ["kernels/wgsl/matmul.ts", "./text.ts"],
  ["kernels/wgsl/matmul.ts", "../vocabulary.ts"],
  ["kernels/wasm/matmul.ts", "./codes.ts"],
  ["kernels/wasm/matmul.ts", "../vocabulary.ts"],
  ["tests/wasm/threads_test.ts", "../../kernels/wasm/codes.ts"],
  ["data/moby_dick.ts", "./datasets.ts"],
  ["tests/gpu/matmul_test.ts", "../../kernels/wgsl/matmul.ts"],
  ["bench/matmul.ts", "../lib/backends/webgpu/engine.ts"],
  ["tools/verify.ts", "../lib/text/mod.ts"],
  ["tools/verify.ts", "../lib/cli/command/arguments.ts"],
];

Deno.test("Rooms refuse imports against the arrows", () => {
  for (const [importer, specifier] of refusedImports) {
    assertRefused(importer, `import { a } from "${specifier}"; a();`, {
      rule: "imports",
      reason: "may not import",
    });
  }
});

Deno.test("Rooms allow imports along the arrows", () => {
  for (const [importer, specifier] of allowedImports) {
    assertAllowed(importer, `import { a } from "${specifier}"; a();`);
  }
});

Deno.test("Rooms see an import in every form it can take", () => {
  const forms = [
    `import "../backends/backend.ts";`,
    `import * as a from "../backends/backend.ts"; a.b();`,
    `import type { A } from "../backends/backend.ts"; export let a: A;`,
    `const a = await import("../backends/backend.ts"); a.b();`,
    `export let a: import("../backends/backend.ts").A;`,
  ];
  const reason = "lib/graph may not import lib/backends";
  for (const source of forms) {
    assertRefused("lib/graph/plan.ts", source, { rule: "imports", reason });
    assertAllowed("lib/backends/webgpu/engine.ts", source);
  }
});

Deno.test("Rooms keep packages out of the library", () => {
  const refused = [
    ["mod.ts", "@std/path"],
    ["lib/model/network.ts", "npm:mathjs@14"],
    ["lib/text/tokenizer.ts", "node:buffer"],
    ["lib/graph/plan.ts", "jsr:@std/assert@1"],
    ["lib/backends/wasm/engine.ts", "https://example.com/mod.ts"],
    ["kernels/wgsl/matmul.ts", "@std/assert"],
    ["lib/cli/verbs/train.ts", "npm:chalk@5"],
    ["lib/cli/verbs/train.ts", "@observablehq/plot"],
    ["lib/report/html.ts", "npm:linkedom@0.18.12"],
    ["examples/train.ts", "@std/path"],
  ] as const;
  for (const [path, name] of refused) {
    assertRefused(path, `import { a } from "${name}"; a();`, {
      rule: "imports",
      reason: `may not import the package ${name}`,
    });
  }
  assertAllowed(
    "lib/cli/verbs/train.ts",
    `import { join } from "@std/path"; join();`,
  );
  assertAllowed(
    "lib/report/plotter.ts",
    `await import("@observablehq/plot"); await import("linkedom");`,
  );
  assertAllowed("data/moby_dick.ts", `await import("npm:@stdlib/x@1.0.0");`);
  assertAllowed("tests/model_test.ts", `import { a } from "npm:a@1"; a();`);
  for (const door of ["@lm/core", "@lm/core/text"]) {
    const program = `import { a } from "${door}"; console.log(a);`;
    assertAllowed("examples/train.ts", program);
  }
});

Deno.test("Rooms keep Deno and the console to programs", () => {
  const uses = [
    [`Deno.readFileSync("a");`, "Deno"],
    [`globalThis.Deno.exit();`, "Deno"],
    [`export let file: Deno.FsFile;`, "Deno"],
    [`console.log("a");`, "console"],
  ] as const;
  for (const [source, name] of uses) {
    for (
      const path of ["mod.ts", "lib/model/network.ts", "kernels/random.ts"]
    ) {
      const reason = `may not touch ${name}`;
      assertRefused(path, source, { rule: "platform", reason });
    }
    for (
      const path of ["cli.ts", "lib/cli/verbs/train.ts", "data/datasets.ts"]
    ) {
      assertAllowed(path, source);
    }
    assertAllowed("tests/model_test.ts", source);
  }
});

Deno.test("Rooms keep devices to lib/backends", () => {
  const uses = [
    [`await navigator.gpu.requestAdapter();`, "navigator"],
    [`const { gpu } = globalThis.navigator; gpu.a();`, "navigator"],
    [`new WebAssembly.Module(bytes);`, "WebAssembly"],
    [`new Worker(url);`, "Worker"],
    [`export let worker: Worker;`, "Worker"],
  ] as const;
  for (const [source, name] of uses) {
    const others = ["lib/model/network.ts", "lib/graph/plan.ts", "cli.ts"];
    for (const path of [...others, "kernels/wasm/step.ts"]) {
      const owners = name === "Worker"
        ? "lib/cli, lib/backends"
        : "lib/backends";
      const reason = `may not touch ${name}: it belongs to ${owners}`;
      assertRefused(path, source, { rule: "platform", reason });
    }
    assertAllowed("lib/backends/webgpu/engine.ts", source);
    assertAllowed("bench/matmul.ts", source);
  }
  assertAllowed("lib/cli/terminal/interrupt.ts", "new Worker(url);");
});

Deno.test("Rooms leave properties named like a global alone", () => {
  assertAllowed("lib/model/network.ts", `f({ Worker: 1 }, engine.console);`);
});

Deno.test("Rooms refuse default exports", () => {
  const rule = "exports";
  const reason = "not as default";
  for (
    const path of ["lib/model/network.ts", "cli.ts", "tests/model_test.ts"]
  ) {
    assertRefused(path, "export default class Model {}", { rule, reason });
    assertAllowed(path, "export class Model {}");
  }
});

Deno.test("Rooms have no barrel but the doors, named mod.ts", () => {
  const sources = [
    `export { random } from "./random.ts";`,
    `export type { Random } from "./random.ts";`,
    `export * from "./random.ts";`,
  ];
  for (const source of sources) {
    const reason = "Only a mod.ts may export from elsewhere";
    assertRefused("lib/text/all.ts", source, { rule: "exports", reason });
    assertAllowed("mod.ts", source.replace("./", "./lib/text/"));
    assertAllowed("lib/text/mod.ts", source.replace("./", "../text/"));
    assertRefused("lib/text/en/mod.ts", source, { rule: "exports", reason });
    assertAllowed("tools/std/assert/mod.ts", source);
  }
});

Deno.test("Rooms refuse a file of more than 500 lines", () => {
  const lines = (count: number) => "export let a: number;\n".repeat(count);
  const reason = "has 501 lines, more than 500";
  assertRefused("lib/model/network.ts", lines(501), { rule: "place", reason });
  assertAllowed("lib/model/network.ts", lines(500));
  assertRefused("lib/backends/wasm/module.ts", lines(501), {
    rule: "place",
    reason,
  });
  assertAllowed("kernels/wasm/module.generated.ts", lines(501));
});

Deno.test("Rooms refuse a file that belongs to none of them", () => {
  const paths = [
    ...["model.ts", "src/model.ts", "lib/vision/model.ts"],
    ...["kernels/spirv/matmul.ts", "kernels/wasm/assembly/tile.ts"],
  ];
  for (const path of paths) {
    const reason = "stands in no room";
    assertRefused(path, `f();`, { rule: "place", reason });
  }
});

Deno.test("Rooms refuse a file name that says nothing", () => {
  const paths = [
    "lib/text/utils.ts",
    "lib/cli/helpers.ts",
    "tests/gpu_util.ts",
  ];
  for (const path of paths) {
    const reason = "does not say what it holds";
    assertRefused(path, `f();`, { rule: "place", reason });
  }
  assertAllowed("lib/graph/common_subexpression.ts", `f();`);
});

/** The linter does not see it, since `deno.json` excludes what is not TypeScript. */
Deno.test("Rooms hold for the AssemblyScript too: it imports itself and the codes", async () => {
  const folder = new URL("../../kernels/wasm/assembly/", import.meta.url);
  let files = 0;
  for await (const { name } of Deno.readDir(folder)) {
    const text = await Deno.readTextFile(new URL(name, folder));
    for (const [, specifier] of text.matchAll(/\bfrom\s+"([^"]*)"/g)) {
      assertMatch(specifier!, /^(\.\/\w+|\.\.\/codes)$/, name);
    }
    const lines = text.trimEnd().split("\n").length;
    assert(lines <= 400, `${name} has ${lines} lines, more than 400`);
    files++;
  }
  assert(files > 1, "there is nothing to check");
});

/** Returns the modules of the repository that a module imports, types included. */
function importsOf(path: string, source: string): string[] {
  const specifiers = source.matchAll(
    /(?:^|[^\w*])(?:from|import)\s*\(?\s*"(\.[^"]+)"/g,
  );
  return [...specifiers].map(([, specifier]) =>
    new URL(specifier!, new URL(path, "file:///")).pathname.slice(1)
  );
}

/** Returns a circle among imports, as a list of modules that begins and ends with the same one; undefined if there is none. */
function circleIn(
  imports: ReadonlyMap<string, readonly string[]>,
): string[] | undefined {
  const done = new Set<string>();
  const visit = (path: string, way: string[]): string[] | undefined => {
    const begin = way.indexOf(path);
    if (begin >= 0) return [...way.slice(begin), path];
    if (done.has(path)) return undefined;
    for (const next of imports.get(path) ?? []) {
      const circle = visit(next, [...way, path]);
      if (circle) return circle;
    }
    done.add(path);
    return undefined;
  };
  return imports.keys().map((path) => visit(path, []))
    .find((circle) => circle !== undefined);
}

Deno.test("circleIn finds a circle, also one of types alone", () => {
  const files = {
    "lib/a.ts": 'import type { B } from "./b/b.ts";',
    "lib/b/b.ts": 'import {\n  c,\n} from "../c.ts";',
    "lib/c.ts": 'export let a: import("./a.ts").A;',
  };
  const imports = (paths: readonly string[]) =>
    new Map(
      Object.entries(files).filter(([path]) => paths.includes(path))
        .map(([path, source]) => [path, importsOf(path, source)]),
    );
  assertEquals(circleIn(imports(Object.keys(files))), [
    ...["lib/a.ts", "lib/b/b.ts", "lib/c.ts", "lib/a.ts"],
  ]);
  assertEquals(circleIn(imports(["lib/a.ts", "lib/b/b.ts"])), undefined);
});

Deno.test("No modules import each other in a circle, not even for types", async () => {
  const imports = new Map<string, string[]>();
  const root = new URL("../../", import.meta.url);
  const read = async (folder: string) => {
    for await (
      const { name, isDirectory } of Deno.readDir(new URL(folder, root))
    ) {
      const path = `${folder}${name}`;
      if (isDirectory) await read(`${path}/`);
      else if (name.endsWith(".ts")) {
        const source = await Deno.readTextFile(new URL(path, root));
        imports.set(path, importsOf(path, source));
      }
    }
  };
  for (
    const folder of ["lib/", "kernels/", "data/", "tools/", "bench/", "tests/"]
  ) {
    await read(folder);
  }
  assert(imports.get("lib/train/trainer.ts")!.includes("lib/model/model.ts"));
  assertEquals(circleIn(imports), undefined);
});
