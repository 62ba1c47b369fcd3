/** The experiments that `lab` knows: each becomes a study, which is then run and reported like any other. */

import { join } from "@std/path";
import { coreCount } from "../../backends/open.ts";
import { ablationParts, ablationPlan } from "../../lab/ablate/plan.ts";
import { type Plan, trialsOf } from "../../lab/plan.ts";
import { positionsPlan } from "../../lab/positions/plan.ts";
import { scalingPlan } from "../../lab/scaling/scaling.ts";
import { DEFAULT_PRESET, presets } from "../../config/presets.ts";
import type { Arguments } from "../command/arguments.ts";
import { exitCode, usageError } from "../command/errors.ts";
import { flagName } from "../command/flag.ts";
import { suggestion } from "../command/nearest.ts";
import { placement } from "../verbs/placement.ts";
import { program } from "../command/program.ts";
import { writeError, writeOutput } from "../terminal/terminal.ts";
import { writeReport } from "./report.ts";
import { runStudy } from "./run.ts";
import { Study } from "./study.ts";
import type { AblationFlags, ExperimentName } from "./flags.ts";

/** Flags given to an experiment or to `lab plan`. */
type Given = Partial<AblationFlags>;

/** Writes an experiment's plan and lists its trials, without running any; returns the exit code. */
export async function labPlan(
  { flags, operand }: Arguments<Given>,
): Promise<number> {
  const study = await start(experimentOf(operand), flags);
  const lines = trialsOf(study.plan).map(({ id }) => `${id}\n`);
  await writeOutput(lines.join(""));
  writeError(
    `${lines.length} trials; to run them: ${program()} lab run ${study.path}\n`,
  );
  return exitCode.ok;
}

/** Plans an experiment if it has no plan yet, runs the rest of it and reports; returns the exit code. */
export async function labExperiment(
  name: ExperimentName,
  { flags }: Arguments<Given>,
): Promise<number> {
  placement(flags);
  const study = await start(name, flags);
  const code = await runAndMerge(study, flags);
  if (code === exitCode.ok) await writeOutput(await writeReport(study));
  return code;
}

/** Runs the rest of a study in as many processes as it may use, and gathers the outcomes. */
export async function runAndMerge(
  study: Study,
  // A small model does not keep two cores busy.
  { jobs = Math.min(8, coreCount()), device, threads = 1, blas = "off" }: Given,
): Promise<number> {
  const where = device === undefined ? {} : { device };
  const code = await runStudy(study, { ...where, threads, blas, jobs });
  if (code === exitCode.ok) await study.merge(await study.outcomes());
  return code;
}

/** For each experiment, the flags of `lab plan` that it does not have. */
const missing: Readonly<Record<ExperimentName, readonly (keyof Given)[]>> = {
  ablate: [],
  scaling: ["part"],
  positions: [
    "preset",
    "data",
    "tokenizer",
    "steps",
    "seeds",
    "measure",
    "part",
  ],
};

/** Starts the study of an experiment, or opens it. */
async function start(name: ExperimentName, flags: Given): Promise<Study> {
  const { preset = DEFAULT_PRESET, quick } = flags;
  const flag = missing[name].find((flag) => flags[flag] !== undefined);
  if (flag !== undefined) {
    throw usageError(
      `use --${flag} in lab plan ${name}`,
      "that experiment has no such flag",
    );
  }
  const study = name === "positions" ? name : `${name}-${preset}`;
  const path = flags.out ?? join("studies", `${study}${quick ? "-quick" : ""}`);
  return await Study.start(path, planOf(name, flags));
}

/** Returns the plan that the flags ask for. */
function planOf(
  name: ExperimentName,
  {
    preset = DEFAULT_PRESET,
    data = "tinyshakespeare",
    quick = false,
    seeds: count = quick ? 1 : 3,
    measure = quick ? "sample" : "works",
    steps,
    part,
    tokenizer = presets[preset].tokenizer,
  }: Given,
): Plan {
  if (name === "positions") return positionsPlan({ quick });
  const options = {
    ...{ name: preset, data, measure },
    seeds: Array.from({ length: count }, (_, i) => i + 1),
    steps: steps ?? (quick ? QUICK_STEPS : STEPS[name]),
  };
  if (name === "scaling") {
    return { ...scalingPlan(presets[preset], options), tokenizer };
  }
  const known = ablationParts(presets[preset]);
  const parts = part?.map((part) => partNamed(part, known));
  const plan = ablationPlan(presets[preset], { ...options, parts });
  return { ...plan, tokenizer };
}

/** Returns the part that a field's name means, or its flag: `nLayer`, `n-layer`, `n_layer`. */
function partNamed(name: string, known: readonly string[]): string {
  const flag = flagName(name.replaceAll("_", "-"));
  const part = known.find((field) => flagName(field) === flag);
  if (part !== undefined) return part;
  throw usageError(
    `use --part ${name}`,
    "this experiment changes no such field",
    suggestion(name, known, `the fields are ${known.join(", ")}`),
  );
}

/** Steps of the longest trials: of an ablation, 410,000 tokens of the default preset. */
const STEPS = { ablate: 400, scaling: 2400 } as const;

/** Steps of the longest trials for a rough result. */
const QUICK_STEPS = 100;

function experimentOf(name: string | undefined): ExperimentName {
  if (name !== undefined && name in missing) return name as ExperimentName;
  throw usageError(
    name === undefined ? "plan" : `plan ${name}`,
    name === undefined
      ? "no experiment was given"
      : "there is no such experiment",
    "the experiments are ablate, scaling and positions; lab minimal plans each of its rounds itself",
  );
}
