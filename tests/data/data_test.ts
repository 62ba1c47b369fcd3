import {
  assert,
  assertEquals,
  assertGreater,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import { join } from "@std/path";
import {
  datasets,
  type DatasetSource,
  isDatasetName,
} from "../../data/datasets.ts";
import {
  cacheDirectory,
  DatasetError,
  DownloadError,
  loadDataset,
} from "../../data/load.ts";

const TEXT =
  "All the world's a stage,\nAnd all the men and women merely players;\n"
    .repeat(9000);

async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest(
    "SHA-256",
    new TextEncoder().encode(text),
  );
  return new Uint8Array(digest).toHex();
}

/** A dataset "stage" of {@linkcode TEXT}, said to be at this address. */
async function stageAt(url: string): Promise<DatasetSource> {
  return {
    name: "stage",
    title: "a stand-in",
    licence: "public domain",
    bytes: TEXT.length,
    sha256: await sha256(TEXT),
    origin: { kind: "url", url },
  };
}

/** An origin on this machine, and two empty directories; all gone at the end. */
async function withOrigin(
  answer: (request: Request) => Response | Promise<Response>,
  test: (at: {
    dataset: DatasetSource;
    dataDir: string;
    cacheDir: string;
    requests: string[];
  }) => Promise<void>,
): Promise<void> {
  const root = await Deno.makeTempDir({ prefix: "lm-data-" });
  const [dataDir, cacheDir] = [join(root, "data"), join(root, "cache", "lm")];
  await Deno.mkdir(dataDir);
  const requests: string[] = [];
  const server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen: () => {},
  }, (request) => {
    requests.push(new URL(request.url).pathname);
    return answer(request);
  });
  try {
    const dataset = await stageAt(
      `http://127.0.0.1:${server.addr.port}/input.txt`,
    );
    await test({ dataset, dataDir, cacheDir, requests });
  } finally {
    await server.shutdown();
    await Deno.remove(root, { recursive: true });
  }
}

async function filesIn(directory: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(directory))).map(({ name }) =>
    name
  );
}

Deno.test("loadDataset downloads into the cache, and then reads from there", async () => {
  await withOrigin(
    () => new Response(TEXT),
    async ({ dataset, cacheDir, dataDir, requests }) => {
      const first = await loadDataset(dataset, { dataDir, cacheDir });
      assertEquals(first, {
        text: TEXT,
        source: "download",
        path: join(cacheDir, "stage.txt"),
      });
      assertEquals(await Deno.readTextFile(first.path!), TEXT);
      assertEquals(await filesIn(cacheDir), ["stage.txt"]); // nothing half-written beside it
      const second = await loadDataset(dataset, { dataDir, cacheDir });
      assertEquals(second, { ...first, source: "cache" });
      assertEquals(requests, ["/input.txt"]);
    },
  );
});

Deno.test("loadDataset prefers LM_DATA_DIR to the cache and the origin", async () => {
  await withOrigin(
    () => new Response(TEXT),
    async ({ dataset, cacheDir, dataDir, requests }) => {
      const path = join(dataDir, "stage.txt");
      await Deno.writeTextFile(path, TEXT);
      const loaded = await loadDataset(dataset, { dataDir, cacheDir });
      assertEquals(loaded, { text: TEXT, source: "env", path });
      assertEquals(requests, []);
    },
  );
});

Deno.test("loadDataset names both sums when the file in LM_DATA_DIR is another", async () => {
  await withOrigin(
    () => new Response(TEXT),
    async ({ dataset, cacheDir, dataDir, requests }) => {
      const other = TEXT.replace("stage", "state");
      await Deno.writeTextFile(join(dataDir, "stage.txt"), other);
      const error = await assertRejects(
        () => loadDataset(dataset, { dataDir, cacheDir }),
        DatasetError,
      );
      assert(!(error instanceof DownloadError));
      assertStringIncludes(error.message, await sha256(other));
      assertStringIncludes(error.message, await sha256(TEXT));
      assertStringIncludes(error.message, join(dataDir, "stage.txt"));
      assertEquals(requests, []);
    },
  );
});

Deno.test("loadDataset says when LM_DATA_DIR cannot be read", async () => {
  await withOrigin(
    () => new Response(TEXT),
    async ({ dataset, cacheDir, dataDir }) => {
      await Deno.mkdir(join(dataDir, "stage.txt")); // a directory where the file should be
      const load = () => loadDataset(dataset, { dataDir, cacheDir });
      await assertRejects(load, DatasetError, "Cannot load stage: ");
    },
  );
});

Deno.test("loadDataset downloads a file again that is damaged in the cache", async () => {
  await withOrigin(
    () => new Response(TEXT),
    async ({ dataset, cacheDir, dataDir }) => {
      await Deno.mkdir(cacheDir, { recursive: true });
      const path = join(cacheDir, "stage.txt");
      await Deno.writeTextFile(path, TEXT.slice(0, 1000));
      const loaded = await loadDataset(dataset, { dataDir, cacheDir });
      assertEquals([loaded.source, loaded.text], ["download", TEXT]);
      assertEquals(await Deno.readTextFile(path), TEXT);
    },
  );
});

Deno.test("loadDataset refuses a file in the cache that cannot be read", async () => {
  await withOrigin(
    () => new Response(TEXT),
    async ({ dataset, cacheDir, dataDir, requests }) => {
      const path = join(cacheDir, "stage.txt");
      await Deno.mkdir(path, { recursive: true }); // no user can read it
      const error = await assertRejects(
        () => loadDataset(dataset, { dataDir, cacheDir }),
        DatasetError,
        "Cannot load stage from the cache: ",
      );
      assert(
        error.message.endsWith(
          `hint: remove ${path}, and it is downloaded again`,
        ),
      );
      assertEquals(requests, []);
    },
  );
});

Deno.test("loadDataset does without a cache that takes no files", async () => {
  await withOrigin(() => new Response(TEXT), async ({ dataset, dataDir }) => {
    const cacheDir = join(dataDir, "file", "lm");
    await Deno.writeTextFile(join(dataDir, "file"), "not a directory");
    const loaded = await loadDataset(dataset, { dataDir, cacheDir });
    assertEquals(loaded, { text: TEXT, source: "download" });
  });
});

Deno.test("loadDataset reports the progress of a download", async () => {
  await withOrigin(
    () => new Response(TEXT),
    async ({ dataset, cacheDir, dataDir }) => {
      const seen: number[] = [];
      await loadDataset(dataset, {
        dataDir,
        cacheDir,
        onProgress: ({ loaded, total }) => {
          assertEquals(total, TEXT.length);
          seen.push(loaded);
        },
      });
      assertGreater(seen.length, 1);
      assertEquals(seen, seen.toSorted((a, b) => a - b));
      assertStrictEquals(seen.at(-1), TEXT.length);
    },
  );
});

Deno.test("loadDataset refuses a download with a wrong sum, and keeps nothing of it", async () => {
  const wrong = TEXT.toUpperCase();
  await withOrigin(
    () => new Response(wrong),
    async ({ dataset, cacheDir, dataDir }) => {
      const load = () => loadDataset(dataset, { dataDir, cacheDir });
      const { message } = await assertRejects(load, DownloadError);
      assertStringIncludes(message, await sha256(wrong));
      assertStringIncludes(message, await sha256(TEXT));
      await assertRejects(() => Deno.stat(cacheDir), Deno.errors.NotFound);
    },
  );
});

Deno.test("loadDataset takes no more bytes than there should be", async () => {
  let cancelled = false;
  const endless = () =>
    new Response(
      new ReadableStream({
        pull: (controller) => controller.enqueue(new Uint8Array(65536)),
        cancel: () => void (cancelled = true),
      }),
    );
  await withOrigin(endless, async ({ dataset, cacheDir, dataDir }) => {
    const load = () => loadDataset(dataset, { dataDir, cacheDir });
    await assertRejects(
      load,
      DownloadError,
      `more than the ${TEXT.length} bytes expected`,
    );
  });
  assert(cancelled);
});

Deno.test("loadDataset names the address, the answer and a way out when a download fails", async () => {
  const missing = () =>
    new Response("nothing here", { status: 404, statusText: "Not Found" });
  await withOrigin(missing, async ({ dataset, cacheDir, dataDir }) => {
    const load = () => loadDataset(dataset, { dataDir, cacheDir });
    const { message } = await assertRejects(
      load,
      DownloadError,
      "Cannot download stage from http://",
    );
    assertStringIncludes(
      message,
      "/input.txt: the server answers 404 Not Found\nhint: ",
    );
    assertStringIncludes(message, "LM_DATA_DIR");
  });
});

Deno.test("loadDataset fails at once and clearly when nobody answers", async () => {
  // A port that was free a moment ago: the connection is refused.
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  const dataset = await stageAt(`http://127.0.0.1:${port}/input.txt`);
  const load = () =>
    loadDataset(dataset, { dataDir: "/nowhere", cacheDir: "/nowhere" });
  const { message } = await assertRejects(load, DownloadError);
  assertStringIncludes(message, "refused");
});

Deno.test("loadDataset gives up on an origin that stops sending", async () => {
  const silent = () =>
    new Response(
      new ReadableStream({
        start: (controller) => controller.enqueue(new Uint8Array(100)),
      }),
    );
  await withOrigin(silent, async ({ dataset, cacheDir, dataDir }) => {
    const load = () =>
      loadDataset(dataset, { dataDir, cacheDir, timeout: 200 });
    await assertRejects(load, DownloadError, "no data for 200 ms");
  });
});

Deno.test("loadDataset ends with the signal's reason, which is no DownloadError", async () => {
  const slow = () => new Response(new ReadableStream({ start: () => {} }));
  await withOrigin(slow, async ({ dataset, cacheDir, dataDir }) => {
    const controller = new AbortController();
    const loading = loadDataset(dataset, {
      dataDir,
      cacheDir,
      signal: controller.signal,
    });
    const reason = new Error("enough");
    setTimeout(() => controller.abort(reason), 20);
    assertStrictEquals(await assertRejects(() => loading), reason);
  });
});

Deno.test("The cache is where each system keeps caches", () => {
  const where = (os: typeof Deno.build.os, env: Record<string, string>) =>
    cacheDirectory({ os, env: (name) => env[name] })?.replaceAll("\\", "/");
  assertEquals(where("linux", { HOME: "/home/ann" }), "/home/ann/.cache/lm");
  assertEquals(
    where("linux", { HOME: "/home/ann", XDG_CACHE_HOME: "/fast" }),
    "/fast/lm",
  );
  assertEquals(
    where("linux", { HOME: "/home/ann", XDG_CACHE_HOME: "here" }),
    "/home/ann/.cache/lm",
  );
  assertEquals(
    where("darwin", { HOME: "/Users/ann" }),
    "/Users/ann/Library/Caches/lm",
  );
  assertEquals(
    where("windows", { LOCALAPPDATA: "C:/Users/ann/Local" }),
    "C:/Users/ann/Local/lm",
  );
  assertEquals(where("linux", {}), undefined);
  assertEquals(where("darwin", {}), undefined);
  assertEquals(where("windows", { HOME: "/home/ann" }), undefined);
});

Deno.test("isDatasetName knows the datasets and nothing else", () => {
  assert(Object.keys(datasets).every(isDatasetName));
  for (const name of ["", "toString", "__proto__", "tinyshakespeare.txt"]) {
    assert(!isDatasetName(name), name);
  }
  for (const [name, dataset] of Object.entries(datasets)) {
    assertEquals(dataset.name, name);
  }
});

const shakespeare = Deno.env.get("LM_DATA_DIR") !== undefined;

Deno.test({
  name: "tinyshakespeare's size and sum are those of the file in LM_DATA_DIR" +
    (shakespeare ? "" : " (skipped: LM_DATA_DIR is not set)"),
  ignore: !shakespeare,
  fn: async () => {
    const { text, source } = await loadDataset("tinyshakespeare");
    assertEquals([source, text.length], [
      "env",
      datasets.tinyshakespeare.bytes,
    ]);
    assertEquals(new Set(text).size, 65);
  },
});
