/**
 * Builds the page of `examples/browser/` into one HTML file, with the text that it trains on beside it:
 *
 *     deno task page [DIRECTORY] [--serve]
 *
 * The file works from any server and opened from disk. With --serve it is then served with the headers that let
 * the CPU engine use all cores.
 */

import { fromFileUrl, join, toFileUrl } from "@std/path";
import { gzipSync } from "node:zlib";
import type { DatasetName } from "../data/datasets.ts";
import { DownloadError, loadDataset } from "../data/load.ts";
import { wasmWithout } from "./build_wasm.ts";
import { readFlags } from "./flags.ts";

const source = fromFileUrl(new URL("../examples/browser/", import.meta.url));

/** Writes the worker's script in fewer characters. It runs in a process of its own, so that only this task downloads it. */
const minifier = "npm:terser@5.51.4";

/** Most bytes of the page, compressed with gzip. */
const MOST_BYTES = 100 * 1024;
/** Characters of the text that are part of the page, for a page that is opened from disk. */
const EXCERPT = 4_000;

/** What the page calls the texts. */
const titles: Readonly<Record<DatasetName, string>> = {
  tinyshakespeare: "Shakespeare",
  "moby-dick": "Moby Dick",
  names: "First names",
};

/** Returns the modules of which the page has less than the library, and what takes their place in its scripts. */
async function replacements(): Promise<Readonly<Record<string, string>>> {
  return {
    "lib/backends/reference.ts": leftOut("function openReference", "reference"),
    // Only Deno opens libraries of the machine.
    "lib/backends/wasm/blas/find.ts": `export const findBlas = () => ({});`,
    "lib/backends/wasm/blas/open.ts": `export const openBlas = "";`,
    "kernels/wasm/blas.ts": `export const suitsBlas = () => false;
    export const byBlas = suitsBlas;`,
    "lib/backends/webgpu/timer.ts": leftOut("function PassTimer", "profile"),
    // The page has no table that chooses them.
    "lib/backends/webgpu/subgroups.ts":
      `export const requestSubgroups = (_, request) => request([]);
    export const withSubgroups = async (_, target) => target;`,
    "kernels/wgsl/subgroups.ts": `export const isInSubgroups = () => false;
    export const reduceSubgroups = isInSubgroups;
    export const PLACE = [];`,
    "lib/backends/webgpu/matrices.ts":
      `export const withoutMatrices = (names) =>
      names.filter((name) => !name.includes("matrix"));
    export const matricesOf = () => undefined;`,
    // The page says that a loss is not finite, and not which operation was the first.
    "lib/train/diagnosis.ts":
      `export const firstNonFinite = async () => undefined;`,
    // The page has no switch for the precision of a training.
    "kernels/wgsl/half.ts": `export const withHalves = (lowering) => lowering;`,
    "lib/graph/precision.ts": leftOut("function halfTensors", "float16"),
    "lib/backends/halves.ts": `export const hasHalves = () => false;
    export const checkHalves = hasHalves;`,
    "lib/backends/webgpu/halves.ts": `export const proveHalves = () => {};`,
    // The page is about characters, whose losses are never cut into chunks.
    "lib/graph/chunks.ts": `export const MOST_LOGITS = 2 ** 24;
    export const inChunks = (dispatches) => dispatches;`,
    "lib/text/bpe/tokenizer.ts": leftOut("function BpeTokenizer", "byte pairs"),
    "lib/text/bpe/trainer.ts": leftOut("function BpeTrainer", "byte pairs"),
    "lib/text/bpe/vocabulary.ts":
      leftOut("function vocabularyOf", "byte pairs") +
      "export const withEnd = vocabularyOf;",
    // A browser reads a GPU's memory in a fraction of a millisecond, so the host draws tokens on every device.
    "lib/model/chosen_tokens.ts": `export const isPlain = () => false;
    export const chosenTokens = isPlain;`,
    "lib/graph/ops/sampling.ts": `export const choose = () => {};
    export const lastTokens = choose;`,
    "kernels/wasm/sampling.ts": `export {}`,
    "kernels/wasm/module.generated.ts": await wasmWithout([
      "attentionBlas",
      "blas",
      "sampling",
    ]),
    "kernels/wgsl/sampling.ts": `export {}`,
    // These are faster on software adapters alone, where the CPU engine is faster still.
    "lib/backends/webgpu/engine.ts": await changed(
      "lib/backends/webgpu/engine.ts",
      'software ? "register" : "workgroup"',
      '"workgroup"',
    ),
    "kernels/wgsl/matmul_register.ts": leftOut(
      "function registerMatmul",
      "register tiles",
    ),
    "kernels/wgsl/attention_rows.ts": `${
      leftOut("function forwardRows", "register tiles")
    }
    export const backwardQueryRows = forwardRows;
    export const backwardKeyValueRows = forwardRows;`,
    // A running batch calls them, and the page has none.
    "lib/model/generation.ts": await withoutMethods(
      "lib/model/generation.ts",
      ["takeRow", "pending", "holds", "room", "rewind", "logits"],
    ),
    "lib/backends/open.ts": await withStaticImports("lib/backends/open.ts"),
    "lib/config/model.ts": await withoutHelp("lib/config/model.ts"),
    "lib/config/train.ts": await withoutHelp("lib/config/train.ts"),
  };
}

/** Returns the text of a module whose only export refuses to be called. */
function leftOut(declaration: string, what: string): string {
  return `export ${declaration}() {
    throw new RangeError("Cannot use ${what}: this page has none");
  }`;
}

/** Returns a module with a part of its text replaced, which must be there once. */
async function changed(
  path: string,
  before: string,
  after: string,
): Promise<string> {
  const url = moduleUrl(path);
  const parts = (await Deno.readTextFile(url)).split(before);
  if (parts.length !== 2) {
    throw new Error(
      `Cannot build the page: ${path} does not have ${before} once`,
    );
  }
  return withAddresses(parts.join(after), url);
}

/** Returns the address of a module of the project. */
function moduleUrl(path: string): URL {
  return new URL(`../${path}`, import.meta.url);
}

/** Returns a module that imports at its start what it else imports when needed: one file is smaller so. */
async function withStaticImports(path: string): Promise<string> {
  const url = moduleUrl(path);
  const imports = new Set<string>();
  const text = (await Deno.readTextFile(url)).replaceAll(
    /const (\{ \w+ \}) = await import\(("[^"]+")\);/g,
    (_, names, from) => {
      imports.add(`import ${names} from ${from};\n`);
      return "";
    },
  );
  return withAddresses([...imports, text].join(""), url);
}

/** Returns a module without these methods of its class. */
async function withoutMethods(
  path: string,
  names: readonly string[],
): Promise<string> {
  const url = moduleUrl(path);
  let text = await Deno.readTextFile(url);
  for (const name of names) {
    const method = new RegExp(`^  (async )?${name}\\([^]*?^  }\n`, "m");
    if (!method.test(text)) throw new Error(`Cannot leave out ${path} ${name}`);
    text = text.replace(method, "");
  }
  return withAddresses(text, url);
}

/** Returns a module of fields without their help, the only texts of several words in its table. */
async function withoutHelp(path: string): Promise<string> {
  const url = moduleUrl(path);
  const [before, table, ...after] = (await Deno.readTextFile(url))
    .split(/(?<=fieldsOf<)|(?<=\n}\);)/);
  const short = table!.replaceAll(/"[A-Za-z][^"\n]* [^"\n]*"/g, '""');
  return withAddresses([before, short, ...after].join(""), url);
}

/** Returns the text of a module from `url` with whole addresses in its imports. */
function withAddresses(text: string, url: URL): string {
  return text.replaceAll(
    / from "(\..+)"/g,
    (_, from) => ` from "${new URL(from, url)}"`,
  );
}

/** Bundles a module of the page, and what it imports, into one script. */
async function bundle(
  file: string,
  replaced: Readonly<Record<string, string>>,
): Promise<string> {
  const directory = await Deno.makeTempDir({ prefix: "lm-" });
  try {
    const imports: Record<string, string> = {};
    for (const [i, [path, text]] of Object.entries(replaced).entries()) {
      const name = join(directory, `${i}.ts`);
      await Deno.writeTextFile(name, text);
      imports[moduleUrl(path).href] = toFileUrl(name).href;
    }
    const map = join(directory, "imports.json");
    await Deno.writeTextFile(map, JSON.stringify({ imports }));
    return await bundleScript(join(source, file), [`--import-map=${map}`]);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Removes indentation and lines of comments inside a script's strings: the texts of WGSL have most of them. */
function withoutIndents(script: string): string {
  return script.replaceAll(/\n\s+/g, "\n").replaceAll(/(?<=\n)\/\/.*\n/g, "");
}

/** Returns a script in fewer characters than the bundler's. */
async function smaller(script: string): Promise<string> {
  const file = await Deno.makeTempFile({ suffix: ".js" });
  try {
    await Deno.writeTextFile(file, script);
    return await output(
      ["run", "-A", "--quiet", "--no-config", "--no-lock", minifier]
        .concat(file, "--ecma", "2022", "--compress", "--mangle"),
    );
  } finally {
    await Deno.remove(file);
  }
}

/** Runs Deno and returns its standard output. */
async function output(args: readonly string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (!success) throw new Error(`Cannot build the page: ${text(stderr)}`);
  return text(stdout).trim();
}

/** Bundles a module and what it imports into one script. */
export async function bundleScript(
  file: string,
  flags: readonly string[] = [],
): Promise<string> {
  const script = await output([
    ...["bundle", "--quiet", "--platform=browser", "--format=iife"],
    ...["--minify", ...flags, file],
  ]);
  // Inside an element of a page no script may hold the text that ends it.
  return script.replaceAll("</script", "<\\/script");
}

function gzip(text: string): number {
  return gzipSync(text, { level: 9 }).byteLength;
}

/** Returns the policy of the page: its own scripts, and nothing from elsewhere. */
async function policy(script: string): Promise<string> {
  const bytes = new TextEncoder().encode(script);
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return [
    "default-src 'none'",
    `script-src 'sha256-${
      new Uint8Array(digest).toBase64()
    }' 'wasm-unsafe-eval'`,
    "worker-src blob:",
    "style-src 'unsafe-inline'",
    "connect-src 'self'",
    "img-src data:",
  ].join("; ");
}

/** The files of the page, by name, and the size of each part. */
export interface Page {
  readonly files: ReadonlyMap<string, string>;
  /** Bytes of each part, compressed with gzip. */
  readonly sizes: ReadonlyMap<string, number>;
}

/** Loads tiny Shakespeare or, if it is unavailable, Moby Dick, with a message. */
async function loadText(): Promise<{ text: string; title: string }> {
  const load = async (name: DatasetName) => ({
    text: (await loadDataset(name)).text,
    title: titles[name],
  });
  try {
    return await load("tinyshakespeare");
  } catch (error) {
    if (!(error instanceof DownloadError)) throw error;
    console.error(`warning: ${error.message}\nThe page has Moby Dick instead.`);
    return await load("moby-dick");
  }
}

/**
 * Builds the page.
 *
 * @throws {RangeError} if it is too large
 */
export async function buildPage(): Promise<Page> {
  const { text, title } = await loadText();
  const replaced = await replacements();
  const read = (name: string) => Deno.readTextFile(join(source, name));
  const parts = {
    style: await read("style.css"),
    excerpt: text.slice(0, text.lastIndexOf("\n\n", EXCERPT) + 1),
    worker: await smaller(withoutIndents(await bundle("worker.ts", replaced))),
    main: await smaller(await bundle("main.ts", {})),
  };
  let html = await read("index.html");
  const fill = (place: string, content: string) => {
    const [before, after, ...more] = html.split(place);
    if (after === undefined || more.length > 0) {
      throw new Error(`Cannot build the page: ${place} is not there once`);
    }
    html = before + content + after;
  };
  fill(
    `<link rel="stylesheet" href="style.css">`,
    `<style>${parts.style}</style>`,
  );
  fill(
    `<meta charset="utf-8">`,
    `<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${await policy(
      parts.main,
    )}">`,
  );
  for (const id of ["excerpt", "worker"] as const) {
    const tag = `<script type="text/plain" id="${id}">`;
    fill(`${tag}</script>`, `${tag}${parts[id]}</script>`);
  }
  fill(`<script src="main.ts"></script>`, `<script>${parts.main}</script>`);
  fill(">Shakespeare<", `>${title}<`);
  const sizes = new Map<string, number>();
  for (const [name, part] of Object.entries(parts)) {
    sizes.set(name, gzip(part));
  }
  const whole = gzip(html);
  sizes.set("index.html", whole);
  if (whole > MOST_BYTES) {
    throw new RangeError(
      `Cannot build the page: it has ${whole} bytes compressed, more than ${MOST_BYTES}`,
    );
  }
  return { files: new Map([["index.html", html], ["text.txt", text]]), sizes };
}

/**
 * Answers requests with the files of a page.
 *
 * @param isolated true to send the headers that let threads share memory
 */
export function serve(
  { files }: Pick<Page, "files">,
  { port = 0, isolated = true, onListen = () => {} }: {
    readonly port?: number;
    readonly onListen?: (address: Deno.NetAddr) => void;
    readonly isolated?: boolean;
  } = {},
): Deno.HttpServer<Deno.NetAddr> {
  const types: Record<string, string> = {
    html: "text/html; charset=utf-8",
    txt: "text/plain; charset=utf-8",
  };
  return Deno.serve({ port, hostname: "localhost", onListen }, ({ url }) => {
    const name = new URL(url).pathname.slice(1) || "index.html";
    const content = files.get(name);
    if (content === undefined) {
      return new Response("not found", { status: 404 });
    }
    const headers = new Headers({
      "content-type": types[name.split(".").at(-1)!]!,
    });
    if (isolated) {
      headers.set("cross-origin-opener-policy", "same-origin");
      headers.set("cross-origin-embedder-policy", "require-corp");
    }
    return new Response(content, { headers });
  });
}

/** Writes the page into a directory. */
export async function writePage(
  directory: string,
  page: Page,
): Promise<Page & { readonly html: string }> {
  await Deno.mkdir(directory, { recursive: true });
  for (const [name, content] of page.files) {
    await Deno.writeTextFile(join(directory, name), content);
  }
  return { ...page, html: join(directory, "index.html") };
}

if (import.meta.main) {
  const { flags, operands } = readFlags({ serve: false });
  const page = await writePage(operands[0] ?? "page", await buildPage());
  for (const [name, bytes] of page.sizes) {
    console.log(`${name}: ${bytes.toLocaleString("en")} bytes compressed`);
  }
  console.log(`open ${page.html} or put it on any web server`);
  if (flags.serve) {
    const onListen = ({ port }: Deno.NetAddr) =>
      console.log(`serving http://localhost:${port}/`);
    await serve(page, { port: 8000, onListen }).finished;
  }
}
