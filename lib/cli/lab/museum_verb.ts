/** `lab museum` and its flags. */

import { type Device, devices } from "../../backends/open.ts";
import { trainFields } from "../../config/train.ts";
import { atLeastOne, choice, integer, text, toggle } from "../command/flag.ts";
import { commonFlags, type Verb } from "../command/verbs.ts";

/** What `lab museum` can be told. */
export interface LabMuseumFlags {
  all: boolean;
  out: string;
  data: string;
  steps: number;
  seed: number;
  device: Device;
  threads: number;
  help: boolean;
}

/** `lab museum`. */
export const labMuseumVerb: Verb<LabMuseumFlags> = {
  name: "lab museum",
  summary: "make famous mistakes on purpose, and show which check notices each",
  operand: "EXHIBIT",
  several: true,
  examples: [
    ["lab museum", "the list of exhibits"],
    ["lab museum zero-mask", "one of them"],
    ["lab museum --all --out museum", "all, as a report and a page"],
  ],
  flags: {
    all: toggle({ help: "show all exhibits" }),
    out: text("DIR", {
      help: "write report.md, report.html and findings.json there too",
      without: "museum with --all; else nothing is written",
    }),
    data: text("NAME|FILE", {
      help: "the text to train on",
      without: "tinyshakespeare",
    }),
    steps: integer(
      { help: "training steps of each model", without: "600" },
      atLeastOne,
    ),
    seed: integer(
      { help: "of weights, batches and texts", without: "1" },
      trainFields.get("seed")!.range!,
    ),
    device: choice(devices, {
      help: "where to compute; some mistakes cannot be made on a GPU",
      without: "wasm",
    }),
    threads: commonFlags.threads,
    help: commonFlags.help,
  },
  sections: {
    Flags: [
      "all",
      "out",
      "data",
      "steps",
      "seed",
      "device",
      "threads",
      "help",
    ],
  },
};
