/** What `lab positions` can be told. */

import type { Device } from "../../backends/open.ts";
import { cores, integer, text, toggle } from "../command/flag.ts";
import { commonFlags, type Verb } from "../command/verbs.ts";

/** Its flags' values. */
export interface LabPositionsFlags {
  quick: boolean;
  out: string;
  jobs: number;
  device: Device;
  threads: number;
  help: boolean;
}

/** `lab positions`. */
export const labPositionsVerb: Verb<LabPositionsFlags> = {
  name: "lab positions",
  summary: "measure what each kind of position encoding is worth",
  examples: [
    ["lab positions --quick", "a rough answer, of one seed, in minutes"],
    ["lab positions", "three seeds, ten minutes on two free cores"],
  ],
  flags: {
    quick: toggle({ help: "one seed and shorter training: a rough answer" }),
    out: text("DIR", {
      help: "directory of the plan, the outcomes and the reports",
      without: "studies/positions, or positions-quick",
    }),
    jobs: integer({
      help: "processes that share the work",
      without: "the machine's cores, at most 8",
    }, cores),
    device: commonFlags.device,
    threads: integer({
      help: "worker threads per process, --device wasm",
      without: "1",
    }, cores),
    help: commonFlags.help,
  },
  sections: {
    "The experiment": ["quick", "out"],
    "Where it runs": ["jobs", "device", "threads", "help"],
  },
};
