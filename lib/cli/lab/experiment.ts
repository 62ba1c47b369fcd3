/** The experiments that `lab` knows: each becomes a study, which is then run and reported like any other. */

import { join } from "@std/path";
import { coreCount } from "../../backends/open.ts";
import { ablationParts, ablationPlan } from "../../lab/ablate/plan.ts";
import { type Plan, trialsOf } from "../../lab/plan.ts";
import { positionsPlan } from "../../lab/positions/plan.ts";
import { scalingPlan } from "../../lab/scaling/scaling.ts";
import { DEFAULT_PRESET, presets } from "../../config/presets.ts";
import type { Arguments } from "../command/arguments.ts";
import { exitCode, UsageError } from "../command/errors.ts";
import { flagName } from "../command/flag.ts";
import { nearest } from "../command/nearest.ts";
import { placement } from "../verbs/placement.ts";
import { program } from "../command/program.ts";
import { writeError, writeOutput } from "../terminal/terminal.ts";
import { writeReport } from "./report.ts";
import { runStudy } from "./run.ts";
import { Study } from "./study.ts";
import type { AblationFlags, ExperimentName } from "./flags.ts";

/** Flags given to `lab ablate`, `lab scaling` or `lab plan`. */
type Given = Partial<AblationFlags>;

/** Writes an experiment's plan and lists its trials, without running any; returns the exit code. */
export async function labPlan(
  { flags, operand }: Arguments<Given>,
): Promise<number> {
  if (operand === "positions") {
    refuse(operand, flags, [
      "preset",
      "data",
      "steps",
      "seeds",
      "measure",
      "part",
    ]);
  }
  const study = operand === "positions"
    ? await startPositions(flags)
    : await start(experimentOf(operand), flags);
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
  { jobs = defaultJobs(), device, threads = 1 }: Given,
): Promise<number> {
  const where = device === undefined ? {} : { device };
  const code = await runStudy(study, { ...where, threads, jobs });
  if (code === exitCode.ok) await study.merge(await study.outcomes());
  return code;
}

/** Returns the default number of processes, one for each core: a small model does not keep two cores busy. */
function defaultJobs(): number {
  return Math.min(8, coreCount());
}

/** Starts the study of positions, or opens it. */
export async function startPositions(
  { quick = false, out }: Pick<Given, "quick" | "out">,
): Promise<Study> {
  const path = out ?? join("studies", `positions${quick ? "-quick" : ""}`);
  return await Study.start(path, positionsPlan({ quick }));
}

async function start(name: ExperimentName, flags: Given): Promise<Study> {
  const { preset = DEFAULT_PRESET } = flags;
  const rough = flags.quick ? "-quick" : "";
  const path = flags.out ?? join("studies", `${name}-${preset}${rough}`);
  return await Study.start(path, planOf(name, flags));
}

/** Returns the plan that the flags ask for. */
function planOf(
  name: ExperimentName,
  { preset = DEFAULT_PRESET, data = "tinyshakespeare", quick, ...given }: Given,
): Plan {
  const { seeds: count = quick ? 1 : 3, measure = quick ? "sample" : "works" } =
    given;
  const seeds = Array.from({ length: count }, (_, i) => i + 1);
  const options = { name: preset, data, seeds, measure };
  switch (name) {
    case "ablate": {
      const steps = given.steps ?? (quick ? QUICK_STEPS : ABLATION_STEPS);
      const known = ablationParts(presets[preset]);
      const parts = given.part?.map((part) => partNamed(part, known));
      return ablationPlan(presets[preset], {
        ...{ ...options, steps },
        ...(parts && { parts }),
      });
    }
    case "scaling": {
      refuse("scaling", given, ["part"]);
      const steps = given.steps ?? (quick ? QUICK_STEPS : SCALING_STEPS);
      return scalingPlan(presets[preset], { ...options, steps });
    }
  }
}

/** Refuses flags that an experiment does not use. */
function refuse(
  experiment: string,
  given: Given,
  flags: readonly (keyof Given)[],
): void {
  for (const flag of flags) {
    if (given[flag] === undefined) continue;
    throw new UsageError(
      `Cannot use --${flag} in lab plan ${experiment}: that experiment has no such flag`,
    );
  }
}

/** Returns the part that a field's name means, or its flag: `nLayer`, `n-layer`, `n_layer`. */
function partNamed(name: string, known: readonly string[]): string {
  const flag = flagName(name.replaceAll("_", "-"));
  const part = known.find((field) => flagName(field) === flag);
  if (part !== undefined) return part;
  const near = nearest(name, known);
  throw new UsageError(
    `Cannot use --part ${name}: this experiment changes no such field`,
    near === undefined
      ? `the fields are ${known.join(", ")}`
      : `did you mean ${near}?`,
  );
}

/** Steps of an ablation's trials: 410,000 tokens of the default preset. */
const ABLATION_STEPS = 400;

/** Steps of the longest of scaling's trials. */
const SCALING_STEPS = 2400;

/** Steps of a trial for a rough result. */
const QUICK_STEPS = 100;

function experimentOf(name: string | undefined): ExperimentName {
  if (name === "ablate" || name === "scaling") return name;
  throw new UsageError(
    name === undefined
      ? "Cannot plan: no experiment was given"
      : `Cannot plan ${name}: there is no such experiment`,
    "the experiments are ablate, scaling and positions; lab minimal plans each of its rounds itself",
  );
}
