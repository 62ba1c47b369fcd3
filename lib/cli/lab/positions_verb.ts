/** What `lab positions` can be told. */

import type { Device } from "../../backends/open.ts";
import { integer, text, toggle } from "../flag.ts";
import { commonFlags, type Verb } from "../verbs.ts";

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
  summary: "where position comes from, and what each kind of it is worth",
  examples: [
    ["lab positions --quick", "a rough answer, of one seed"],
    ["lab positions", "three seeds; begun anew it goes on where it stopped"],
  ],
  flags: {
    quick: toggle({ help: "one seed and shorter training: a rough answer" }),
    out: text("DIR", {
      help: "where its plan, outcomes and reports go",
      without: "studies/positions, or positions-quick",
    }),
    jobs: integer({
      help: "processes that share the work, each with one thread",
      without: "1: this one, with all threads",
    }),
    ...commonFlags,
  },
  sections: { Flags: ["quick", "out", "jobs", "device", "threads", "help"] },
};
