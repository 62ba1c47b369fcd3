/**
 * The page of `examples/browser`, used in Chromium as a person would: train, pause, write, choose another
 * token, and break the mask. This also writes pictures of it:
 *
 *     LM_SCREENSHOTS=DIRECTORY deno test -A tests/browser/page_test.ts
 */

import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { join, toFileUrl } from "@std/path";
import { writePage } from "../../tools/page.ts";
import { browserTest } from "../cli/report/browser.ts";
import { Workplace } from "../cli/process.ts";
import { Browser, picture } from "./chromium.ts";
import { builtPage, count, finish, start, stepOf, visit } from "./page.ts";

browserTest(
  "The page trains, shows its losses beside counting models, writes samples and attends",
  () =>
    visit({}, async (tab) => {
      const ms = await start(tab, 300);
      assertLess(ms, 3000); // the promise of the page, on a cold cache
      await finish(tab);
      assertMatch(
        await tab.text("#where"),
        /^26,816 parameters\. Device: wasm \(CPU, .*\)\. The only WebGPU adapter is software/,
      );
      assertMatch(
        await tab.text("#progress"),
        /^step 300 of 300 · loss 2\.\d+ · on text held back 2\.\d+ · /,
      );
      await tab.waitFor(
        `document.querySelectorAll("#chart .counting").length === 4`,
      );
      assertStringIncludes(await tab.text("#chart"), "bigram 2.4");
      assertEquals(await count(tab, "#samples li"), 3);
      assertEquals(await count(tab, "#written span"), "ROMEO:".length + 200);
      assertEquals(await count(tab, "#heads canvas"), 4);
      await picture(tab, "desktop");
    }),
);

browserTest(
  "The page pauses at once, resumes, trains on, and starts over",
  () =>
    visit({}, async (tab) => {
      await start(tab, 100_000);
      await tab.click("#train");
      await tab.waitFor(
        `document.querySelector("#train").textContent === "Resume"`,
      );
      await new Promise((resolve) => setTimeout(resolve, 500));
      const paused = await stepOf(tab);
      await new Promise((resolve) => setTimeout(resolve, 1000));
      assertEquals(await stepOf(tab), paused);
      // It writes while it is paused.
      await tab.click("#go");
      await tab.waitFor(
        `document.querySelectorAll("#written span").length === 206`,
      );
      await tab.click("#train");
      await tab.waitFor(
        `!document.querySelector("#progress").textContent.startsWith("step ${
          paused.toLocaleString("en")
        } ")`,
      );
      await tab.click("#over");
      assertEquals(await tab.text("#train"), "Train");
      assertEquals(await tab.text("#progress"), "");
      await start(tab, 100);
      await finish(tab);
      assertEquals(await stepOf(tab), 100);
      await tab.click("#train"); // Train on
      await tab.waitFor(
        `document.querySelector("#progress").textContent.startsWith("step 200 of 200")`,
      );
    }),
);

browserTest(
  "Another candidate of a token is written on from there, with the keyboard alone",
  () =>
    visit({}, async (tab) => {
      await start(tab, 100);
      await finish(tab);
      await tab.evaluate(`document.querySelector("#written").focus()`);
      await tab.press("Home", "ArrowRight");
      assertStringIncludes(await tab.text("#candidates"), "was given");
      await tab.press(...Array(8).fill("ArrowRight"));
      const before = await tab.evaluate<string>(
        `Array.from(document.querySelectorAll("#written span"), (span) => span.textContent).slice(0, 9).join("")`,
      );
      assertEquals(await count(tab, "#candidates button"), 10);
      const percents = await tab.evaluate<number[]>(
        `Array.from(document.querySelectorAll("#candidates button"), (button) => parseFloat(button.lastChild.data))`,
      );
      assertEquals(percents, percents.toSorted((a, b) => b - a));
      // The third candidate, by Tab and Enter.
      await tab.press("Tab", "Tab", "Tab");
      const chosen = await tab.evaluate<string>(
        `document.activeElement.querySelector("code").textContent`,
      );
      await tab.press("Enter");
      await tab.waitFor(
        `document.querySelectorAll("#written span").length === 210 && document.querySelector("#stop").disabled`,
      );
      const after = await tab.evaluate<string>(
        `Array.from(document.querySelectorAll("#written span"), (span) => span.textContent).slice(0, 10).join("")`,
      );
      assertEquals(after.slice(0, before.length), before);
      const written = after.slice(before.length);
      assertEquals(written.replace(" ", "␣").trimEnd(), chosen);
    }),
);

browserTest(
  "Breaking the mask makes the loss fall below counting and the text nonsense; mending it mends both",
  () =>
    visit({}, async (tab) => {
      await start(tab, 2000);
      await tab.waitFor(
        `document.querySelectorAll("#samples li").length >= 3`,
      );
      await tab.click("#causal");
      await tab.waitFor(`!document.querySelector("#broken").hidden`);
      await finish(tab);
      const loss = Number(
        /held back (\d\.\d+)/.exec(await tab.text("#progress"))![1],
      );
      // A 5-gram model has 1.67, a causal model of this size about 2.0 after 2,000 steps.
      assertLess(loss, 1.2);
      // The picture of a head has ink above its diagonal.
      const above = `(() => {
      const canvas = document.querySelector("#heads canvas");
      const { data, width } = canvas.getContext("2d")
        .getImageData(0, 0, canvas.width, canvas.height);
      let ink = 0;
      for (let row = 0; row < width; row++) {
        for (let column = row + 1; column < width; column++) {
          ink += data[4 * (row * width + column) + 3];
        }
      }
      return ink;
    })()`;
      assertGreater(await tab.evaluate(above), 0);
      await picture(tab, "broken-mask");
      await tab.click("#causal");
      await tab.click("#go");
      await tab.waitFor(
        `document.querySelector("#stop").disabled && ${above} === 0`,
      );
    }),
);

browserTest(
  "Without cross-origin isolation the page trains on one thread and says why, on a phone",
  () =>
    visit(
      { isolated: false, width: 390, height: 844, touch: true },
      async (tab) => {
        await start(tab, 100);
        await finish(tab);
        assertStringIncludes(await tab.text("#where"), "CPU, 1 thread");
        assertStringIncludes(
          await tab.text("#where"),
          "not cross-origin isolated",
        );
        const wide = await tab.evaluate<number>(
          "document.documentElement.scrollWidth",
        );
        assertEquals(wide, 390);
        await picture(tab, "phone");
      },
    ),
);

browserTest(
  "In the dark scheme, and without a WebGPU adapter, the page trains and says so",
  () =>
    visit({
      scheme: "dark",
      webgpu: false,
    }, async (tab) => {
      await tab.set("#device", "webgpu");
      await tab.click("#train");
      await tab.waitFor(
        `document.querySelector("#status").textContent.startsWith("Cannot open ")`,
      );
      assertStringIncludes(await tab.text("#status"), "computes on the CPU");
      assertEquals(await tab.text("#train"), "Train");
      await tab.set("#device", "auto");
      await start(tab, 100);
      await finish(tab);
      assertStringIncludes(
        await tab.text("#where"),
        "This browser's WebGPU found no adapter.",
      );
      await picture(tab, "dark");
    }),
);

browserTest(
  "The page has no faults of layout or contrast",
  () =>
    visit({}, async (tab) => {
      await start(tab, 100);
      await finish(tab);
      await tab.click("#written span:last-child");
      await tab.click("#causal"); // which shows a note
      const faultsIn = await Deno.readTextFile(
        new URL("../cli/report/page_faults.js", import.meta.url),
      );
      for (const width of [320, 390, 1400]) { // the narrowest is that of WCAG 2.2, 1.4.10
        for (const scheme of ["light", "dark"] as const) {
          await tab.display({ width, scheme });
          await tab.evaluate("new Promise(requestAnimationFrame)");
          const faults = await tab.evaluate<string[]>(
            `(() => { ${faultsIn}; return faultsIn(document, "screen"); })()`,
          );
          assertEquals(faults, [], `${width} pixels wide, ${scheme}`);
        }
      }
    }),
);

browserTest(
  "The page trains on software WebGPU where it is asked to",
  () =>
    visit({}, async (tab) => {
      await tab.set("#device", "webgpu");
      await start(tab, 20);
      await finish(tab);
      assertMatch(await tab.text("#where"), /Device: webgpu \(.*software\)/);
      await tab.click("#causal");
      await tab.click("#train"); // Train on, with the mask broken
      await tab.waitFor(
        `document.querySelector("#progress").textContent.startsWith("step 40 of 40")`,
      );
    }),
);

browserTest("One file, opened from disk, trains on its excerpt", async () => {
  await using place = await Workplace.create();
  const page = await builtPage();
  const { html } = await writePage(join(place.path, "page"), page);
  await Deno.remove(join(place.path, "page", "text.txt"));
  await using browser = await Browser.launch();
  const tab = await browser.open(toFileUrl(html).href);
  await start(tab, 100);
  await finish(tab);
  assertEquals(
    await tab.evaluate(`document.querySelector("#text").value`),
    "excerpt",
  );
  assertStringIncludes(await tab.text("#where"), "CPU, 1 thread");
  assertEquals(tab.faults, []);
});

browserTest(
  "The page draws 60 frames a second while it trains, and goes on training when it is hidden",
  () =>
    visit({}, async (tab, browser) => {
      await tab.set("#preset", "default");
      await start(tab, 100_000);
      const median = await tab.evaluate<number>(`new Promise((resolve) => {
      const times = [];
      const frame = (time) => {
        times.push(time);
        if (times.length < 120) return requestAnimationFrame(frame);
        const gaps = times.slice(1).map((time, i) => time - times[i]);
        resolve(gaps.sort((a, b) => a - b)[gaps.length >> 1]);
      };
      requestAnimationFrame(frame);
    })`);
      // 16.7 ms are 60 frames a second.
      assertLess(median, 20);
      const stepsIn = async (seconds: number) => {
        const before = await stepOf(tab);
        await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
        return await stepOf(tab) - before;
      };
      const visible = await stepsIn(4);
      const other = await browser.open("about:blank#other");
      await other.show();
      await tab.waitFor("document.hidden");
      // A page whose timers are throttled takes a step a second.
      const hidden = await stepsIn(4);
      assertGreater(hidden, visible / 3, `${visible} steps while visible`);
      assert(await tab.evaluate("document.hidden"));
    }),
);
