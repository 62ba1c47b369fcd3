/**
 * `train` on the CPU engine with little memory: the arguments are those of train, after the number of
 * pages of 64 KiB.
 *
 *     deno run -A small_device.ts 40 --preset tiny ...
 */

import { openWasm } from "../../lib/backends/wasm/engine.ts";
import { parseArguments } from "../../lib/cli/command/arguments.ts";
import { explain } from "../../lib/cli/command/errors.ts";
import { train } from "../../lib/cli/verbs/train.ts";
import { trainFlags } from "../../lib/cli/verbs/flags.ts";
import { Model } from "../../lib/model/model.ts";

const [pages, ...args] = Deno.args;
try {
  const code = await train(
    parseArguments(args, { name: "train", flags: trainFlags }),
    ["train", ...args],
    async ({ model, train, resumed, initial }) => {
      const backend = await openWasm({ threads: 1, pages: Number(pages) });
      const begun = resumed ?? initial;
      return begun === undefined
        ? await Model.create(model, { backend, seed: train.seed })
        : await Model.load(begun, { backend });
    },
  );
  Deno.exit(code);
} catch (error) {
  const { text, code } = explain(error);
  console.error(text);
  Deno.exit(code);
}
