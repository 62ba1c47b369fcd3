/** `report` and its flags. */

import { text } from "../command/flag.ts";
import { type CommonFlags, commonFlags, type Verb } from "../command/verbs.ts";

/** What `report` can be told. */
export interface ReportFlags extends CommonFlags {
  out: string;
}

/** `report`. */
export const reportVerb: Verb<ReportFlags> = {
  name: "report",
  summary: "draw a run, or compare several, in one HTML file",
  operand: "RUN",
  several: true,
  examples: [
    ["report runs/NAME", "curves, samples, attention, losses by character"],
    ["report runs/A runs/B", "compare their settings and results"],
  ],
  flags: {
    out: text("FILE", {
      help: "where to write it",
      without: "RUN/report.html; of several, comparison.html in the first",
    }),
    ...commonFlags,
  },
  sections: { Flags: ["out", "device", "threads", "help"] },
};
