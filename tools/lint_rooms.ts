/**
 * Lint rules for the project's rooms: which folder may import which, which
 * may touch the platform, what a file may export, how long it may be. Only facts
 * visible in a single file are checked here; styles of writing are not.
 *
 * @module
 */

/** A part of the project, with the modules and globals that its files may use. */
interface Room {
  /** Its name in messages. */
  readonly name: string;
  /** The paths of its files, from the project's root. */
  readonly files: RegExp;
  /** The rooms that it may import, besides itself. */
  readonly imports: readonly string[];
  /** The specifiers it may import that are no paths. */
  readonly packages?: RegExp;
  /** The globals of the platform that it may name. */
  readonly globals: readonly string[];
}

const onDeno = ["Deno", "console"];
const onDevice = ["navigator", "WebAssembly", "Worker"];
const kernels = [
  "kernels/vocabulary.ts",
  "kernels/random.ts",
  "kernels/reference",
  "kernels/wgsl",
  "kernels/wasm",
];
const data = [
  "lib/*.ts",
  "lib/config",
  "lib/text",
  "lib/formats",
  "kernels/random.ts",
];
const engine = ["lib/graph", "lib/backends"];
const library = [...data, ...engine, "lib/model", "lib/train", "lib/worker"];
const studies = ["lib/checks", "lib/lab"];

/** A file belongs to the first room that matches. Arrows point down. */
const rooms: readonly Room[] = [
  {
    name: "cli.ts",
    files: /^cli\.ts$/,
    imports: ["lib/cli"],
    globals: onDeno,
  },
  {
    name: "lib/cli",
    files: /^lib\/cli\//,
    imports: ["lib/report", ...library, ...studies, "data"],
    // Deno's own digests take a whole text at once.
    packages: /^(@std\/|node:crypto$)/,
    // A thread that is never busy answers signals.
    globals: [...onDeno, "Worker"],
  },
  {
    name: "mod.ts",
    files: /^mod\.ts$/,
    imports: library,
    globals: [],
  },
  {
    name: "lib/lab",
    files: /^lib\/lab\//,
    imports: [
      "lib/checks",
      "lib/report",
      ...library,
      "kernels/vocabulary.ts",
      "kernels/reference",
    ],
    globals: [],
  },
  {
    // A document and its renderers. It loads its packages when it draws: no other command needs them.
    name: "lib/report",
    files: /^lib\/report\//,
    imports: [],
    packages: /^(@observablehq\/plot|linkedom)$/,
    globals: [],
  },
  {
    name: "lib/checks",
    files: /^lib\/checks\//,
    imports: [...library, "kernels/vocabulary.ts", "kernels/reference"],
    globals: [],
  },
  {
    // The library behind a message port: a worker serves it, a page calls it.
    name: "lib/worker",
    files: /^lib\/worker\//,
    imports: ["lib/train", "lib/model", ...engine, ...data],
    globals: [],
  },
  {
    name: "lib/train",
    files: /^lib\/train\//,
    imports: ["lib/model", ...engine, ...data],
    globals: [],
  },
  {
    name: "lib/model",
    files: /^lib\/model\//,
    imports: [...engine, ...data, "kernels/reference"],
    globals: [],
  },
  {
    name: "lib/formats",
    files: /^lib\/formats\//,
    imports: ["lib/*.ts", "lib/config", "lib/text"],
    globals: [],
  },
  {
    name: "lib/text",
    files: /^lib\/text\//,
    imports: ["lib/*.ts", "kernels/random.ts"],
    globals: [],
  },
  {
    // Opens the machine's BLAS where the runtime is Deno and allows it.
    name: "lib/backends/wasm/blas",
    files: /^lib\/backends\/wasm\/blas\//,
    imports: [],
    globals: [...onDevice, "Deno"],
  },
  {
    name: "lib/backends",
    files: /^lib\/backends\//,
    imports: ["lib/*.ts", "lib/graph", "lib/backends/wasm/blas", ...kernels],
    globals: onDevice,
  },
  {
    name: "lib/graph",
    files: /^lib\/graph\//,
    imports: ["lib/*.ts", "kernels/vocabulary.ts"],
    globals: [],
  },
  {
    // Configurations of models and training, as plain data.
    name: "lib/config",
    files: /^lib\/config\//,
    imports: ["lib/*.ts"],
    globals: [],
  },
  {
    // What every room of the library needs: refusals and ranges.
    name: "lib/*.ts",
    files: /^lib\/[^/]+\.ts$/,
    imports: [],
    globals: [],
  },
  {
    name: "kernels/vocabulary.ts",
    files: /^kernels\/vocabulary\.ts$/,
    imports: [],
    globals: [],
  },
  {
    name: "kernels/random.ts",
    files: /^kernels\/random\.ts$/,
    imports: [],
    globals: [],
  },
  {
    name: "kernels/reference",
    files: /^kernels\/reference\//,
    imports: ["kernels/vocabulary.ts", "kernels/random.ts"],
    globals: [],
  },
  {
    name: "kernels/wgsl",
    files: /^kernels\/wgsl\//,
    imports: ["kernels/vocabulary.ts"],
    globals: [],
  },
  {
    // Excludes its assembly/, which is in another language: it is compiled and never imported.
    name: "kernels/wasm",
    files: /^kernels\/wasm\/[^/]+$/,
    imports: ["kernels/vocabulary.ts"],
    globals: [],
  },
  {
    name: "data",
    files: /^data\//,
    imports: ["lib/*.ts"],
    packages: /^(@std\/|@stdlib\/|npm:@stdlib\/)/,
    globals: onDeno,
  },
  {
    // A page: it runs in a browser, where there is no Deno.
    name: "examples/browser",
    files: /^examples\/browser\//,
    imports: [],
    packages: /^@lm\/core(\/\w+)?$/,
    globals: ["navigator", "Worker"],
  },
  {
    // They import the library as a user's program does.
    name: "examples",
    files: /^examples\//,
    imports: [],
    packages: /^@lm\/core(\/\w+)?$/,
    globals: onDeno,
  },
  {
    name: "tests, bench and tools",
    files: /^(tests|bench|tools)\//,
    imports: [
      "cli.ts",
      "lib/cli",
      "lib/report",
      "mod.ts",
      ...studies,
      ...library,
      ...kernels,
      "data",
    ],
    packages: /./,
    globals: [...onDeno, ...onDevice],
  },
];

/** The longest that a file may be, in lines. */
const maxLines = 500;

/** The doors: modules that export a room's symbols to other programs. No room imports another's. */
const door = /^(lib\/\w+\/)?mod\.ts$/;

/** Generated files, which nobody reads from end to end. */
const generated = /\.generated\.ts$/;

/** Names that say nothing about a file's contents. */
const emptyName = /(^|[/_])(utils?|helpers?|misc|common|manager)\.ts$/;

const root = new URL("../", import.meta.url).href;

/** Returns the URL of the file being linted; its path may be written as on Windows. */
function fileUrl(context: Deno.lint.RuleContext): string {
  const path = context.filename.replaceAll("\\", "/");
  return new URL(path.startsWith("/") ? path : `/${path}`, "file:").href;
}

function pathFromRoot(url: string): string {
  return url.startsWith(root) ? url.slice(root.length) : url;
}

function roomOf(path: string): Room | undefined {
  return rooms.find((room) => room.files.test(path));
}

/** Returns the reason why `importer` may not import `specifier`, or undefined if it may. */
function objection(importer: string, specifier: string): string | undefined {
  const from = roomOf(pathFromRoot(importer));
  if (!from) return undefined; // The rule `place` reports the file itself.
  if (!/^(\.{0,2}\/|file:)/.test(specifier)) {
    if (from.packages?.test(specifier)) return undefined;
    return `${from.name} may not import the package ${specifier}`;
  }
  const path = pathFromRoot(new URL(specifier, importer).href);
  const to = roomOf(path);
  if (door.test(path) && !from.imports.includes("mod.ts")) {
    return `${from.name} may not import ${path}: it is a door to other programs`;
  }
  if (to && (to === from || from.imports.includes(to.name))) return undefined;
  return `${from.name} may not import ${to?.name ?? "what is in no room"}: ` +
    `${path} (it may import ${from.imports.join(", ") || "nothing"})`;
}

/** Arrows between rooms point down, and the library imports no package. */
const imports: Deno.lint.Rule = {
  create(context) {
    const importer = fileUrl(context);
    const check = (node: Deno.lint.Node, specifier: unknown) => {
      if (typeof specifier !== "string") return;
      const message = objection(importer, specifier);
      if (message) context.report({ node, message });
    };
    return {
      ImportDeclaration: (node) => check(node, node.source.value),
      ExportNamedDeclaration: (node) => check(node, node.source?.value),
      ExportAllDeclaration: (node) => check(node, node.source.value),
      ImportExpression: (node) =>
        check(node, node.source.type === "Literal" && node.source.value),
      TSImportType: (node) =>
        check(
          node,
          node.argument.type === "TSLiteralType" &&
            node.argument.literal.type === "Literal" &&
            node.argument.literal.value,
        ),
    };
  },
};

/** Returns true if `node` only names a property: `options.Worker`, `{ Worker: 1 }`. */
function isPropertyName(node: Deno.lint.Identifier): boolean {
  const { parent } = node;
  if (parent.type === "MemberExpression") {
    return parent.property === node && !parent.computed &&
      !(parent.object.type === "Identifier" &&
        /^(globalThis|self|window)$/.test(parent.object.name));
  }
  return parent.type === "Property" && parent.key === node &&
    !parent.shorthand && !parent.computed;
}

/** `Deno` and the console are for programs, devices for lib/backends, threads also for lib/cli. */
const platform: Deno.lint.Rule = {
  create(context) {
    const room = roomOf(pathFromRoot(fileUrl(context)));
    if (!room) return {};
    const refused = new Set([...onDeno, ...onDevice]);
    for (const name of room.globals) refused.delete(name);
    return {
      Identifier(node) {
        if (!refused.has(node.name) || isPropertyName(node)) return;
        const owners = rooms
          .filter((owner) => owner.globals.includes(node.name))
          .map((owner) => owner.name);
        context.report({
          node,
          message: `${room.name} may not touch ${node.name}: ` +
            `it belongs to ${owners.join(", ")}`,
        });
      },
    };
  },
};

/** Checks that each symbol has one name, and one module from which to import it. */
const exports: Deno.lint.Rule = {
  create(context) {
    const path = pathFromRoot(fileUrl(context));
    const isDoor = door.test(path) || path.startsWith("tools/std/");
    const refuseBarrel = (node: Deno.lint.Node) => {
      if (isDoor) return;
      context.report({
        node,
        message: "Only a mod.ts may export from elsewhere",
      });
    };
    return {
      ExportDefaultDeclaration: (node) =>
        context.report({
          node,
          message: "Export this by name, not as default",
        }),
      ExportAllDeclaration: refuseBarrel,
      ExportNamedDeclaration: (node) => node.source && refuseBarrel(node),
    };
  },
};

/** Checks that a file belongs to a room, has a telling name, and is short. */
const place: Deno.lint.Rule = {
  create(context) {
    const path = pathFromRoot(fileUrl(context));
    const report = (message: string) =>
      context.report({ range: [0, 0], message });
    return {
      Program() {
        if (!roomOf(path)) report(`${path} stands in no room`);
        if (emptyName.test(path)) {
          report(`${path} has a name that does not say what it holds`);
        }
        const lines = context.sourceCode.text.trimEnd().split("\n").length;
        if (lines > maxLines && !generated.test(path)) {
          report(`${path} has ${lines} lines, more than ${maxLines}`);
        }
      },
    };
  },
};

const plugin: Deno.lint.Plugin = {
  name: "rooms",
  rules: { imports, platform, exports, place },
};

// deno-lint-ignore rooms/exports -- this is how Deno finds a plugin
export default plugin;
