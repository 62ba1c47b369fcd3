/** What `lab` can do, and the flags of each of its verbs. */

import type { Device } from "../../backends/open.ts";
import { commonFlags, type Verb, type VerbSummary } from "../verbs.ts";
import { integer, text, texts } from "../flag.ts";

/** What `lab run` can be told. */
export interface LabRunFlags {
  shard: string;
  jobs: number;
  device: Device;
  threads: number;
  help: boolean;
}

/** `lab run`. */
export const labRunVerb: Verb<LabRunFlags> = {
  name: "lab run",
  summary: "run the trials of a study that have not been run",
  operand: "STUDY",
  examples: [
    ["lab run docs/recipe", "one trial after the other"],
    ["lab run docs/recipe --jobs 2", "two at a time, a thread each"],
    ["lab run docs/recipe --shard 1/4", "a quarter, on one of four machines"],
  ],
  flags: {
    shard: text("I/N", {
      help: "only the I-th of N parts of the plan",
      without: "1/1",
    }),
    jobs: integer({
      help: "processes that share the work, each with one thread",
      without: "1: this one, with all threads",
    }),
    ...commonFlags,
  },
  sections: { Flags: ["shard", "jobs", "device", "threads", "help"] },
};

/** What `lab merge` can be told. */
export interface LabMergeFlags {
  from: readonly string[];
  help: boolean;
}

/** `lab merge`. */
export const labMergeVerb: Verb<LabMergeFlags> = {
  name: "lab merge",
  summary: "gather the outcomes of a study in its trials.jsonl",
  operand: "STUDY",
  examples: [
    ["lab merge docs/recipe", "what ran here"],
    ["lab merge docs/recipe --from a --from b", "and on other machines"],
  ],
  flags: {
    from: texts("DIR", {
      help: "another copy of the study; may be given several times",
    }),
    help: commonFlags.help,
  },
  sections: { Flags: ["from", "help"] },
};

/** What `lab report` can be told. */
export interface LabReportFlags {
  help: boolean;
}

/** `lab report`. */
export const labReportVerb: Verb<LabReportFlags> = {
  name: "lab report",
  summary: "the study as a table, on standard output and in its report.md",
  operand: "STUDY",
  examples: [["lab report docs/recipe", "cells by their validation loss"]],
  flags: { help: commonFlags.help },
  sections: { Flags: ["help"] },
};

/** All verbs of the lab, in the order of help. */
export const labVerbs: readonly VerbSummary[] = [
  labRunVerb,
  labMergeVerb,
  labReportVerb,
];
