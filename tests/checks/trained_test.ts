/** Where the checks of a trained model draw their lines: one figure just good enough, and one just not. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { Backend } from "../../lib/backends/backend.ts";
import { openReference } from "../../lib/backends/reference.ts";
import { attention } from "../../kernels/reference/attention.ts";
import type { F64 } from "../../kernels/reference/kernel.ts";
import { fullReach } from "../../lib/checks/causality.ts";
import { checkDropout } from "../../lib/checks/dropout.ts";
import { samplingChecks } from "../../lib/checks/sampling.ts";
import { sideBySide } from "../../lib/checks/side_by_side.ts";
import { compareLoss } from "../../lib/checks/recorded_loss.ts";
import {
  trainedChecks,
  type TrainedSubject,
} from "../../lib/checks/trained.ts";
import { makeGeneric, variant } from "../../lib/checks/variants.ts";
import type { Verdict } from "../../lib/checks/verdict.ts";
import { evalWindows } from "../../lib/text/dataset.ts";
import type { Dispatch } from "../../lib/graph/plan.ts";
import { Model } from "../../lib/model/model.ts";
import { NgramModel } from "../../lib/text/ngram.ts";
import {
  type Logits,
  Sampler,
  type SamplerOptions,
} from "../../lib/text/sampler.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";
import { openFaulty } from "../fixtures/faulty_backend.ts";

const tokenizer = Tokenizer.chars("abcdefg");
const { vocabSize } = tokenizer;

/** A model that takes all tokens for equally likely, or nearly always writes the same. */
async function constantModel(
  backend: Backend,
  always?: string,
): Promise<Model> {
  const { config } = variant("position learned");
  const model = await Model.create(config, { backend });
  const tensors = await model.parameters();
  for (const { data } of tensors.values()) data.fill(0 as never);
  if (always !== undefined) {
    tensors.get("lm_head.bias")!.data[tokenizer.encode(always)[0]!] = 100;
  }
  model.setParameters(tensors);
  return model;
}

/** What one of the checks of a model says. */
async function verdictOn(
  check: string,
  subject: Omit<TrainedSubject, "tokenizer">,
): Promise<Verdict> {
  for (const group of trainedChecks({ ...subject, tokenizer })) {
    for await (const verdict of group.run()) {
      if (verdict.check === check) return verdict;
    }
  }
  throw new Error(`There is no check ${check}`);
}

/** As many tokens of one letter. */
function run(letter: string, count: number): Int32Array {
  return tokenizer.encode(letter.repeat(count));
}

Deno.test("A loss is too good below half of a 5-gram model's", async () => {
  await using backend = openReference();
  await using model = await constantModel(backend); // its loss is log 7
  const heldOut = run("b", 60);
  // After n tokens "a" the 5-gram model's loss on "b" is log(7 (n + 1)).
  const statusAfter = async (n: number) => {
    const scorer = NgramModel.fit(run("a", n), { order: 5, vocabSize });
    const subject = { model, heldOut, scorer, training: run("a", n) };
    return (await verdictOn("validation loss", { ...subject, tokens: 60 }))
      .status;
  };
  assertEquals(await statusAfter(5), "ok"); // 1.92 times as large
  assertEquals(await statusAfter(8), "warning"); // 2.13 times
});

Deno.test("A loss is not learned above that of frequencies", async () => {
  await using backend = openReference();
  await using model = await constantModel(backend); // log 7 = 1.946
  const heldOut = run("b", 60);
  const statusWith = async (share: number) => {
    const bs = Math.round(700 * share);
    const training = Int32Array.of(...run("a", 700 - bs), ...run("b", bs));
    const subject = { model, heldOut, training, tokens: 60 };
    return (await verdictOn("validation loss", subject)).status;
  };
  // -log 0.13 = 2.04, -log 0.16 = 1.83.
  assertEquals(await statusWith(0.13), "ok");
  assertEquals(await statusWith(0.16), "warning");
});

Deno.test("A copy is reported if it is twice as long as the spans that texts share anyway", async () => {
  await using backend = openReference();
  await using model = await constantModel(backend, "b");
  const heldOut = Int32Array.of(
    ...run("c", 40),
    ...run("b", 10),
    ...run("d", 40),
  );
  const copied = async (length: number) => {
    const training = Int32Array.of(
      ...run("a", 40),
      ...run("b", length),
      ...run("a", 40),
    );
    const subject = { model, heldOut, training, tokens: 64 * 30 };
    const { status, numbers } = await verdictOn("copying", subject);
    assertEquals(numbers, { longest: length, natural: 10 });
    return status;
  };
  assertEquals(await copied(20), "ok");
  assertEquals(await copied(21), "warning");
});

Deno.test("Two paths disagree if their losses differ by more than 0.001 nats", async () => {
  const apart = async (factor: number) => {
    await using backend = openFaulty({
      dispatch: (dispatch) =>
        dispatch.kernel === "attentionCached"
          ? {
            ...dispatch,
            dims: { ...dispatch.dims, scale: factor * dispatch.dims.scale },
          } as Dispatch
          : dispatch,
    });
    const { config } = variant("the defaults");
    await using model = await Model.create(config, { backend, seed: 1 });
    const tensors = await model.parameters();
    for (const { data } of tensors.values()) {
      for (let i = 0; i < data.length; i++) data[i] = Math.sin(i * i);
    }
    model.setParameters(tensors);
    const heldOut = Int32Array.from({ length: 600 }, (_, i) => i * i % 7);
    const subject = { model, heldOut, training: heldOut, tokens: 60 };
    const { status, numbers } = await verdictOn("two paths", subject);
    return { status, apart: Math.abs(numbers!.full! - numbers!.stepwise!) };
  };
  const near = await apart(1.0001);
  assert(near.apart > 0 && near.apart < 1e-3, `${near.apart}`);
  assertEquals(near.status, "ok");
  const far = await apart(1.3);
  assert(far.apart > 1e-3 && far.apart < 1e-2, `${far.apart}`);
  assertEquals(far.status, "failed");
});

Deno.test("A token that makes earlier logits NaN is a leak", async () => {
  let before: number | undefined;
  await using backend = openFaulty({
    kernels: {
      attention: (outputs: [F64, F64], inputs: [F64], dims) => {
        attention(outputs, inputs, dims);
        const sum = inputs[0].reduce((sum, x) => sum + x, 0);
        before ??= sum;
        if (sum !== before) outputs[0][0] = NaN; // of the first position
      },
    },
  });
  const config = { ...variant("the defaults").config, nLayer: 1 };
  await using model = await Model.create(config, { backend });
  const heldOut = Int32Array.from({ length: 60 }, (_, i) => i * i % 7);
  const subject = { model, heldOut, training: heldOut, tokens: 60 };
  const { status, found } = await verdictOn("full pass", subject);
  assertEquals(status, "failed");
  assertStringIncludes(found, "5 of 5 changed tokens change earlier logits");
});

Deno.test("Logits of prompts side by side may differ by 0.001 from those of each prompt alone", async () => {
  const model = { config: { blockSize: 8, vocabSize: 2 } } as Model;
  const text = Int32Array.of(0, 1, 1, 0, 1, 0, 0, 1);
  const statusOf = async (off: number) => {
    const { status } = await sideBySide(
      model,
      text,
      async function* (_, prompts, { sampler }) {
        const logits = new Float64Array(2 * prompts.length);
        if (prompts.length > 1) logits[2] = off; // of the second prompt's first token
        yield await Promise.resolve(
          (sampler as Sampler).sampleBatch(logits, {
            rows: prompts.length,
            step: 0,
          }),
        );
      },
    );
    return status;
  };
  for (const off of [0, 0.9e-3, -0.9e-3]) {
    assertEquals(await statusOf(off), "ok");
  }
  for (const off of [1.1e-3, -1.1e-3, NaN]) {
    assertEquals(await statusOf(off), "failed", `${off}`);
  }
});

Deno.test("A recorded loss may differ by 0.001 nats from the measured one, in both directions", async () => {
  await using backend = openReference();
  await using model = await constantModel(backend);
  const statusOf = async (off: number) => {
    const batches = evalWindows(run("b", 20), { blockSize: 6, batchSize: 2 });
    return (await compareLoss(Math.log(7) + off, { model, batches })).status;
  };
  for (const sign of [-1, 1]) {
    assertEquals(await statusOf(sign * 0.9e-3), "ok");
    assertEquals(await statusOf(sign * 1.1e-3), "failed");
  }
});

Deno.test("A reach counts positions before the changed token as before, and the token's own position as later", async () => {
  /** A stand-in whose logits at a position have its token, shifted by a number of positions. */
  const seeing = (shift: number) =>
    ({
      config: { vocabSize: 2 },
      forward: (tokens: Int32Array, { T }: { readonly T: number }) =>
        Promise.resolve(
          Float64Array.from({ length: 4 * T }, (_, i) => {
            const t = Math.floor(i / 2) % T + shift;
            const row = Math.floor(i / 2 / T);
            return t < 0 || t >= T ? 0 : tokens[row * T + t]! + i % 2;
          }),
        ),
    }) as unknown as Model;
  const tokens = new Int32Array(10);
  const reach = (shift: number) =>
    fullReach(seeing(shift), { tokens, positions: [1, 3, 4] });
  const all = (before: number, later: number) =>
    Array(3).fill({ before, later, other: 0 });
  assertEquals(await reach(1), all(1, 0));
  assertEquals(await reach(0), all(0, 1));
  assertEquals((await reach(-1)).slice(0, 2), all(0, 1).slice(0, 2));
  const crossed = {
    config: { vocabSize: 2 },
    // The second row's first logit has the sum of the first row's tokens.
    forward: (tokens: Int32Array, { T }: { readonly T: number }) =>
      Promise.resolve(
        new Float64Array(4 * T).with(
          2 * T,
          tokens.subarray(0, T).reduce((sum, token) => sum + token, 0),
        ),
      ),
  } as unknown as Model;
  assertEquals(
    await fullReach(crossed, { tokens, positions: [3] }),
    [{ before: 0, later: 0, other: 1 }],
  );
});

Deno.test("One excluded token in 2,000 draws fails a sampler", async () => {
  const make = (options: SamplerOptions) => {
    const sampler = new Sampler(options);
    return {
      sample: (logits: Logits, where: { readonly step: number }) =>
        where.step === 7
          ? logits.indexOf(Math.min(...logits))
          : sampler.sample(logits, where),
    };
  };
  const verdicts = await Array.fromAsync(samplingChecks(make).run());
  assertEquals(verdicts.map(({ check }) => check), [
    ...["top-k", "top-p", "min-p", "greedy"],
  ]);
  for (const { status, numbers } of verdicts) {
    assertEquals([status, numbers?.outside], ["failed", 1]);
  }
  for await (const { status } of samplingChecks().run()) {
    assertEquals(status, "ok");
  }
});

Deno.test("Any difference from the logits of rate 0 means that dropout is on", async () => {
  await using reference = openReference();
  await using backend = openFaulty({
    dispatch: (dispatch) =>
      dispatch.kernel === "attention" && dispatch.dims.dropout === 0
        ? {
          ...dispatch,
          dims: { ...dispatch.dims, scale: 1.001 * dispatch.dims.scale },
        } as Dispatch
        : dispatch,
  });
  const { config } = variant("dropout");
  await using model = await Model.create(config, { backend });
  await makeGeneric(model);
  const statusBeside = async (beside: Backend) => {
    for await (const verdict of checkDropout(model, { beside })) {
      if (verdict.check === "in evaluation") return verdict;
    }
    throw new Error("There is no such verdict");
  };
  assertEquals((await statusBeside(backend)).status, "ok");
  const { status, numbers } = await statusBeside(reference);
  assertEquals(status, "failed");
  assert(numbers!.change! > 0 && numbers!.change! < 0.1, `${numbers!.change}`);
});
