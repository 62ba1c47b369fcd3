/**
 * The page of `lm serve`, used in Chromium as a person would: write, look at a token, choose another one, compare two
 * models. This also writes pictures of it:
 *
 *     LM_SCREENSHOTS=DIRECTORY deno test -A tests/browser/playground_test.ts
 */

import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertNotEquals,
  assertStringIncludes,
} from "@std/assert";
import { attentionMaps, generateText, Model, Tokenizer } from "../../mod.ts";
import { makeGeneric } from "../../lib/checks/variants.ts";
import { RunningBatch } from "../../lib/model/running_batch.ts";
import { Server } from "../../lib/serve/server.ts";
import { browserTest } from "../cli/report/browser.ts";
import { Browser, picture, type Showing, type Tab } from "./chromium.ts";

const tokenizer = Tokenizer.chars(" abcdefghijklmnopqrstuvwxyz.,\n");
const blockSize = 32;

/** A server with two random models, and the page that it shows. */
interface Visit {
  readonly tab: Tab;
  readonly models: readonly Model[];
  readonly batch: RunningBatch;
}

/** Opens the page; fails if anything went wrong in it. */
async function visit(
  { token, ...showing }: Showing & { readonly token?: string },
  use: (visit: Visit) => Promise<void>,
): Promise<void> {
  const { vocabSize } = tokenizer;
  const sizes = { vocabSize, blockSize, nLayer: 2, nHead: 2, nEmbd: 16 };
  await using stack = new AsyncDisposableStack();
  const models = await Promise.all(
    [1, 2].map((seed) => Model.create(sizes, { device: "reference", seed })),
  );
  const generators = models.map((model) =>
    new RunningBatch(model, { rows: 2 })
  );
  for (const [seed, model] of models.entries()) {
    stack.use(model);
    await makeGeneric(model, seed); // Fresh weights hardly look at what came before.
  }
  for (const generator of generators) stack.defer(() => generator.destroy());
  const server = new Server({
    models: ["first", "second"].map((name, i) => ({
      ...{ name, model: models[i]!, generator: generators[i]!, tokenizer },
    })),
    ...{ queue: 4, maxTokens: 100_000, token, loopbackOnly: true },
  });
  const listener = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => server.answer(request),
  );
  stack.defer(() => listener.shutdown());
  await using browser = await Browser.launch({ webgpu: false });
  const tab = await browser.open(
    `http://127.0.0.1:${listener.addr.port}/`,
    showing,
  );
  await use({ tab, models, batch: generators[0]! });
  assertEquals(tab.faults, []);
  const asked = await tab.evaluate<string[]>(
    `performance.getEntriesByType("resource").map(({ name }) => new URL(name).origin)`,
  );
  const own = await tab.evaluate("location.origin");
  assertEquals(asked.filter((origin) => origin !== own), []);
}

async function ask(
  tab: Tab,
  fields: Readonly<Record<string, string>>,
): Promise<void> {
  await tab.waitFor(`!document.querySelector("#go").disabled`);
  for (const [id, value] of Object.entries(fields)) {
    await tab.set(`#${id}`, value);
  }
  await tab.click("#go");
}

/** Waits until texts of this many tokens are written and looked at. */
function finish(tab: Tab, tokens: number): Promise<void> {
  return tab.waitFor(
    `document.querySelector("#stop").disabled &&
     Array.from(document.querySelectorAll(".written"), ({ children }) => children.length).join() ===
       Array.from(document.querySelectorAll(".column"), () => ${tokens}).join()`,
  );
}

const written = (tab: Tab, column = 1) =>
  tab.evaluate<string>(
    `Array.from(document.querySelectorAll("#column${column}-written span"), (span) => span.textContent).join("").replaceAll("⏎", "")`,
  );

async function alone(
  model: Model,
  prompt: string,
  { seed, count }: { readonly seed: number; readonly count: number },
): Promise<string> {
  const text = generateText(model, tokenizer, prompt, {
    ...{ sampler: { seed, temperature: 0.8, topK: 9 }, maxNewTokens: count },
  });
  return prompt + (await Array.fromAsync(text)).join("");
}

const question = {
  ...{ prompt: "the cat", seed: "7", topK: "9", maxTokens: "40" },
};

browserTest(
  "The playground shows the server's text with candidates, entropy and attention as the library has them",
  () =>
    visit({}, async ({ tab, models: [model] }) => {
      await ask(tab, question);
      await finish(tab, 47);
      const text = await alone(model!, "the cat", { seed: 7, count: 40 });
      assertEquals(await written(tab), text);
      assertStringIncludes(await tab.text("#status"), "with seed 7");

      // The ninth token: its distribution is that after eight.
      await tab.evaluate(`document.querySelector("#column1-written").focus()`);
      await tab.press("Home", ...Array(8).fill("ArrowRight"));
      const ids = tokenizer.encode(text).subarray(0, 9);
      const { vocabSize: V } = tokenizer;
      const logits = await model!.forward(ids.subarray(0, 8), { B: 1, T: 8 });
      const weights = Array.from(logits.subarray(-V), Math.exp);
      const total = weights.reduce((a, b) => a + b);
      const shares = weights.map((weight) => weight / total);
      const facts = await tab.text("#column1-written + p");
      const [, surprise, entropy] = /surprise (\S+) nats\. Entropy (\S+) nats/
        .exec(facts)!;
      assertAlmostEquals(Number(surprise), -Math.log(shares[ids[8]!]!), 0.0051);
      assertAlmostEquals(
        Number(entropy),
        shares.reduce((sum, p) => sum - p * Math.log(p), 0),
        0.0051,
      );
      const percents = await tab.evaluate<number[]>(
        `Array.from(document.querySelectorAll("#column1-candidates button"), (button) => parseFloat(button.lastChild.data))`,
      );
      const best = shares.toSorted((a, b) => b - a).slice(0, 10);
      percents.forEach((percent, i) =>
        assertAlmostEquals(percent, 100 * best[i]!, 0.51)
      );

      const [map] = await attentionMaps(model!, ids, { first: 8 });
      const row = map!.subarray(0, 9); // layer 1, head 1
      const most = row.indexOf(Math.max(...row));
      await tab.waitFor(
        `document.querySelector("#column1-attended [aria-selected=true]")?.id === "column1-attended-8"`,
      );
      const shades = await tab.evaluate<number[]>(
        `Array.from(document.querySelectorAll("#column1-attended span"), ({ style }) => Number(style.getPropertyValue("--share")))`,
      );
      // Weights have four decimals, shades are their roots and have three.
      row.forEach((share, i) =>
        assertAlmostEquals(shades[i]!, Math.sqrt(share), 0.01)
      );
      assertEquals(shades.slice(9), Array(38).fill(0));
      const look = await tab.text("#column1-attended + p");
      assertStringIncludes(
        look,
        most === 8 ? "(itself)" : `(${8 - most} before)`,
      );

      // The end of the text, of which the model sees the last 32 tokens.
      await tab.press("End");
      await tab.waitFor(
        `document.querySelector(".column").lastChild.textContent === "The model does not see the first ${
          47 - blockSize
        } tokens any more."`,
      );
      await picture(tab, "playground-desktop");
    }),
);

browserTest(
  "The playground continues from another candidate with the keyboard alone, and stops",
  () =>
    visit({}, async ({ tab, batch }) => {
      await ask(tab, question);
      await finish(tab, 47);
      const before = await written(tab);
      await tab.evaluate(`document.querySelector("#column1-written").focus()`);
      await tab.press("Home", ...Array(10).fill("ArrowRight"));
      await tab.press("Tab", "Tab"); // the second candidate
      const chosen = await tab.evaluate<string>(
        `document.activeElement.querySelector("code").textContent`,
      );
      await tab.press("Enter");
      await finish(tab, 51);
      const after = await written(tab);
      assertEquals(after.slice(0, 10), before.slice(0, 10));
      const token = after[10]!.replace(" ", "␣").replace("\n", "⏎");
      assertEquals(token, chosen);

      await tab.set("#maxTokens", "100000");
      await tab.evaluate(
        `document.querySelector("#prompt").dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", ctrlKey: true, bubbles: true, cancelable: true }))`,
      );
      await tab.waitFor(
        `document.querySelectorAll("#column1-written span").length > 100`,
      );
      await tab.click("#stop");
      await tab.waitFor(`document.querySelector("#stop").disabled`);
      while (batch.active > 0) await new Promise((go) => setTimeout(go, 5));
      // A prompt that the tokenizer does not know.
      await ask(tab, { ...question, prompt: "THE" });
      await tab.waitFor(
        `document.querySelector("#status").className === "error"`,
      );
      assertStringIncludes(await tab.text("#status"), '"T" (U+0054)');
      tab.faults.pop(); // Chromium reports an answer with status 400.
    }),
);

browserTest(
  "The playground shows two models side by side, each with its own text",
  () =>
    visit({ width: 1400 }, async ({ tab, models }) => {
      await tab.waitFor(`!document.querySelector("#go").disabled`);
      await tab.click("#beside");
      await ask(tab, question);
      await finish(tab, 47);
      const count = { seed: 7, count: 40 };
      const texts = [await written(tab, 1), await written(tab, 2)];
      assertNotEquals(texts[0], texts[1]);
      for (const [i, text] of texts.entries()) {
        assertEquals(text, await alone(models[i]!, "the cat", count));
      }
      const lefts = await tab.evaluate<number[]>(
        `Array.from(document.querySelectorAll(".column"), (column) => column.getBoundingClientRect().left)`,
      );
      assert(lefts[1]! > lefts[0]! + 300, `${lefts}`);
      await picture(tab, "playground-beside");
      await tab.click("#beside");
      assertEquals(
        await tab.evaluate(`document.querySelectorAll(".column").length`),
        1,
      );
    }),
);

browserTest(
  "The playground asks for the token of a server that wants one",
  () =>
    visit({ token: "secret" }, async ({ tab }) => {
      const status = (text: string) =>
        tab.waitFor(
          `document.querySelector("#status").textContent === "${text}"`,
        );
      await status("This server asks for its token.");
      await tab.set("#secret", "other");
      await status("The token is wrong");
      await tab.set("#secret", "secret");
      await status("Choose, then press Write.");
      await ask(tab, question);
      await finish(tab, 47);
      // Chromium reports each answer with status 401.
      tab.faults.splice(0, 2);
    }),
);

browserTest(
  "The playground has no faults of layout or contrast",
  () =>
    visit({}, async ({ tab }) => {
      await tab.waitFor(`!document.querySelector("#go").disabled`);
      await tab.click("#beside");
      await ask(tab, question);
      await finish(tab, 47);
      await tab.click("#column1-written span:last-child");
      const faultsIn = await Deno.readTextFile(
        new URL("../cli/report/page_faults.js", import.meta.url),
      );
      for (const width of [320, 390, 1400]) { // the narrowest is that of WCAG 2.2, 1.4.10
        for (const scheme of ["light", "dark"] as const) {
          await tab.display({ width, scheme, touch: width < 400 });
          await tab.evaluate("new Promise(requestAnimationFrame)");
          const faults = await tab.evaluate<string[]>(
            `(() => { ${faultsIn}; return faultsIn(document, "screen"); })()`,
          );
          assertEquals(faults, [], `${width} pixels wide, ${scheme}`);
          const wide = await tab.evaluate<number>(
            "document.documentElement.scrollWidth",
          );
          assert(wide <= width, `${wide} of ${width} pixels`);
          if (width === 320) continue;
          await picture(tab, `playground-${width}-${scheme}`);
        }
      }
    }),
);
