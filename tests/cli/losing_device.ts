/**
 * `train` on a GPU that goes away: the arguments are those of train, after the fate of each opening of the device:
 *
 * - the number of steps that are done before it is lost, on the reference backend under WebGPU's name
 * - `submit:7`, the call of a real WebGPU device at which it is lost; `webgpu` for one that stays, of which the
 *   number of calls at each place is the last line of standard error
 * - `ms:300`, the milliseconds after which a real device is lost
 * - `none` where it cannot be opened
 *
 *     deno run -A losing_device.ts 7,none --preset tiny ...
 */

import { DeviceLostError, NoAdapterError } from "../../lib/backends/backend.ts";
import { parseArguments } from "../../lib/cli/command/arguments.ts";
import { train } from "../../lib/cli/verbs/train.ts";
import { trainFlags } from "../../lib/cli/verbs/flags.ts";
import { Model } from "../../lib/model/model.ts";
import { openWebGpu } from "../../lib/backends/webgpu/engine.ts";
import { openFaulty } from "../fixtures/faulty_backend.ts";
import { loseAt, type LossPlace } from "../gpu/losing_device.ts";

const [plan, ...args] = Deno.args;
const openings = plan!.split(",");

let calls: Readonly<Record<LossPlace, number>> | undefined;

/** A real device. */
async function openReal(place: string, call: number) {
  const backend = await openWebGpu({ adapter: "any" });
  if (place === "ms") setTimeout(() => backend.device.destroy(), call);
  else calls = loseAt(backend.device, [place as LossPlace, call]);
  return backend;
}

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
  parseArguments(args, { name: "train", flags: trainFlags }),
  ["train", ...args],
  async ({ model, train, resumed }, where) => {
    const opening = openings.shift();
    if (opening === "none") {
      throw new NoAdapterError(
        "open WebGPU",
        "there is no adapter",
        () => "",
      );
    }
    const [at, call] = opening?.split(":") ?? [];
    const place = at === undefined ? where : {
      backend: /^\d+$/.test(at)
        ? openFor(Number(at))
        : await openReal(at, Number(call)),
    };
    return resumed === undefined
      ? await Model.create(model, { ...place, seed: train.seed })
      : await Model.load(resumed, place);
  },
);
if (calls !== undefined) console.error(JSON.stringify(calls));
Deno.exit(code);
