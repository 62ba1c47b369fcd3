/** Free-running generation from whole models: what is generated, where it ends, and what happens past the context. */

import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertRejects,
  assertThrows,
} from "@std/assert";
import type { Backend } from "../../lib/backends/backend.ts";
import { modelConfig } from "../../lib/config/model.ts";
import { generateText } from "../../lib/model/generate.ts";
import { Model } from "../../lib/model/model.ts";
import { type Logits, Sampler } from "../../lib/text/sampler.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";
import { lastLogits } from "../fixtures/last_logits.ts";
import { type Bench, benchTest, variantsTest } from "./model_bench.ts";
import {
  isCausal,
  makeGeneric,
  randomIds,
  variant,
} from "../../lib/checks/variants.ts";

const greedy = new Sampler({ temperature: 0 });

/** Keeps the logits that it drew from last. */
class RecordingSampler extends Sampler {
  logits: Logits | undefined;

  override sampleBatch(
    logits: Logits,
    options: Parameters<Sampler["sampleBatch"]>[1],
  ): Int32Array {
    this.logits = logits.slice();
    return super.sampleBatch(logits, options);
  }
}

/** Registers the tests on a backend. */
export function registerGeneration(bench: Bench): void {
  variantsTest(bench, "greedy generation takes the best logit of full passes", {
    check: async (model) => {
      const { blockSize, vocabSize } = model.config;
      const prompt = randomIds(2, { vocabSize });
      const options = { sampler: greedy, maxNewTokens: blockSize - 2 };
      const generated = await Array.fromAsync(model.generate(prompt, options));
      const expected = await greedyText(model, prompt, blockSize - 2);
      assertEquals(generated, expected.generated);
    },
  });

  variantsTest(bench, "every token is drawn from the logits of a full pass", {
    check: async (model) => {
      const { blockSize, vocabSize } = model.config;
      const history = Array.from(randomIds(2, { vocabSize }));
      const sampler = new RecordingSampler();
      // Up to the last token that fits without a slide.
      const options = { sampler, maxNewTokens: blockSize - 1 };
      for await (const id of model.generate(history, options)) {
        const expected = await lastLogits(model, history);
        sampler.logits!.forEach((logit, i) =>
          assertAlmostEquals(
            logit,
            expected[i]!,
            bench.tolerance,
            `${history.length} tokens, id ${i}`,
          )
        );
        history.push(id);
      }
      assertEquals(history.length, blockSize + 1);
    },
  });

  variantsTest(bench, "the window slides past the context as documented", {
    // One with and one without a cache that stays true, and one with learned positions.
    holds: ({ name }) =>
      ["the defaults", "mask none", "position learned"].includes(name),
    check: async (model) => {
      for (const promptLength of [4, 11]) {
        const { vocabSize } = model.config;
        const prompt = randomIds(promptLength, { vocabSize });
        const slides: unknown[] = [];
        const generated = await Array.fromAsync(model.generate(prompt, {
          sampler: greedy,
          maxNewTokens: 13,
          onSlide: (slide) => slides.push(slide),
        }));
        const expected = await greedyText(model, prompt, 13);
        assertEquals(generated, expected.generated);
        assertEquals(slides, expected.slides);
        assert(slides.length > 1);
      }
    },
  });

  benchTest(
    bench,
    "prompts of unequal length generate together what each generates alone",
    async (backend) => {
      await using model = await genericModel(backend);
      const { vocabSize } = model.config;
      // The longest slides at once, the others later and at different times.
      const prompts = [1, 9, 4].map((length, seed) =>
        randomIds(length, { vocabSize, seed })
      );
      const options = { sampler: greedy, maxNewTokens: 9 };
      const together = await Array.fromAsync(
        model.generateBatch(prompts, options),
      );
      for (const [row, prompt] of prompts.entries()) {
        const alone = await Array.fromAsync(model.generate(prompt, options));
        assertEquals(together.map((ids) => ids[row]), alone, `row ${row}`);
      }
    },
  );

  benchTest(
    bench,
    "the same sampler's seed gives the same text, another's another",
    async (backend) => {
      await using model = await genericModel(backend);
      const textOf = (seed: number) => {
        const sampler = new Sampler({ seed, temperature: 2 });
        return Array.fromAsync(
          model.generate([1], { sampler, maxNewTokens: 20 }),
        );
      };
      const text = await textOf(1);
      assertEquals(await textOf(1), text);
      assert((await textOf(2)).join() !== text.join());
    },
  );

  benchTest(bench, "a stop string ends the text before it", async (backend) => {
    const tokenizer = Tokenizer.chars("abcdefg");
    await using model = await genericModel(backend);
    const textWith = async (stop: string[]) => {
      const sampler = new Sampler({ seed: 3 });
      const options = { sampler, maxNewTokens: 40, stop };
      let text = "";
      const pieces: string[] = [];
      for await (const piece of generateText(model, tokenizer, "a", options)) {
        pieces.push(piece);
        text += piece;
      }
      assert(pieces.every((piece) => piece !== ""));
      return text;
    };
    const whole = await textWith([]);
    assertEquals(whole.length, 40);
    for (const [from, to] of [[7, 8], [9, 12], [20, 25], [37, 40]]) {
      const stop = whole.slice(from, to);
      assertEquals(await textWith([stop]), whole.slice(0, whole.indexOf(stop)));
    }
    // Of two that end together the one that began before ends the text.
    const from = [...whole].findIndex((_, i) =>
      i > 0 && whole.indexOf(whole.slice(i + 1, i + 3)) === i + 1
    );
    const [long, short] = [
      whole.slice(from, from + 3),
      whole.slice(from + 1, from + 3),
    ];
    for (const stop of [[short, long], [long, short]]) {
      assertEquals(await textWith(stop), whole.slice(0, from));
    }
    // What only begins like a stop string is held back, then given.
    const almost = whole.slice(5, 8) + (whole[8] === "a" ? "b" : "a");
    const at = whole.indexOf(almost);
    assertEquals(
      await textWith([almost, "xyz"]),
      at < 0 ? whole : whole.slice(0, at),
    );
    assertEquals(await textWith([whole.slice(38) + "!"]), whole);
    await assertRejects(() => textWith([""]), RangeError, "empty");
  });

  benchTest(
    bench,
    "a signal ends the stream after the token at hand",
    async (backend) => {
      await using model = await genericModel(backend);
      const controller = new AbortController();
      const { signal } = controller;
      const ids: number[] = [];
      for await (
        const id of model.generate([1], { signal, maxNewTokens: 50 })
      ) {
        ids.push(id);
        if (ids.length === 3) controller.abort();
      }
      assertEquals(ids.length, 3);
      const aborted = model.generate([1], { signal });
      assertEquals(await Array.fromAsync(aborted), []);
    },
  );

  benchTest(
    bench,
    "generation frees its caches, also when it is left early",
    async (backend) => {
      await using model = await genericModel(backend);
      const before = backend.allocatedBytes;
      for (let i = 0; i < 5; i++) {
        for await (const _ of model.generate([1, 2], { maxNewTokens: 9 }));
        for await (const _ of model.generate([1, 2], { maxNewTokens: 9 })) {
          break;
        }
        assertEquals(
          await Array.fromAsync(model.generate([1], { maxNewTokens: 0 })),
          [],
        );
      }
      // WebGPU keeps a staging buffer of 256 bytes for each read that was ever under way beside another.
      const kept = backend.allocatedBytes - before;
      assert(kept === 0 || kept === 256, `${kept} bytes`);
    },
  );

  benchTest(
    bench,
    "prompts that no model can continue are refused",
    async (backend) => {
      await using model = await genericModel(backend);
      const refused = (prompts: number[][], message: string) =>
        assertRejects(
          () => Array.fromAsync(model.generateBatch(prompts)),
          RangeError,
          message,
        );
      await refused([], "there is no prompt");
      await refused([[1], []], "prompt 1 is empty");
      await refused([[1, 7]], "token 7 of prompt 0 is not from 0 to 6");
      await refused([[-1]], "token -1");
      await refused([[0.5]], "token 0.5");
      assertThrows(
        () => generateText(model, Tokenizer.bytes(), "a"),
        RangeError,
        "Cannot generate: the tokenizer has 256 tokens, the model 7",
      );
    },
  );
}

async function genericModel(backend: Backend): Promise<Model> {
  const { config } = variant("position learned");
  const model = await Model.create(modelConfig(config), { backend });
  await makeGeneric(model);
  return model;
}

/**
 * What greedy generation must give, from full passes alone. The window slides when it
 * is full: a prompt keeps the newest `blockSize` tokens, a text that grows the newest half;
 * without a valid cache every pass takes all that fits.
 */
async function greedyText(
  model: Model,
  prompt: Int32Array,
  count: number,
): Promise<
  { generated: number[]; slides: { row: number; forgotten: number }[] }
> {
  const { blockSize } = model.config;
  const history = Array.from(prompt);
  const slides = [];
  let begin = 0;
  for (let step = 0; step < count; step++) {
    if (history.length - begin > blockSize) {
      const isWhole = step === 0 || !isCausal(model.config);
      const next = history.length - (isWhole ? blockSize : blockSize / 2);
      slides.push({ row: 0, forgotten: next - begin });
      begin = next;
    }
    const logits = await lastLogits(model, history.slice(begin));
    history.push(logits.indexOf(Math.max(...logits)));
  }
  return { generated: history.slice(prompt.length), slides };
}
