/** A study's outcomes as a table: one line a cell, what helps first. */

import type { Outcome } from "./outcome.ts";
import { baselineOf, type Cell, type Changes, type Plan } from "./plan.ts";
import { type Estimate, estimate, pairedDifference } from "./statistics.ts";

/** What a study says of a cell. */
export interface CellResult {
  readonly cell: Cell;
  /** Trials that ended well. */
  readonly done: number;
  /** Trials whose loss or gradient stopped being a number. */
  readonly diverged: readonly Outcome[];
  /** Trials without an outcome. */
  readonly missing: number;
  readonly parameters: number | undefined;
  /** Validation loss in nats per token. */
  readonly valLoss: Estimate | undefined;
  /** Validation loss less the baseline's, seed by seed; undefined for the baseline itself. */
  readonly difference: Estimate | undefined;
}

/** The cells of a plan with their outcomes, the lowest loss first, then what has none. */
export function cellResults(
  plan: Plan,
  outcomes: readonly Outcome[],
): CellResult[] {
  const losses = (name: string) =>
    new Map(
      outcomes.filter(({ cell, valLoss }) => cell === name && valLoss !== null)
        .map(({ seed, valLoss }) => [seed, valLoss!]),
    );
  const baseline = baselineOf(plan);
  const reference = losses(baseline);
  const results = plan.cells.map((cell): CellResult => {
    const own = outcomes.filter((outcome) => outcome.cell === cell.name);
    const values = losses(cell.name);
    const difference = cell.name === baseline
      ? undefined
      : pairedDifference(values, reference);
    return {
      cell,
      done: values.size,
      diverged: own.filter(({ diverged }) => diverged !== undefined),
      missing: (cell.seeds ?? plan.seeds).length - own.length,
      parameters: own[0]?.parameters,
      valLoss: values.size > 0 ? estimate([...values.values()]) : undefined,
      difference: difference?.count ? difference : undefined,
    };
  });
  return results.toSorted((a, b) =>
    (a.valLoss?.mean ?? Infinity) - (b.valLoss?.mean ?? Infinity)
  );
}

/** The table in Markdown. */
export function markdownTable(results: readonly CellResult[]): string {
  const rows = results.map((result) => [
    `\`${result.cell.name}\``,
    describeChanges(result.cell),
    result.parameters?.toLocaleString("en") ?? "",
    estimateText(result.valLoss),
    result.difference === undefined
      ? ""
      : estimateText(result.difference, true),
    remark(result),
  ]);
  return [
    "| cell | what is changed | parameters | validation loss | less the baseline | runs |",
    "| --- | --- | ---: | ---: | ---: | --- |",
    ...rows.map((cells) => `| ${cells.join(" | ")} |`),
  ].join("\n");
}

/** `nLayer 2, learningRate 0.006`; what no field differs in is the base. */
export function describeChanges({ model, train, dataShare }: Changes): string {
  const share = dataShare === undefined ? {} : { dataShare };
  const fields = Object.entries({ ...model, ...train, ...share });
  return fields.map(([field, value]) => `${field} ${value}`).join(", ") ||
    "nothing";
}

/** `1.5557 ± 0.0021`; nothing for nothing. */
export function estimateText(
  estimate: Estimate | undefined,
  signed = false,
): string {
  if (estimate === undefined) return "";
  const { mean, margin } = estimate;
  const sign = signed && mean >= 0 ? "+" : "";
  const interval = Number.isNaN(margin) ? "" : ` ± ${margin.toFixed(4)}`;
  return `${sign}${mean.toFixed(4)}${interval}`;
}

function remark({ done, diverged, missing }: CellResult): string {
  const steps = diverged.map(({ diverged }) => diverged!.step);
  return [
    String(done),
    ...(steps.length > 0
      ? [`${steps.length} diverged at step ${steps.join(", ")}`]
      : []),
    ...(missing > 0 ? [`${missing} missing`] : []),
  ].join(", ");
}
