/**
 * `lab minimal`: the search for the smallest model that reaches a target. Each of its rounds is a
 * study of its own, in a directory below: an interrupted search is resumed where it stopped.
 */

import { join, relative } from "@std/path";
import {
  answerTo,
  armsOf,
  candidates,
  confirmationPlan,
  type Known,
  roundPlan,
  ROUNDS,
  type Search,
  type SearchOptions,
  smallest,
  survivors,
  type Target,
  together,
} from "../../lab/minimal/search.ts";
import { type Found, minimalDocument } from "../../lab/minimal/document.ts";
import { frontChart } from "../../lab/minimal/front_chart.ts";
import { finished, type Outcome } from "../../lab/outcome.ts";
import type { Cell, Plan } from "../../lab/plan.ts";
import { DEFAULT_PRESET, presets } from "../../config/presets.ts";
import type { Arguments } from "../command/arguments.ts";
import {
  commandError,
  exitCode,
  InterruptedError,
  signalCode,
  usageError,
} from "../command/errors.ts";
import { placement } from "../verbs/placement.ts";
import { writeError, writeOutput } from "../terminal/terminal.ts";
import { runAndMerge } from "./experiment.ts";
import { ladderOf } from "./ladder.ts";
import { Study, writeDocument } from "./study.ts";
import { exists, replaceFile } from "../run/files.ts";
import type { LabMinimalFlags } from "./flags.ts";

/** Losses that others reached on tiny Shakespeare, which the search has as targets beside the rungs. */
const KNOWN: readonly Known[] = [
  // karpathy/nanoGPT, README.md: "on a CPU".
  { name: "nanoGPT for a CPU", parameters: 804_096, loss: 1.88 },
  // k-duan/lm, whose study this project grew from.
  { name: "the original", parameters: 826_240, loss: 1.732 },
];

/** The number of models trained again for each target: the smallest that reached it. */
const CONFIRMED = 2;

/** Starts or resumes a search; returns the exit code. */
export async function labMinimal(
  { flags }: Arguments<LabMinimalFlags>,
): Promise<number> {
  const { preset: name = DEFAULT_PRESET, data = "tinyshakespeare" } = flags;
  const { least = 4000, most = 160_000 } = flags;
  if (least >= most) {
    throw usageError(
      `search from ${least} to ${most} parameters`,
      "--least is not below --most",
    );
  }
  placement(flags);
  const preset = presets[name];
  const { tokenizer } = preset;
  const { rungs, vocabSize } = await ladderOf({ data, tokenizer });
  const options: SearchOptions = {
    preset,
    name,
    data,
    vocabSize,
    arms: flags.arms ?? 32,
    steps: flags.steps ?? preset.train.maxSteps ?? 5000,
    least,
    most,
  };
  const known = data === "tinyshakespeare" ? KNOWN : [];
  const targets: readonly Target[] =
    flags.target?.map((target) =>
      rungs.find(({ name }) => name === target) ?? Number(target)
    ) ??
      [...known.map(({ loss }) => loss), ...rungs];
  const path = flags.out ?? join("studies", `minimal-${name}`);
  const { with: others = [] } = flags;
  const loaded = await Promise.all(others.map((dir) => earlier(dir, options)));
  const own = await search({ options, targets, path, flags });
  const all = together([own, ...loaded]);
  const answers = targets.map((target) => answerTo(target, all));
  const found: Found = {
    ...all,
    ...{ options, own, answers, known, rungs },
    others: others.map((dir) => relative(path, dir) || "."),
  };
  const report = await writeDocument(path, minimalDocument(found));
  const { openPlotter } = await import("../report/page.ts");
  const { picture } = await import("../../report/picture.ts");
  const size = { width: 840, height: 420 };
  const chart = frontChart(await openPlotter(), found, size);
  await replaceFile(join(path, "front.svg"), picture(chart));
  await writeOutput(report);
  return exitCode.ok;
}

/** Runs the rest of all rounds. */
async function search(
  { options, targets, path, flags }: {
    readonly options: SearchOptions;
    readonly targets: readonly Target[];
    readonly path: string;
    readonly flags: Partial<LabMinimalFlags>;
  },
): Promise<Search> {
  const rounds: (readonly Outcome[])[] = [];
  let cells: readonly Cell[] = candidates(options);
  for (let round = 1; round <= ROUNDS; round++) {
    const kept = finished(rounds.at(-1) ?? []);
    if (round > 1) {
      cells = among(cells, survivors(kept, armsOf(round, options.arms)));
      if (cells.length === 0) {
        throw commandError(
          "go on",
          `no trial of ${join(path, `round-${round - 1}`)} has a loss`,
          "all diverged; another preset may not",
        );
      }
    }
    const plan = roundPlan(options, { round, cells });
    rounds.push(await outcomesOf(join(path, `round-${round}`), plan, flags));
  }
  const searched = rounds.at(-1)!;
  const winners = targets.flatMap((target) =>
    smallest(target, searched, CONFIRMED)
  );
  const confirmed = winners.length === 0 ? [] : await outcomesOf(
    join(path, "confirmation"),
    confirmationPlan(options, among(cells, winners)),
    flags,
  );
  return { cells, rounds, confirmed };
}

/**
 * Returns the models that an earlier search trained.
 *
 * @throws {CommandError} if the search has another preset, text or number of steps
 */
async function earlier(path: string, options: SearchOptions): Promise<Search> {
  const rounds: (readonly Outcome[])[] = [];
  let cells: readonly Cell[] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    const study = await Study.open(join(path, `round-${round}`));
    cells = study.plan.cells;
    rounds.push(await study.outcomes());
    const [here, there] = [roundPlan(options, { round, cells }), study.plan]
      .map(({ base, data, tokenizer }) =>
        JSON.stringify([base, data, tokenizer])
      );
    if (here === there) continue;
    throw commandError(
      `report with ${path}`,
      "it is a search of another preset, text or number of steps",
    );
  }
  const name = join(path, "confirmation");
  const confirmed = await exists(name)
    ? await (await Study.open(name)).outcomes()
    : [];
  return { cells, rounds, confirmed };
}

/** Returns the cells to which outcomes belong. */
function among(
  cells: readonly Cell[],
  outcomes: readonly Outcome[],
): readonly Cell[] {
  const names = new Set(outcomes.map(({ cell }) => cell));
  return cells.filter(({ name }) => names.has(name));
}

async function outcomesOf(
  path: string,
  plan: Plan,
  flags: Partial<LabMinimalFlags>,
): Promise<readonly Outcome[]> {
  const study = await Study.start(path, plan);
  writeError(`${plan.study}: ${plan.about}\n`);
  const code = await runAndMerge(study, flags);
  if (Object.values(signalCode).includes(code)) {
    throw new InterruptedError(code);
  }
  const outcomes = await study.outcomes();
  if (code !== exitCode.ok || outcomes.length === 0) {
    throw commandError("go on", `trials of ${path} have failed`);
  }
  return outcomes;
}
