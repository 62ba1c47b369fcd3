/** Attention maps: that they are what the fused attention of a backend does. */

import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertRejects,
} from "@std/assert";
import {
  attentionMaps,
  attentionPlan,
} from "../../lib/model/attention_maps.ts";
import { Model } from "../../lib/model/model.ts";
import { type Bench, benchTest, variantsTest } from "./model_bench.ts";
import { randomIds, variant } from "../../lib/checks/variants.ts";
import { internalsOf } from "../../lib/model/internals.ts";

/** Registers the tests on a backend. */
export function registerAttentionMaps(bench: Bench): void {
  const T = 5;

  variantsTest(
    bench,
    "attention maps add up to 1, and with them values give what the kernel gives",
    {
      check: async (model) => {
        const { config } = model;
        const ids = randomIds(T, config);
        const maps = await attentionMaps(model, ids);
        assertEquals(maps.length, config.attention ? config.nLayer : 0);
        for (const map of maps) {
          assertEquals(map.length, config.nHead * T * T);
          for (let at = 0; at < map.length; at += T) {
            const row = map.subarray(at, at + T);
            // Float64's rounding of five terms below 1.
            assertAlmostEquals(row.reduce((a, b) => a + b), 1, 1e-12);
            assert(row.every((p) => p >= 0));
            if (config.mask !== "causal") continue;
            const i = (at / T) % T;
            assert(row.subarray(i + 1).every((p) => p === 0));
          }
        }
        await checkOutputs(model, { ids, maps, tolerance: bench.tolerance });
      },
    },
  );

  benchTest(
    bench,
    "attention maps are for ids that the model knows, and not too many",
    async (backend) => {
      const { config } = variant("the defaults");
      await using model = await Model.create(config, { backend });
      const { blockSize, vocabSize } = config;
      const cases: [Int32Array, string][] = [
        [new Int32Array(0), "there are 0 tokens"],
        [
          new Int32Array(blockSize + 1),
          `T (${blockSize + 1}) is above blockSize (${blockSize})`,
        ],
        [Int32Array.of(vocabSize), `is not from 0 to ${vocabSize - 1}`],
      ];
      for (const [ids, words] of cases) {
        await assertRejects(() => attentionMaps(model, ids), RangeError, words);
      }
      assertEquals((await attentionMaps(model, new Int32Array(1)))[0]![0], 1);
      const ids = randomIds(T, config);
      for (const first of [-1, 0.5, T]) {
        await assertRejects(
          () => attentionMaps(model, ids, { first }),
          RangeError,
          "first",
        );
      }
      const whole = await attentionMaps(model, ids);
      const end = await attentionMaps(model, ids, { first: T - 2 });
      whole.forEach((map, layer) => {
        for (let h = 0; h < config.nHead; h++) {
          const rows = map.subarray((h + 1) * T * T - 2 * T, (h + 1) * T * T);
          assertEquals(end[layer]!.slice(2 * h * T, 2 * (h + 1) * T), rows);
        }
      });
    },
  );
}

/** Σⱼ pᵢⱼ vⱼ against the output of the backend's own attention, head by head. */
async function checkOutputs(
  model: Model,
  { ids, maps, tolerance }: {
    ids: Int32Array;
    maps: readonly Float64Array[];
    tolerance: number;
  },
): Promise<void> {
  const { nHead: NH, nKvHead: NKV, headSize: HS } = model.config;
  const stride = (NH + 2 * NKV) * HS;
  const T = ids.length;
  const { plan, layers } = attentionPlan(model.config, T);
  const program = await internalsOf(model).executor.compile(
    plan,
    internalsOf(model).stores,
  );
  program.buffer("tokens").write(ids);
  program.run();
  for (const [layer, { label }] of layers.entries()) {
    const qkv = await program.buffer(`${label}.qkv`).read();
    const y = await program.buffer(`${label}.y`).read();
    const map = maps[layer]!;
    for (let h = 0; h < NH; h++) {
      const v = (NH + NKV + Math.floor(h * NKV / NH)) * HS;
      for (let i = 0; i < T; i++) {
        for (let d = 0; d < HS; d++) {
          let sum = 0;
          for (let j = 0; j < T; j++) {
            sum += map[(h * T + i) * T + j]! * qkv[j * stride + v + d]!;
          }
          const got = y[(i * NH + h) * HS + d]!;
          assertAlmostEquals(sum, got, tolerance, `${label} ${h} ${i} ${d}`);
        }
      }
    }
  }
  program.destroy();
}
