/**
 * Prints what each attention head of a model looks at: a row for each character of a
 * text, and in it, from left to right, how much that position takes from each
 * character up to itself; the rows of a causal model form a triangle.
 *
 *     deno run -A examples/attention.ts [MODEL] [TEXT]
 *
 * `examples/train.ts` makes a model.
 */

import { attentionMaps, Model } from "@lm/core";

const [path = "model.safetensors", text = "The model"] = Deno.args;
// The maps are computed once, from one pass: any device is fast enough.
await using model = await Model.load(await Deno.readFile(path), {
  device: "reference",
});
const tokens = model.tokenizer!.encode(text); // the file keeps its tokenizer
const T = tokens.length; // at most model.config.blockSize
const maps = await attentionMaps(model, Int32Array.from(tokens)); // each (NH, T, T)

const shades = " ░▒▓█";
const characters = [...text];
maps.forEach((map, layer) => {
  for (let head = 0; head < model.config.nHead; head++) {
    console.log(`\nlayer ${layer + 1}, head ${head + 1}`);
    for (let i = 0; i < T; i++) {
      const row = map.subarray((head * T + i) * T, (head * T + i + 1) * T);
      // A row adds up to 1, so the darkest shade means: nearly all from here.
      const cells = Array.from(
        row,
        (share) => shades[Math.min(4, Math.ceil(4 * share - 0.2))]!.repeat(2),
      );
      console.log(`${characters[i]} ${cells.join("").trimEnd()}`);
    }
  }
});
