/**
 * `train` on a GPU that goes away: the arguments are those of train, after the number of steps
 * that each opening of the device does before it is lost, or `none` where it cannot be opened.
 *
 *     deno run -A losing_device.ts 7,none --preset tiny ...
 */

import { DeviceLostError, NoAdapterError } from "../../lib/backends/backend.ts";
import { parseArguments } from "../../lib/cli/arguments.ts";
import { train } from "../../lib/cli/train.ts";
import { trainVerb } from "../../lib/cli/verbs.ts";
import { Model } from "../../lib/language_model.ts";
import { openFaulty } from "../faulty_backend.ts";

const [plan, ...args] = Deno.args;
const openings = plan!.split(",");

/** The reference backend under WebGPU's name, lost after some steps. */
function openFor(steps: number) {
  let done = 0;
  return openFaulty({
    write: (name, data) => {
      if (name === "schedule" && done++ >= steps) {
        throw new DeviceLostError("Cannot go on: the GPU was unplugged");
      }
      return data;
    },
  });
}

const code = await train(
  parseArguments(args, trainVerb),
  ["train", ...args],
  async ({ model, train, resumed }, where) => {
    const opening = openings.shift();
    if (opening === "none") {
      throw new NoAdapterError("Cannot open WebGPU: there is no adapter", "");
    }
    const place = opening === undefined
      ? where
      : { backend: openFor(Number(opening)) };
    return resumed === undefined
      ? await Model.create(model, { ...place, seed: train.seed })
      : await Model.load(resumed.checkpoint, place);
  },
);
Deno.exit(code);
