/** The flags of `lm lab`'s commands, in the order of help and under its titles; about the casts, see `../verbs/flags.ts`. */

import { type Device, devices } from "../../backends/open.ts";
import type { PresetName } from "../../config/presets.ts";
import { trainFields } from "../../config/train.ts";
import type { Measure, PlanTokenizer } from "../../lab/plan.ts";
import { type RungName, rungNames } from "../../lab/works.ts";
import {
  atLeastOne,
  choice,
  cores,
  dataFlag,
  type Flag,
  integer,
  numbersOrWords,
  text,
  texts,
  toggle,
  ValueError,
  type ValuesOf,
} from "../command/flag.ts";
import { STDIN } from "../text/text_source.ts";
import { planTokenizer } from "../text/tokenizer_choice.ts";
import {
  bestFlag,
  blasFlagWithout,
  deviceFlag,
  helpFlag,
  presetFlag,
  threadsFlag,
} from "../verbs/flags.ts";

/** `--blas`. Published trials were computed without one, and repeat to the bit. */
const labBlasFlag: Flag<string> = blasFlagWithout("off");

const whereItRuns = {
  jobs: integer({
    help: "processes that share the work",
    without: "the machine's cores, at most 8",
  }, cores) as Flag<number>,
  device: deviceFlag as Flag<Device>,
  threads: integer({
    help: "worker threads per process, --device wasm",
    without: "1",
  }, cores) as Flag<number>,
  blas: labBlasFlag as Flag<string>,
  help: helpFlag as Flag<boolean>,
};

const experimentPreset = presetFlag(
  "settings that the experiment starts from",
);

const studyData: Flag<string> = {
  ...text("NAME|PATH", {
    help:
      "tinyshakespeare, moby-dick, a file of UTF-8 text, or a folder of .txt and .md files",
    without: "tinyshakespeare",
  }),
  read: (texts) => {
    if (texts.at(-1) !== STDIN) return texts.at(-1)!;
    throw new ValueError(
      "is standard input, which can be read only once; every process of a study reads its text",
      { hint: "name a file" },
    );
  },
};

const theExperiment = {
  preset: experimentPreset as Flag<PresetName>,
  data: studyData as Flag<string>,
  tokenizer: {
    help: "tokenizer of all cells; a plan can give each its own",
    value: "ascii|chars|bytes|bpe:N|gpt2",
    without: "the preset's",
    read: (texts) => planTokenizer(texts.at(-1)!),
  } as Flag<PlanTokenizer>,
  steps: integer({
    help: "steps of the longest trials",
    without: "chosen by the experiment",
  }, atLeastOne) as Flag<number>,
  seeds: integer(
    { help: "trials of each cell", without: "3; 1 with --quick" },
    { least: 1, most: 100 },
  ) as Flag<number>,
  measure: choice(["loss", "sample", "works"], {
    help:
      "what to measure: the loss; a sample too; or also every rung of lab works",
    without: "works; sample with --quick",
  }) as Flag<Measure>,
  quick: toggle("few steps and one seed, for a rough result") as Flag<boolean>,
  out: text("DIR", {
    help:
      "the study's directory; an existing study with the same plan is resumed",
    without: "studies/EXPERIMENT-PRESET",
  }) as Flag<string>,
};

/** `lab scaling`. */
export const experimentFlags = {
  "The experiment": theExperiment as typeof theExperiment,
  "Where it runs": whereItRuns as typeof whereItRuns,
};

/** The experiments that are one plan. */
export type ExperimentName = "ablate" | "scaling" | "positions";

const onlyAblation = {
  part: texts("FIELD", {
    help:
      "change only this field of the configuration; may be given several times",
    without: "all of them",
  }) as Flag<readonly string[]>,
};

/** `lab ablate` and `lab plan`. */
export const ablationFlags = {
  "The experiment": { ...onlyAblation, ...theExperiment } as
    & typeof onlyAblation
    & typeof theExperiment,
  "Where it runs": whereItRuns as typeof whereItRuns,
};

/** Values of the flags of `lab ablate`, `lab plan` and, except for `--part`, `lab scaling`. */
export type AblationFlags = ValuesOf<typeof ablationFlags>;

/** `lab minimal`. */
export const minimalFlags = {
  "The search": {
    target: numbersOrWords("LOSS|RUNG", rungNames, {
      help:
        "validation loss or rung to reach; may be given several times; lab works lists the rungs",
      without: "all rungs; 1.88 and 1.732 of tiny Shakespeare",
    }, { above: 0 }) as Flag<readonly (number | RungName)[]>,
    arms: integer({
      help: "configurations in the first of three rounds",
      without: "32",
    }, { least: 3, most: 10_000 }) as Flag<number>,
    least: integer(
      { help: "the fewest parameters", without: "4000" },
      atLeastOne,
    ) as Flag<number>,
    most: integer(
      { help: "the most parameters", without: "160000" },
      atLeastOne,
    ) as Flag<number>,
    preset: experimentPreset as Flag<PresetName>,
    data: studyData as Flag<string>,
    steps: integer({
      help: "steps of the last round; each earlier round has half as many",
      without: "the preset's",
    }, atLeastOne) as Flag<number>,
    out: text("DIR", {
      help:
        "the search's directory; an existing search with the same plans is resumed",
      without: "studies/minimal-PRESET",
    }) as Flag<string>,
    with: texts("DIR", {
      help: "include another search; may be given several times",
    }) as Flag<readonly string[]>,
  },
  "Where it runs": whereItRuns as typeof whereItRuns,
};

/** Values of the flags of `lab minimal`. */
export type LabMinimalFlags = ValuesOf<typeof minimalFlags>;

/** `lab positions`. */
export const positionsFlags = {
  "The experiment": {
    quick: toggle("one seed and shorter training: a rough answer") as Flag<
      boolean
    >,
    out: text("DIR", {
      help: "directory of the plan, the outcomes and the reports",
      without: "studies/positions, or positions-quick",
    }) as Flag<string>,
  },
  "Where it runs": whereItRuns as typeof whereItRuns,
};

/** `lab works`. */
export const worksFlags = {
  Flags: {
    data: dataFlag("the run's; without RUN, tinyshakespeare") as Flag<
      readonly string[]
    >,
    best: bestFlag as Flag<boolean>,
    json: toggle("print the result as one JSON object") as Flag<boolean>,
    device: deviceFlag as Flag<Device>,
    threads: threadsFlag as Flag<number>,
    blas: labBlasFlag as Flag<string>,
    help: helpFlag as Flag<boolean>,
  },
};

/** Values of the flags of `lab works`. */
export type LabWorksFlags = ValuesOf<typeof worksFlags>;

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
    throw new ValueError("is not I/N with I from 1 to N, such as 2/4");
  },
};

/** `lab run`. */
export const runFlags = {
  Flags: {
    shard: shardFlag as Flag<string>,
    jobs: integer({
      help: "processes that share the work, each with one thread",
      without: "one process, with all threads",
    }, cores) as Flag<number>,
    device: deviceFlag as Flag<Device>,
    threads: threadsFlag as Flag<number>,
    blas: labBlasFlag as Flag<string>,
    help: helpFlag as Flag<boolean>,
  },
};

/** Values of the flags of `lab run`. */
export type LabRunFlags = ValuesOf<typeof runFlags>;

/** `lab merge`. */
export const mergeFlags = {
  Flags: {
    from: texts("DIR", {
      help: "another copy of the study; may be given several times",
    }) as Flag<readonly string[]>,
    help: helpFlag as Flag<boolean>,
  },
};

/** Values of the flags of `lab merge`. */
export type LabMergeFlags = ValuesOf<typeof mergeFlags>;

/** `lab museum`. */
export const museumFlags = {
  Flags: {
    all: toggle("show all exhibits") as Flag<boolean>,
    out: text("DIR", {
      help: "write report.md, report.html and findings.json there too",
      without: "museum with --all; else nothing is written",
    }) as Flag<string>,
    data: text("NAME|FILE", {
      help: "the text to train on",
      without: "tinyshakespeare",
    }) as Flag<string>,
    steps: integer(
      { help: "training steps of each model", without: "600" },
      atLeastOne,
    ) as Flag<number>,
    seed: integer(
      { help: "of weights, batches and texts", without: "1" },
      trainFields.get("seed")!.range!,
    ) as Flag<number>,
    device: choice(devices, {
      help: "where to compute; some mistakes cannot be made on a GPU",
      without: "wasm",
    }) as Flag<Device>,
    threads: threadsFlag as Flag<number>,
    blas: labBlasFlag as Flag<string>,
    help: helpFlag as Flag<boolean>,
  },
};

/** Values of the flags of `lab museum`. */
export type LabMuseumFlags = ValuesOf<typeof museumFlags>;
