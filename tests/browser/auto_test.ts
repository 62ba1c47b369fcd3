/**
 * The page's device "the fastest" where there is a GPU: software WebGPU that poses as hardware. The CPU engine is made slow
 * where the GPU has to win.
 */

import {
  assert,
  assertEquals,
  assertLess,
  assertStringIncludes,
} from "@std/assert";
import { browserTest } from "../cli/report/browser.ts";
import type { Tab } from "./chromium.ts";
import { start, visit } from "./page.ts";

/** Makes the software adapter pass for hardware. */
const posing =
  `Object.defineProperty(GPUAdapterInfo.prototype, "isFallbackAdapter", { value: false });`;

/** Makes each run of the CPU engine half a second longer. */
const slowCpu = `{
  const { Instance } = WebAssembly;
  WebAssembly.Instance = function (...source) {
    const { exports } = new Instance(...source);
    return { exports: { ...exports, run(...records) {
      const begun = performance.now();
      while (performance.now() < begun + 500);
      return exports.run(...records);
    } } };
  };
}`;

/** Opens the page, runs `changes` at the start of its workers, and keeps what its status says in `said`. */
function visitWith(
  changes: readonly string[],
  use: (tab: Tab) => Promise<void>,
): Promise<void> {
  return visit({}, async (tab) => {
    const script = JSON.stringify(changes.join("\n"));
    await tab.evaluate(`{
      document.querySelector("#worker").prepend(${script});
      const status = document.querySelector("#status");
      window.said = [];
      new MutationObserver(() => said.push(status.textContent))
        .observe(status, { childList: true });
    }`);
    await use(tab);
  });
}

const compares =
  `said.some((status) => status.startsWith("Comparing the GPU"))`;

browserTest(
  "The page trains its first step before it measures a GPU",
  () =>
    visitWith([posing], async (tab) => {
      assertLess(await start(tab, 100_000), 3000);
      await tab.waitFor(compares);
    }),
);

browserTest(
  "The page moves to a GPU that is faster and computes the same, and keeps the times for the next training",
  () =>
    visitWith([posing, slowCpu], async (tab) => {
      await start(tab, 100_000);
      await tab.waitFor(
        `document.querySelector("#where").textContent.includes("Device: webgpu")`,
      );
      const where = await tab.text("#where");
      const [, gpu, cpu] =
        /A step takes ([\d.]+) ms on the GPU, ([\d.]+) ms on the CPU\.$/
          .exec(where)!;
      assertLess(Number(gpu), Number(cpu));
      assert(await tab.evaluate(compares));
      assertEquals(
        await tab.text("#status"),
        "Training continues on the GPU from step 1: it is faster",
      );
      await tab.waitFor(
        `document.querySelector("#progress").textContent.startsWith("step 3 ")`,
      );
      // As if an earlier visit had found the CPU faster.
      await tab.evaluate(`{
        const kept = JSON.parse(localStorage.getItem("lm devices"));
        for (const verdict of Object.values(kept.verdicts)) verdict.gpuMs = 1e6;
        localStorage.setItem("lm devices", JSON.stringify(kept));
        said = [];
      }`);
      await tab.click("#over");
      await start(tab, 100_000);
      await tab.waitFor(
        `document.querySelector("#where").textContent.includes("A step takes 1000000 ms on the GPU")`,
      );
      assertStringIncludes(await tab.text("#where"), "Device: wasm");
      assertEquals(await tab.evaluate(compares), false);
    }),
);
