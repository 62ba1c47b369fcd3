/**
 * Times text on a device, in turns with the same text drawn by a sampler on the host, which reads the logits of each token.
 *
 * With `--running yes` the rows are texts of a running batch, as in `lm serve`.
 *
 *     deno run -A bench/text.ts [--device webgpu] [--presets tiny,original] [--rows 1,32] [--tokens 200] [--rounds 5]
 *       [--running no]
 */

import { type Device, openBackend } from "../lib/backends/open.ts";
import { HostSampler } from "../lib/checks/device_choice.ts";
import { type PresetName, presets } from "../lib/config/presets.ts";
import { Model } from "../lib/model/model.ts";
import { RunningBatch } from "../lib/model/running_batch.ts";
import { Sampler } from "../lib/text/sampler.ts";
import { readFlags } from "../tools/flags.ts";

const { flags } = readFlags({
  ...{ device: "webgpu", presets: "tiny,original", rows: "1,32" },
  ...{ tokens: "200", rounds: "5", running: "no" },
});
const vocabularies = { ascii: 128, chars: 65, bytes: 256 };
const ways = { "on the host": HostSampler, "on the device": Sampler };

await using backend = await openBackend(flags.device as Device);
console.log(backend.description);
for (const name of flags.presets.split(",")) {
  const { model: options, tokenizer } = presets[name as PresetName];
  const vocabSize = vocabularies[tokenizer];
  await using model = await Model.create({ ...options, vocabSize }, {
    backend,
  });
  for (const rows of flags.rows.split(",").map(Number)) {
    const rates = new Map<string, number[]>();
    // The first round is not counted: it compiles.
    for (let round = 0; round <= Number(flags.rounds); round++) {
      for (const [way, Kind] of Object.entries(ways)) {
        const prompts = Array.from({ length: rows }, () => [10]);
        const sampler = new Kind({ temperature: 0.9, topK: 10, seed: 7 });
        const given = { sampler, maxNewTokens: Number(flags.tokens) };
        const batch = flags.running === "yes"
          ? new RunningBatch(model, { rows })
          : undefined;
        const begun = performance.now();
        let count = 0;
        if (batch === undefined) {
          for await (const ids of model.generateBatch(prompts, given)) {
            count += ids.length;
          }
        } else {
          await Promise.all(prompts.map(async (prompt) => {
            for await (const _ of batch.generate(prompt, given)) count++;
          }));
        }
        const rate = 1000 * count / (performance.now() - begun);
        batch?.destroy();
        if (round > 0) rates.set(way, [...rates.get(way) ?? [], rate]);
      }
    }
    for (const [way, each] of rates) {
      const sorted = each.toSorted((a, b) => a - b).map(Math.round);
      const median = sorted[Math.floor(sorted.length / 2)];
      console.log(
        `${name}, ${rows} rows, drawn ${way}: ${median} tokens/s (${
          sorted.join(" ")
        })`,
      );
    }
  }
}
