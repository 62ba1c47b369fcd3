/** Tokens that a GPU chooses: those of the host's sampler, but where float32 cannot tell two tokens apart. */

import { assert, assertEquals } from "@std/assert";
import { CounterRandom, Purpose } from "../../kernels/random.ts";
import { openWebGpu } from "../../lib/backends/webgpu/engine.ts";
import { HostSampler } from "../../lib/checks/device_choice.ts";
import { makeGeneric } from "../../lib/checks/variants.ts";
import { forward } from "../../lib/graph/autodiff.ts";
import { compile } from "../../lib/graph/compile.ts";
import { layoutParameters } from "../../lib/graph/layout.ts";
import { choose } from "../../lib/graph/ops/sampling.ts";
import { Graph } from "../../lib/graph/tensor.ts";
import { settingsOf } from "../../lib/model/chosen_tokens.ts";
import { Model } from "../../lib/model/model.ts";
import { Sampler, type SamplerOptions } from "../../lib/text/sampler.ts";
import { gpuTest } from "./adapter.ts";

/** Draws a token from each row of logits on a GPU, with the row's number as its row. */
async function draw(
  logits: Float32Array,
  { rows: B, options, tiling, steps }: {
    readonly rows: number;
    readonly options: SamplerOptions;
    readonly tiling: "register" | "workgroup";
    readonly steps: number;
  },
): Promise<Int32Array> {
  await using backend = await openWebGpu({ adapter: "any", tiling });
  const V = logits.length / B;
  const graph = new Graph();
  const of = (name: string, width: number) =>
    graph.store(name, [B, width], "i32");
  choose(graph.input("logits", [B, V], "f32"), {
    ...{ text: of("text", steps), seen: of("seen", V), state: of("state", 4) },
    ...{ cached: of("cached", 1), tokens: of("tokens", 1) },
    count: graph.input("count", [B], "i32"),
    settings: graph.input("settings", [B, 5], "f32"),
  });
  const program = await backend.compile(
    compile({
      name: "draw",
      phases: { draw: forward(graph) },
      layout: layoutParameters(graph),
    }),
    new Map(),
  );
  const row = (b: number) => [options.seed!, b, 0, 0];
  const rows = [...Array(B).keys()];
  program.buffer("logits").write(logits);
  program.buffer("state").write(rows.flatMap(row));
  program.buffer("settings").write(rows.flatMap(() => settingsOf(options)));
  program.run(Array(steps).fill("draw"));
  return await program.buffer("text").read() as Int32Array;
}

/** Options without a penalty, with which each draw is independent. */
const options: readonly SamplerOptions[] = [
  { seed: 1 },
  { seed: 2, temperature: 0 },
  { seed: 7, temperature: 1e-40 },
  { seed: 3, temperature: 0.8, topK: 10 },
  { seed: 4, temperature: 1.2, topP: 0.9 },
  { seed: 5, temperature: 2, minP: 0.05 },
  { seed: 6, temperature: 0.9, topK: 40, topP: 0.95, minP: 0.01 },
];

for (const tiling of ["register", "workgroup"] as const) {
  gpuTest(
    `Of thousands of draws hardly any differs from the host's, and that one by rounding: ${tiling}`,
    async () => {
      const [rows, V, steps] = [48, 65, tiling === "register" ? 64 : 16];
      let differing = 0;
      for (const choice of options) {
        const random = new CounterRandom(choice.seed!, Purpose.init);
        const logits = Float32Array.from(
          { length: rows * V },
          (_, i) => 2.5 * random.normal(0, i),
        );
        const sampler = new Sampler(choice);
        const draws = new CounterRandom(choice.seed!, Purpose.sample);
        const ids = await draw(logits, {
          rows,
          options: choice,
          tiling,
          steps,
        });
        for (let row = 0; row < rows; row++) {
          const own = logits.subarray(row * V, (row + 1) * V);
          const probabilities = sampler.probabilities(own);
          for (let step = 0; step < steps; step++) {
            const id = ids[row * steps + step]!;
            if (id === sampler.sample(own, { step, row })) continue;
            differing++;
            // The random number is at the border of the token that was drawn.
            let below = 0;
            for (let i = 0; i < id; i++) below += probabilities[i]!;
            const u = draws.uniform(step, row);
            const distance = Math.min(
              Math.abs(u - below),
              Math.abs(u - below - probabilities[id]!),
            );
            assert(distance < 1e-6, `${JSON.stringify(choice)}: ${distance}`);
          }
        }
      }
      assert(differing <= 3, `${differing} draws differ`);
    },
  );
}

gpuTest(
  "Of two tokens with the random number at their border float32 may choose either",
  async () => {
    const [rows, V] = [64, 2];
    const draws = new CounterRandom(9, Purpose.sample);
    // p(0) is the random number itself, to the last bit of a logit.
    const logits = Float32Array.from({ length: rows * V }, (_, i) => {
      const u = draws.uniform(0, i >> 1);
      return i % 2 === 0 ? Math.log(u / (1 - u)) : 0;
    });
    const settings = { rows, options: { seed: 9 }, steps: 1 };
    const ids = await draw(logits, { ...settings, tiling: "register" });
    assert(ids.every((id) => id === 0 || id === 1));
  },
);

gpuTest(
  "Texts chosen on the device are those of a sampler on the host, past the context and with a penalty",
  async () => {
    await using backend = await openWebGpu({ adapter: "any" });
    await using model = await Model.create({
      ...{ vocabSize: 33, blockSize: 16, nLayer: 1, nHead: 2, nEmbd: 16 },
      position: "rope",
    }, { backend });
    await makeGeneric(model);
    const prompts = [[1], [2, 3, 4], Array(30).fill(5)];
    for (
      const choice of [
        { temperature: 0 },
        {
          temperature: 1.1,
          topK: 12,
          topP: 0.9,
          repetitionPenalty: 1.2,
          seed: 5,
        },
      ]
    ) {
      const texts = [];
      for (const sampler of [new Sampler(choice), new HostSampler(choice)]) {
        const slides: unknown[] = [];
        const onSlide = (slide: object) => slides.push(slide);
        const given = { sampler, maxNewTokens: 90, onSlide };
        const steps = await Array.fromAsync(
          model.generateBatch(prompts, given),
        );
        texts.push([steps, slides]);
      }
      assertEquals(texts[0], texts[1]);
    }
  },
);
