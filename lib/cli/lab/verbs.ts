/** What `lab` can do, and the flags of each of its verbs. */

import type { Device } from "../../backends/open.ts";
import type { Measure } from "../../lab/plan.ts";
import { type RungName, rungNames } from "../../lab/works.ts";
import {
  DEFAULT_PRESET,
  type PresetName,
  presets,
} from "../../config/presets.ts";
import {
  atLeastOne,
  choice,
  cores,
  dataFlag,
  type Flag,
  type FlagsOf,
  integer,
  numbersOrWords,
  text,
  texts,
  toggle,
} from "../command/flag.ts";
import { type AnyVerb, commonFlags, type Verb } from "../command/verbs.ts";
import { STDIN } from "../text/text_source.ts";
import { labMuseumVerb } from "./museum_verb.ts";
import { labPositionsVerb } from "./positions_verb.ts";

/** What `lab run` can be told. */
export interface LabRunFlags {
  shard: string;
  jobs: number;
  device: Device;
  threads: number;
  help: boolean;
}

/** `--shard`: the trials of one part, every N-th of the plan, so that no part gets all the long ones. */
const shardFlag: Flag<string> = {
  ...text("I/N", {
    help: "run only every N-th trial of the plan, from the I-th on",
    without: "1/1",
  }),
  read: (texts) => {
    const given = texts.at(-1)!;
    const [, index, count] = /^(\d+)\/(\d+)$/.exec(given) ?? [];
    if (Number(index) >= 1 && Number(index) <= Number(count)) return given;
    throw new RangeError("is not I/N with I from 1 to N, such as 2/4");
  },
};

/** `lab run`. */
export const labRunVerb: Verb<LabRunFlags> = {
  name: "lab run",
  summary: "run the trials of a study that are not done yet",
  operand: "STUDY",
  examples: [
    ["lab run studies/ablate-default", "one trial after the other"],
    [
      "lab run studies/ablate-default --jobs 2",
      "two at a time, one thread each",
    ],
    [
      "lab run studies/ablate-default --shard 1/4",
      "a quarter, on one of four machines",
    ],
  ],
  flags: {
    shard: shardFlag,
    jobs: integer({
      help: "processes that share the work, each with one thread",
      without: "one process, with all threads",
    }, cores),
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
  summary: "collect the outcomes of a study in its trials.jsonl",
  operand: "STUDY",
  examples: [
    ["lab merge studies/ablate-default", "what ran here"],
    [
      "lab merge studies/ablate-default --from a --from b",
      "and on other machines",
    ],
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
  summary: "print a study as a table, and write its report.md and report.html",
  operand: "STUDY",
  examples: [[
    "lab report studies/ablate-default",
    "its cells, by validation loss",
  ]],
  flags: { help: commonFlags.help },
  sections: { Flags: ["help"] },
};

/** The experiments that are one plan. */
export type ExperimentName = "ablate" | "scaling";

/** What the experiments can be told. */
export interface ExperimentFlags {
  preset: PresetName;
  data: string;
  steps: number;
  seeds: number;
  measure: Measure;
  quick: boolean;
  out: string;
  jobs: number;
  device: Device;
  threads: number;
  help: boolean;
}

const experimentFlags: FlagsOf<ExperimentFlags> = {
  preset: choice(Object.keys(presets) as PresetName[], {
    help: "settings that the experiment starts from",
    without: DEFAULT_PRESET,
  }),
  data: {
    ...text("NAME|PATH", {
      help:
        "tinyshakespeare, moby-dick, a file of UTF-8 text, or a folder of .txt and .md files",
      without: "tinyshakespeare",
    }),
    read: (texts) => {
      if (texts.at(-1) !== STDIN) return texts.at(-1)!;
      throw new RangeError(
        "is standard input, which can be read only once; every process of a study reads its text\nhint: name a file",
      );
    },
  },
  steps: integer({
    help: "steps of the longest trials",
    without: "chosen by the experiment",
  }, atLeastOne),
  seeds: integer(
    { help: "trials of each cell", without: "3; 1 with --quick" },
    { least: 1, most: 100 },
  ),
  measure: choice(["loss", "sample", "works"], {
    help:
      "what to measure: the loss; a sample too; or also every rung of lab works",
    without: "works; sample with --quick",
  }),
  quick: toggle({ help: "few steps and one seed, for a rough result" }),
  out: text("DIR", {
    help:
      "the study's directory; an existing study with the same plan is resumed",
    without: "studies/EXPERIMENT-PRESET",
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
};

/** What `lab ablate` can be told, and `lab plan`. */
export interface AblationFlags extends ExperimentFlags {
  part: readonly string[];
}

const ablationFlags: FlagsOf<AblationFlags> = {
  ...experimentFlags,
  part: texts("FIELD", {
    help:
      "change only this field of the configuration; may be given several times",
    without: "all of them",
  }),
};

const experimentSections = {
  "The experiment": [
    "preset",
    "data",
    "steps",
    "seeds",
    "measure",
    "quick",
    "out",
  ],
  "Where it runs": ["jobs", "device", "threads", "help"],
} as const;

const ablationSections = {
  ...experimentSections,
  "The experiment": ["part", ...experimentSections["The experiment"]],
} as const;

/** `lab plan`. */
export const labPlanVerb: Verb<AblationFlags> = {
  name: "lab plan",
  summary:
    "write an experiment's plan and list its trials, without running them",
  operand: "EXPERIMENT",
  examples: [
    ["lab plan ablate", "into studies/ablate-default"],
    ["lab plan scaling --seeds 5 --out s", "then lab run s runs it"],
  ],
  flags: ablationFlags,
  sections: ablationSections,
};

/** `lab ablate`. */
export const labAblateVerb: Verb<AblationFlags> = {
  name: "lab ablate",
  summary: "change one part of a recipe at a time, and compare the losses",
  examples: [
    ["lab ablate --quick", "a rough table in five minutes"],
    ["lab ablate", "three seeds, an hour"],
    ["lab ablate --preset original", "with the recipe of the original study"],
    ["lab ablate --part position --part mask", "only these"],
  ],
  flags: ablationFlags,
  sections: ablationSections,
};

/** `lab scaling`. */
export const labScalingVerb: Verb<ExperimentFlags> = {
  name: "lab scaling",
  summary: "fit how the loss falls with model and text size, and test the fit",
  examples: [
    ["lab scaling", "widths and lengths around the default"],
    ["lab scaling --quick", "the same in minutes, roughly"],
  ],
  flags: experimentFlags,
  sections: experimentSections,
};

/** What `lab minimal` can be told. */
export interface LabMinimalFlags
  extends Omit<ExperimentFlags, "seeds" | "measure" | "quick"> {
  target: readonly (number | RungName)[];
  arms: number;
  least: number;
  most: number;
  with: readonly string[];
}

/** `lab minimal`. */
export const labMinimalVerb: Verb<LabMinimalFlags> = {
  name: "lab minimal",
  summary: "search for the smallest model that reaches a target",
  examples: [
    ["lab minimal", "for each rung of the ladder, an hour"],
    ["lab minimal --target 1.732 --most 80000", "for a validation loss"],
    ["lab minimal --target spells", "for one rung; lab works lists the rungs"],
  ],
  flags: {
    target: numbersOrWords("LOSS|RUNG", rungNames, {
      help:
        "validation loss or rung to reach; may be given several times; lab works lists the rungs",
      without: "all rungs; 1.88 and 1.732 of tiny Shakespeare",
    }, { above: 0 }),
    arms: integer({
      help: "configurations in the first of three rounds",
      without: "32",
    }, { least: 3, most: 10_000 }),
    least: integer(
      { help: "the fewest parameters", without: "4000" },
      atLeastOne,
    ),
    most: integer(
      { help: "the most parameters", without: "160000" },
      atLeastOne,
    ),
    preset: experimentFlags.preset,
    data: experimentFlags.data,
    steps: integer({
      help: "steps of the last round; each earlier round has half as many",
      without: "the preset's",
    }, atLeastOne),
    out: text("DIR", {
      help:
        "the search's directory; an existing search with the same plans is resumed",
      without: "studies/minimal-PRESET",
    }),
    with: texts("DIR", {
      help: "include another search; may be given several times",
    }),
    jobs: experimentFlags.jobs,
    device: experimentFlags.device,
    threads: experimentFlags.threads,
    help: commonFlags.help,
  },
  sections: {
    "The search": [
      "target",
      "arms",
      "least",
      "most",
      "preset",
      "data",
      "steps",
      "out",
      "with",
    ],
    "Where it runs": ["jobs", "device", "threads", "help"],
  },
};

/** What `lab works` can be told. */
export interface LabWorksFlags {
  data: readonly string[];
  best: boolean;
  json: boolean;
  device: Device;
  threads: number;
  help: boolean;
}

/** `lab works`. */
export const labWorksVerb: Verb<LabWorksFlags> = {
  name: "lab works",
  summary: "show the ladder of abilities, and the rungs that a model reaches",
  operand: "RUN",
  examples: [
    ["lab works", "what tiny Shakespeare asks for"],
    ["lab works runs/NAME", "and what a run reaches"],
  ],
  flags: {
    data: dataFlag("the run's; without RUN, tinyshakespeare"),
    best: toggle({
      help:
        "use the weights with the lowest validation loss, not the last ones",
    }),
    json: toggle({ help: "print the result as one JSON object" }),
    ...commonFlags,
  },
  sections: { Flags: ["data", "best", "json", "device", "threads", "help"] },
};

/** All verbs of the lab, in the order of help. */
export const labVerbs: readonly AnyVerb[] = [
  labAblateVerb,
  labScalingVerb,
  labMinimalVerb,
  labPositionsVerb,
  labWorksVerb,
  labPlanVerb,
  labRunVerb,
  labMergeVerb,
  labReportVerb,
  labMuseumVerb,
];
