/** A study's outcomes as a table, one row per cell. */

import type { Block, Text } from "../report/document.ts";
import { count, short, signed } from "../report/numbers.ts";
import type { Outcome } from "./outcome.ts";
import {
  baselineOf,
  type Cell,
  type Changes,
  type Plan,
  seesFuture,
} from "./plan.ts";
import {
  countIntervals,
  type Estimate,
  estimate,
  missesText,
  pairedDifference,
} from "./statistics.ts";
import { type OwnText, type Rung, rungValue } from "./works.ts";

/** The results of a cell. */
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
  /**
   * Validation loss less the baseline's, over pairs of the same seed; undefined for the baseline
   * itself, and if it has no loss that means something.
   */
  readonly difference: Estimate | undefined;
  /** True if tokens see the tokens they are to predict, by the mask or as measured: then the loss means nothing. */
  readonly leaks: boolean;
  /** Scores of the cell's text, averaged over seeds; undefined if they were not measured. */
  readonly own: OwnText | undefined;
  /** The text that the cell's first trial wrote. */
  readonly sample: string | undefined;
}

/** The order of cells: lowest loss first, or most harmful change first. */
export type Order = "best" | "worst";

/**
 * Returns the cells of a plan with their outcomes. Cells that leak come after the others, and
 * cells without a loss come last.
 */
export function cellResults(
  plan: Plan,
  outcomes: readonly Outcome[],
  order: Order = "best",
): CellResult[] {
  const losses = (name: string) =>
    new Map(
      outcomes.filter(({ cell, valLoss }) => cell === name && valLoss !== null)
        .map(({ seed, valLoss }) => [seed, valLoss!]),
    );
  const leaks = ({ name, model }: Cell) => {
    const own = outcomes.filter(({ cell }) => cell === name);
    return (own.length > 0 ? own : [{ causal: undefined }]).some(({ causal }) =>
      seesFuture({ ...plan.base.model, ...model }, causal)
    );
  };
  const baseline = plan.cells.find(({ name }) => name === baselineOf(plan))!;
  const reference = leaks(baseline) ? new Map() : losses(baseline.name);
  const results = plan.cells.map((cell): CellResult => {
    const own = outcomes.filter((outcome) => outcome.cell === cell.name);
    const values = losses(cell.name);
    return {
      cell,
      done: values.size,
      diverged: own.filter(({ diverged }) => diverged !== undefined),
      missing: (cell.seeds ?? plan.seeds).length - own.length,
      parameters: own[0]?.parameters,
      valLoss: values.size > 0 ? estimate([...values.values()]) : undefined,
      difference: cell === baseline
        ? undefined
        : pairedDifference(values, reference),
      leaks: leaks(cell),
      own: averageText(own.flatMap(({ own }) => own ?? [])),
      sample: own.find(({ sample }) => sample !== undefined)?.sample,
    };
  });
  const rank = ({ leaks, valLoss }: CellResult) =>
    valLoss === undefined ? 2 : leaks ? 1 : 0;
  const loss = ({ valLoss }: CellResult) =>
    (valLoss?.mean ?? 0) * (order === "best" ? 1 : -1);
  return results.toSorted((a, b) => rank(a) - rank(b) || loss(a) - loss(b));
}

/**
 * Returns the reason why no cell is compared with the baseline, whose name is in backticks;
 * undefined if one is compared.
 */
export function incomparable(
  plan: Plan,
  results: readonly CellResult[],
): string | undefined {
  if (results.some(({ difference }) => difference !== undefined)) {
    return undefined;
  }
  if (results.length === 1) {
    return "There is one cell, and nothing to compare it with.";
  }
  const name = baselineOf(plan);
  const { leaks, valLoss, diverged, missing } = results.find(({ cell }) =>
    cell.name === name
  )!;
  const reasons = leaks
    ? ["it sees the future"]
    : valLoss !== undefined
    ? ["no other cell has a loss with one of its seeds"]
    : [
      ...diverged.length > 0 ? [`${trials(diverged.length)} diverged`] : [],
      ...missing > 0 ? [`${trials(missing)} missing`] : [],
    ];
  return `Nothing is compared with the baseline, \`${name}\`: ${
    reasons.join(", ")
  }.`;
}

/** Names the cell that others are compared with, and states if it has fewer losses than seeds. */
export function baselineText(
  plan: Plan,
  results: readonly CellResult[],
): string {
  const name = baselineOf(plan);
  const { done, cell } = results.find(({ cell }) => cell.name === name)!;
  const { length: planned } = cell.seeds ?? plan.seeds;
  return `The baseline is \`${name}\`${
    done < planned
      ? `, which has a loss with ${done} of ${planned} seeds: differences are over pairs with these`
      : ""
  }.`;
}

function trials(count: number): string {
  return count === 1 ? "1 trial" : `${count} trials`;
}

/** Remark on a model that sees the future. */
export const SEES = "sees the future";

/**
 * States that the losses of these cells mean nothing; returns an empty text for no cells. Names of
 * cells are in backticks.
 */
export function futureText(cells: readonly string[]): string {
  const names = cells.map((name) => `\`${name}\``).join(", ");
  if (cells.length === 0) return "";
  return cells.length === 1
    ? `${names} ${SEES}: its loss means nothing, and no ranking, fit or count has it.`
    : `${names} see the future: their losses mean nothing, and no ranking, fit or count has them.`;
}

/**
 * Returns notes that a table of cells does not show: which losses mean nothing, and that intervals
 * miss by chance.
 *
 * @param beside the estimates of the report outside the table
 */
export function tableNotes(
  results: readonly CellResult[],
  beside: readonly Estimate[] = [],
): string[] {
  const leaking = results.filter(({ leaks }) => leaks);
  const estimates = results.flatMap((
    { valLoss, difference },
  ) => [valLoss, difference]);
  return [
    futureText(leaking.map(({ cell }) => cell.name)),
    missesText(countIntervals([...estimates, ...beside])),
  ].filter((note) => note !== "");
}

function averageText(texts: readonly OwnText[]): OwnText | undefined {
  if (texts.length === 0) return undefined;
  const mean = (of: (text: OwnText) => number) =>
    texts.reduce((sum, text) => sum + of(text), 0) / texts.length;
  return {
    spells: mean(({ spells }) => spells),
    formats: mean(({ formats }) => formats),
    pairs: mean(({ pairs }) => pairs),
    triples: mean(({ triples }) => triples),
    longestCopy: mean(({ longestCopy }) => longestCopy),
    gap: mean(({ gap }) => gap),
  };
}

/** A column of the table. */
interface Column {
  readonly title: string;
  readonly of: (result: CellResult) => Text;
}

const columns: readonly Column[] = [
  {
    title: "cell",
    of: ({ cell, leaks }) => `\`${cell.name}\`${leaks ? ` **${SEES}**` : ""}`,
  },
  { title: "validation loss", of: ({ valLoss }) => estimateText(valLoss) },
  {
    title: "less the baseline",
    of: ({ difference }) => estimateText(difference, { sign: true }),
  },
  {
    title: "parameters",
    of: ({ parameters }) => parameters === undefined ? "" : count(parameters),
  },
  { title: "also changed", of: ({ cell }) => untold(cell) },
];

/** Columns that are left out if all their cells are empty. */
const optional: readonly string[] = ["less the baseline", "also changed"];

/**
 * Returns the table, with a column for each of these rungs that scores text; a number that reaches
 * its rung is bold.
 */
export function cellTable(
  results: readonly CellResult[],
  rungs: readonly Rung[] = [],
): Block {
  const scored = rungs.filter(({ fiveGram, name }) =>
    fiveGram !== undefined || name === "honest"
  );
  const shown: readonly Column[] = [
    ...columns.filter(({ title, of }) =>
      !optional.includes(title) || results.some(of)
    ),
    ...scored.map((rung) => ({
      title: rung.name,
      of: (result: CellResult) => score(rung, result),
    })),
    { title: "runs", of: remark },
  ];
  return {
    kind: "table",
    caption: "Cells with their losses and scores",
    head: shown.map(({ title }) => title),
    rows: results.map((result) => shown.map(({ of }) => of(result))),
  };
}

function score(rung: Rung, { own, valLoss }: CellResult): Text {
  if (own === undefined || valLoss === undefined) return "";
  const { value, reached } = rungValue(rung, { valLoss: valLoss.mean, own });
  if (value === undefined) return "";
  return reached ? `**${short(value)}**` : short(value);
}

/** Lists changes, `nLayer 2, learningRate 0.006`; returns `nothing` for none. */
export function describeChanges(changes: Changes): string {
  return fieldsOf(changes).map(([field, value]) => `${field} ${value}`)
    .join(", ") || "nothing";
}

/** Lists the changes that are not in a name such as `nLayer=2+learningRate=0.006`. */
function untold({ name, ...changes }: Cell): string {
  const told = new Set(name.split("+"));
  return fieldsOf(changes)
    .filter(([field, value]) => !told.has(`${field}=${value}`))
    .map(([field, value]) => `${field} ${value}`).join(", ");
}

function fieldsOf({ model, train, dataShare }: Changes): [string, unknown][] {
  const share = dataShare === undefined ? {} : { dataShare };
  return Object.entries({ ...model, ...train, ...share });
}

/** Formats an estimate, `1.5557 ± 0.0021`, with a sign if asked for; returns an empty text for undefined. */
export function estimateText(
  estimate: Estimate | undefined,
  { places = 4, sign = false }: {
    readonly places?: number;
    readonly sign?: boolean;
  } = {},
): string {
  if (estimate === undefined) return "";
  const { mean, margin } = estimate;
  const text = signed(mean, places);
  const interval = Number.isNaN(margin) ? "" : ` ± ${margin.toFixed(places)}`;
  return `${sign ? text : text.replace("+", "")}${interval}`;
}

/** Describes how many trials of a cell ended well, diverged and are missing. */
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
