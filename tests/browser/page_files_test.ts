/** Files that the page reads and writes: texts and checkpoints. */

import {
  assert,
  assertEquals,
  assertGreater,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { join } from "@std/path";
import { openWasm } from "../../lib/backends/wasm/engine.ts";
import { decodeCheckpoint } from "../../lib/formats/mod.ts";
import { Dataset, Model, presets, Tokenizer, Trainer } from "../../mod.ts";
import { browserTest } from "../cli/report/browser.ts";
import { run, Workplace } from "../cli/process.ts";
import { finish, start, stepOf, visit } from "./page.ts";

/** Trains the preset `tiny` as the page does, with the library as it is, and returns the checkpoint. */
async function trainHere(
  text: string,
  maxSteps: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const { model: architecture, train } = presets.tiny;
  const tokenizer = Tokenizer.chars(text);
  const { vocabSize } = tokenizer;
  const { blockSize = 0 } = architecture;
  const { batchSize = 0 } = train;
  // Products of a BLAS have other bits.
  await using backend = await openWasm({ blas: "off" });
  await using model = await Model.create({ ...architecture, vocabSize }, {
    ...{ backend, seed: 1, tokenizer },
  });
  const dataset = new Dataset(tokenizer.encode(text), {
    ...{ blockSize, batchSize, seed: 1 },
  });
  const trainer = new Trainer(model, dataset, {
    ...{ ...train, maxSteps, evalInterval: 50, sampleInterval: 100 },
    evalTokens: 1,
  });
  await Array.fromAsync(trainer.run());
  return await trainer.save();
}

/** Writes a checkpoint with a tokenizer of byte pairs, and returns its path. */
async function bytePairs(path: string): Promise<string> {
  const tokenizer = Tokenizer.bpe("to be or not to be", { vocabSize: 258 });
  await using model = await Model.create(
    { vocabSize: 258, blockSize: 8, nLayer: 1, nHead: 1, nEmbd: 8 },
    { device: "reference", tokenizer },
  );
  await Deno.writeFile(path, await model.save());
  return path;
}

browserTest(
  "A checkpoint of the page is sampled and resumed by the command line, and comes back",
  async () => {
    await using place = await Workplace.create();
    const directory = join(place.path, "tab");
    await Deno.mkdir(directory);
    await visit({}, async (tab) => {
      await start(tab, 120);
      await finish(tab);
      const bytes = await tab.download("#save");
      const { training, config } = decodeCheckpoint(bytes);
      assertEquals([training?.step, config.mask], [120, "causal"]);
      await Deno.writeFile(join(directory, "checkpoint.safetensors"), bytes);
      const text = await tab.download("#saveText");
      await Deno.writeFile(join(place.path, "shakespeare.txt"), text);
      const here = await trainHere(new TextDecoder().decode(text), 120);
      assert(bytes.toBase64() === here.toBase64(), "Deno's bits differ");
      const at = { cwd: place.path };
      const sampled = await run(["sample", "tab", "--tokens", "40"], at);
      assertEquals(sampled.code, 0, sampled.stderr);
      assertGreater(sampled.stdout.length, 39); // a line end comes after the text unless it ends in one
      const resumed = await run([
        ...["train", "--resume", "tab", "--data", "shakespeare.txt"],
        ...["--steps", "200", "--device", "wasm"],
      ], at);
      assertEquals(resumed.code, 0, resumed.stderr);
      assertStringIncludes(resumed.stderr, "from step 120");
      await tab.click("#over");
      await tab.giveFile("#load", join(directory, "checkpoint.safetensors"));
      await tab.waitFor(
        `document.querySelector("#status").textContent.startsWith("Loaded checkpoint.safetensors, 200 steps")`,
      );
      await tab.set("#steps", "50");
      await tab.click("#train"); // Train on
      await finish(tab);
      assertEquals(await stepOf(tab), 250);
    });
  },
);

browserTest(
  "The page trains on a pasted text and on a file, and says what is wrong with a text",
  async () => {
    await using place = await Workplace.create();
    await visit({}, async (tab) => {
      await tab.set("#text", "own");
      await tab.click("#train");
      await tab.waitFor(
        `document.querySelector("#status").textContent === "Cannot train: there is no text yet"`,
      );
      await tab.set("#ownText", "too short");
      await tab.click("#train");
      await tab.waitFor(
        `document.querySelector("#status").textContent.startsWith("Cannot create Dataset")`,
      );
      const file = join(place.path, "own.txt");
      await Deno.writeTextFile(
        file,
        "Zebras, quaggas & okapis: 3 × 4 = 12.\r\n".repeat(60),
      );
      await tab.giveFile("#ownFile", file);
      await tab.waitFor(`document.querySelector("#ownText").value !== ""`);
      await start(tab, 100);
      await finish(tab);
      assertMatch(await tab.text("#written"), /^Zebras, quaggas /);
      // A checkpoint of other characters can write, and the page says why it cannot train.
      const bytes = await tab.download("#save");
      await Deno.writeFile(join(place.path, "own.safetensors"), bytes);
      await tab.click("#over");
      await tab.set("#text", "excerpt");
      await tab.giveFile("#load", join(place.path, "own.safetensors"));
      await tab.waitFor(
        `document.querySelector("#status").textContent.includes("It can write, but not train on this text")`,
      );
      await tab.set("#prompt", "Zebras");
      await tab.click("#go");
      await tab.waitFor(
        `document.querySelectorAll("#written span").length === 206`,
      );
      // A checkpoint whose tokenizer the page does not have, and a file that is no checkpoint.
      const pairs = await bytePairs(join(place.path, "pairs.safetensors"));
      await tab.giveFile("#load", pairs);
      await tab.waitFor(
        `document.querySelector("#status").textContent.endsWith("Cannot use byte pairs: this page has none")`,
      );
      await tab.giveFile("#load", file);
      await tab.waitFor(
        `document.querySelector("#status").textContent.startsWith("Cannot read")`,
      );
    });
  },
);

browserTest(
  "The page reads files of text in UTF-8 alone, and does not lay out long ones",
  async () => {
    await using place = await Workplace.create();
    const file = join(place.path, "own.txt");
    await visit({}, async (tab) => {
      await tab.set("#text", "own");
      const give = async (content: string | Uint8Array, status: string) => {
        await Deno.writeFile(
          file,
          typeof content === "string"
            ? new TextEncoder().encode(content)
            : content,
        );
        await tab.giveFile("#ownFile", file);
        await tab.waitFor(
          `document.querySelector("#status").textContent === "${status}"`,
        );
        return await tab.evaluate(`document.querySelector("#ownText").value`);
      };
      assertEquals(
        await give("\ufeffnaïve 猫\n", "Read own.txt: 8 characters."),
        "naïve 猫\n",
      );
      assertEquals(
        await give(
          Uint8Array.of(0xff, 0xfe, 97, 0),
          "Cannot read own.txt: it is not a text in UTF-8",
        ),
        "naïve 猫\n",
      );
      const long = "A long text is not shown. ".repeat(10_000);
      assertEquals(
        await give(long, "Read own.txt: 260,000 characters."),
        "",
      );
      await start(tab, 20);
      await finish(tab);
      const used = await tab.download("#saveText");
      assertEquals(new TextDecoder().decode(used) === long, true);
      // Typed text replaces the file.
      await tab.click("#over");
      await tab.set("#ownText", "short");
      await tab.click("#train");
      await tab.waitFor(
        `document.querySelector("#status").textContent.startsWith("Cannot create Dataset: the text has 5 tokens")`,
      );
    });
  },
);
