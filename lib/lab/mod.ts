/**
 * Plans, runs and evaluates studies: configurations that are trained with several seeds and
 * compared. The command `lm lab` does the same with files and processes.
 *
 * A {@linkcode Plan} is plain data: a base, and cells that change some of its fields. Each cell with
 * a seed is a {@linkcode Trial}; {@linkcode runTrial} trains and measures one, and its
 * {@linkcode Outcome} is plain data too. {@linkcode cellResults} and {@linkcode studyReport}
 * compare the outcomes.
 *
 * @example
 * ```ts
 * import { openBackend, Tokenizer } from "@lm/core";
 * import { cellResults, checkPlan, type Outcome, runTrial, studyReport, trialsOf } from "@lm/core/lab";
 * import { assertEquals, assertStringIncludes } from "@std/assert";
 *
 * const text = "A rose is a rose is a rose. ".repeat(20);
 * const tokenizer = Tokenizer.chars(text);
 * const plan = checkPlan({
 *   study: "Width",
 *   about: "Whether wider is better.",
 *   data: "roses",
 *   tokenizer: "chars",
 *   base: { model: { blockSize: 8, nLayer: 1, nHead: 1, nEmbd: 4 }, train: { maxSteps: 3, batchSize: 2 } },
 *   seeds: [1, 2],
 *   cells: [{ name: "base" }, { name: "wide", model: { nEmbd: 8 } }],
 * });
 * await using backend = await openBackend("reference");
 * const outcomes: Outcome[] = [];
 * for (const trial of trialsOf(plan)) {
 *   outcomes.push(await runTrial(trial, { backend, tokenizer, tokens: tokenizer.encode(text) }));
 * }
 * const results = cellResults(plan, outcomes);
 * assertEquals(results.map(({ done }) => done), [2, 2]);
 * assertStringIncludes(studyReport({ plan, outcomes, rungs: [] }), "| `wide` |");
 * ```
 *
 * @module
 */

export type { Abilities } from "./abilities.ts";
export {
  type AblationOptions,
  ablationParts,
  ablationPlan,
} from "./ablate/plan.ts";
export { type StudyRecord, studyReport } from "./document.ts";
export {
  type Finished,
  finished,
  mergeOutcomes,
  type Outcome,
} from "./outcome.ts";
export {
  type Cell,
  type Changes,
  checkPlan,
  type Experiment,
  type ExperimentOptions,
  type Measure,
  type Plan,
  type PlanTokenizer,
  type Setting,
  type Trial,
  trialsOf,
} from "./plan.ts";
export {
  fitPowerLaw,
  type LossPoint,
  type PowerLaw,
  predictedLoss,
} from "./scaling/power_law.ts";
export {
  scalingPlan,
  type ScalingResult,
  scalingResult,
} from "./scaling/scaling.ts";
export { type Estimate, estimate, pairedDifference } from "./statistics.ts";
export { type CellResult, cellResults, type Order } from "./table.ts";
export { runTrial, type TrialRoom } from "./trial.ts";
export {
  type Evidence,
  Examiner,
  isCausal,
  measureOwnText,
  type OwnText,
  type Rung,
  type RungName,
  rungNames,
  rungValue,
  type WrittenText,
} from "./works.ts";
