/**
 * The engines in a browser, Chromium with software WebGPU: kernels against the float64 reference, and
 * training against Deno's. The gate runs some cases of each kernel, `deno task test:browser` all of them.
 */

import { assert, assertEquals, assertGreater } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { openBackend } from "../../lib/backends/open.ts";
import { openWasm } from "../../lib/backends/wasm/engine.ts";
import { browserTest } from "../cli/report/browser.ts";
import { bundleScript, serve } from "../../tools/page.ts";
import { Browser, type Tab } from "./chromium.ts";
import type { Inside } from "./inside.ts";
import { steps } from "./steps.ts";

/** True for all cases; the gate runs small ones, and of them a few of each kernel. */
const all = Deno.args.includes("--all");

/** Runs `use` in a page that has the library. */
async function inPage(use: (tab: Tab) => Promise<void>): Promise<void> {
  const script = await bundleScript(
    fromFileUrl(new URL("inside.ts", import.meta.url)),
  );
  const html = `<!doctype html><meta charset="utf-8">
<link rel="icon" href="data:,"><script>${script}</script>`;
  const server = serve({ files: new Map([["index.html", html]]) });
  try {
    await using browser = await Browser.launch();
    const tab = await browser.open(`http://localhost:${server.addr.port}/`);
    await use(tab);
    assertEquals(tab.faults, []);
  } finally {
    await server.shutdown();
  }
}

/** Calls a function of the page. */
function call<Name extends keyof Inside>(
  tab: Tab,
  name: Name,
  ...args: Parameters<Inside[Name]>
): ReturnType<Inside[Name]> {
  const values = args.map((value) => JSON.stringify(value)).join(", ");
  return tab.evaluate(`inside.${name}(${values})`) as ReturnType<Inside[Name]>;
}

// SwiftShader compiles a kernel with tiles in workgroup memory for up to 14 seconds.
const shares = [
  ...[["register", 3, 20, 300], ["workgroup", 1, 20, 300]] as const,
  ...[["subgroups", 3, 20, 100], ["wasm", 3, 20, 300]] as const,
] as const;
for (const [engine, most, some, many] of shares) {
  browserTest(
    `The kernels agree with the float64 reference in Chromium: ${engine}`,
    () =>
      inPage(async (tab) => {
        const { cases, faults } = await call(tab, "conformance", engine, {
          largest: all ? 2 ** 21 : 2 ** 15,
          most: all ? 1000 : most,
        });
        assertEquals(faults, []);
        assertGreater(cases, all ? many : some);
      }),
  );
}

browserTest(
  "Chromium's compiler has nothing to say about the WGSL of any preset",
  () =>
    inPage(async (tab) => {
      const { texts, messages } = await call(tab, "compileTexts");
      assertEquals(messages, []);
      assertGreater(texts, 300);
    }),
);

const options = { preset: "tiny", maxSteps: 30 } as const;

browserTest(
  "Thirty training steps on the CPU in Chromium give Deno's bits",
  async () => {
    await using backend = await openWasm();
    const expected = await steps(backend, options);
    await inPage(async (tab) => {
      assertEquals(await call(tab, "train", "wasm", options), expected);
    });
  },
);

browserTest(
  "A checkpoint goes from Deno to Chromium and back, to the bits of a run that never stopped",
  async () => {
    await using backend = await openWasm();
    const expected = await steps(backend, options);
    const first = await steps(backend, { ...options, until: 10 });
    await inPage(async (tab) => {
      const { checkpoint } = first;
      const middle = { ...options, checkpoint, until: 20 };
      const second = await call(tab, "train", "wasm", middle);
      const last = { ...options, checkpoint: second.checkpoint };
      const third = await steps(backend, last);
      const losses = [first, second, third].flatMap(({ losses }) => losses);
      assertEquals(losses, expected.losses);
      assertEquals(third.checkpoint, expected.checkpoint);
    });
  },
);

for (const engine of ["register", "workgroup"] as const) {
  if (engine === "workgroup" && !all) continue;
  browserTest(
    `Thirty training steps on software WebGPU in Chromium: ${engine}`,
    async () => {
      await using backend = await openBackend("reference");
      const expected = await steps(backend, options);
      await inPage(async (tab) => {
        const actual = await call(tab, "train", engine, options);
        const worst = Math.max(
          ...actual.losses.map((loss, i) =>
            Math.abs(loss - expected.losses[i]!)
          ),
        );
        // Float32 against float64: 8e-7 was measured.
        assert(worst < 1e-5, `off by ${worst}`);
      });
    },
  );
}
