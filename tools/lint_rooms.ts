/**
 * Lint rules for the project's rooms: which folder may import which, which
 * may touch the platform, what a file may export, how long it may be. Only facts
 * visible in a single file are checked here; styles of writing are not.
 *
 * @module
 */

/** A part of the project, with the modules and globals that its files may use. */
interface Room {
  /** The paths of its files, from the project's root; by default those in the folder, or the file, of its name. */
  readonly files?: RegExp;
  /** The rooms that it may import, besides itself. */
  readonly imports?: readonly string[];
  /** The specifiers it may import that are no paths. */
  readonly packages?: RegExp;
  /** The globals of the platform that it may name. */
  readonly globals?: readonly string[];
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
const library = [
  ...data,
  ...engine,
  "lib/model",
  "lib/train",
  "lib/worker",
  "lib/serve",
  "lib/export",
];
const studies = ["lib/checks", "lib/lab"];

/** A file belongs to the first room that matches. Arrows point down. */
const rooms: Readonly<Record<string, Room>> = {
  "cli.ts": { imports: ["lib/cli"], globals: onDeno },
  "lib/cli": {
    imports: ["lib/report", ...library, ...studies, "data"],
    // Deno's own digests take a whole text at once.
    packages: /^(@std\/|node:crypto$)/,
    // A thread that is never busy answers signals.
    globals: [...onDeno, "Worker"],
  },
  "mod.ts": { imports: library },
  "lib/lab": {
    imports: [
      "lib/checks",
      "lib/report",
      ...library,
      "kernels/vocabulary.ts",
      "kernels/reference",
    ],
  },
  // A document and its renderers. It loads its packages when it draws: no other command needs them.
  "lib/report": { packages: /^(@observablehq\/plot|linkedom)$/ },
  "lib/checks": {
    imports: [...library, "kernels/vocabulary.ts", "kernels/reference"],
  },
  // The library behind a message port: a worker serves it, a page calls it.
  "lib/worker": {
    imports: ["lib/checks", "lib/train", "lib/model", ...engine, ...data],
  },
  // OpenAI's API as functions from a request to a response; the socket is in lib/cli.
  "lib/serve": { imports: ["lib/model", ...engine, ...data] },
  // Models as files of other programs; those that are also read are in lib/formats.
  "lib/export": {
    imports: ["lib/model", "lib/graph", ...data, "kernels/vocabulary.ts"],
  },
  "lib/train": { imports: ["lib/model", ...engine, ...data] },
  "lib/model": { imports: [...engine, ...data, "kernels/reference"] },
  "lib/formats": { imports: ["lib/*.ts", "lib/config", "lib/text"] },
  "lib/text": { imports: ["lib/*.ts", "kernels/random.ts"] },
  // Opens the machine's BLAS where the runtime is Deno and allows it.
  "lib/backends/wasm/blas": { globals: [...onDevice, "Deno"] },
  "lib/backends": {
    imports: ["lib/*.ts", "lib/graph", "lib/backends/wasm/blas", ...kernels],
    globals: onDevice,
  },
  "lib/graph": { imports: ["lib/*.ts", "kernels/vocabulary.ts"] },
  // Configurations of models and training, as plain data.
  "lib/config": { imports: ["lib/*.ts"] },
  // What every room of the library needs: refusals and ranges.
  "lib/*.ts": {},
  "kernels/vocabulary.ts": {},
  "kernels/random.ts": {},
  "kernels/reference": {
    imports: ["kernels/vocabulary.ts", "kernels/random.ts"],
  },
  "kernels/wgsl": { imports: ["kernels/vocabulary.ts"] },
  // Excludes its assembly/, which is in another language: it is compiled and never imported.
  "kernels/wasm": {
    files: /^kernels\/wasm\/[^/]+$/,
    imports: ["kernels/vocabulary.ts"],
  },
  data: {
    imports: ["lib/*.ts"],
    packages: /^(@std\/|@stdlib\/|npm:@stdlib\/)/,
    globals: onDeno,
  },
  // A page: it runs in a browser, where there is no Deno.
  "examples/browser": {
    packages: /^@lm\/core(\/\w+)?$/,
    globals: ["navigator", "Worker"],
  },
  // They import the library as a user's program does.
  examples: { packages: /^@lm\/core(\/\w+)?$/, globals: onDeno },
  "tests, bench and tools": {
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
};

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

/** Returns the name of the room that a file belongs to, and the room. */
function roomOf(path: string): Room & { name: string } | undefined {
  const found = Object.entries(rooms).find(([name, { files }]) =>
    (files ?? filesOf(name)).test(path)
  );
  return found && { name: found[0], ...found[1] };
}

function filesOf(name: string): RegExp {
  const pattern = name.replaceAll(".", "\\.").replaceAll("*", "[^/]+");
  return new RegExp(name.endsWith(".ts") ? `^${pattern}$` : `^${pattern}/`);
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
  if (door.test(path) && !from.imports?.includes("mod.ts")) {
    return `${from.name} may not import ${path}: it is a door to other programs`;
  }
  if (to?.name === from.name) return undefined;
  if (to && from.imports?.includes(to.name)) return undefined;
  return `${from.name} may not import ${to?.name ?? "what is in no room"}: ` +
    `${path} (it may import ${from.imports?.join(", ") || "nothing"})`;
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
    for (const name of room.globals ?? []) refused.delete(name);
    return {
      Identifier(node) {
        if (!refused.has(node.name) || isPropertyName(node)) return;
        const owners = Object.keys(rooms)
          .filter((owner) => rooms[owner]!.globals?.includes(node.name));
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
