/** A study's outcomes as a table, one row per cell. */

import type { Block, Table, Text } from "../report/document.ts";
import { count, short, signed } from "../report/numbers.ts";
import type { Outcome } from "./outcome.ts";
import {
  baselineOf,
  type Cell,
  changedFields,
  type Changes,
  lossUnit,
  type Plan,
  seesFuture,
} from "./plan.ts";
import {
  countIntervals,
  type Estimate,
  estimate,
  meanOf,
  missesText,
  pairedDifference,
} from "./statistics.ts";
import { type OwnText, type Rung, rungValue } from "./works.ts";

/** Columns of a table: for each title, the function that gives the column's text on an item. */
export type Columns<Item> = Readonly<
  Record<string, (item: Item, row: number) => Text>
>;

/** Returns a table with a row for each item. */
export function tableOf<Item>(
  caption: string,
  items: readonly Item[],
  columns: Columns<Item>,
): Table & { readonly kind: "table" } {
  const texts = Object.values(columns);
  return {
    ...{ kind: "table", caption, head: Object.keys(columns) },
    rows: items.map((item, row) => texts.map((text) => text(item, row))),
  };
}

/** The results of a cell. */
export interface CellResult {
  /** The cell, as the plan has it. */
  readonly cell: Cell;
  /** Trials that ended well. */
  readonly done: number;
  /** Trials whose loss or gradient stopped being a number. */
  readonly diverged: readonly Outcome[];
  /** Trials without an outcome. */
  readonly missing: number;
  /** Number of the model's parameters; undefined without an outcome. */
  readonly parameters: number | undefined;
  /** Validation loss in the unit of the plan: {@linkcode lossUnit}. */
  readonly valLoss: Estimate | undefined;
  /** Validation loss in bits per character, where a token is not a character. */
  readonly bitsPerChar: Estimate | undefined;
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
  const byCell = Map.groupBy(outcomes, ({ cell }) => cell);
  const outcomesOf = ({ name }: Cell) => byCell.get(name) ?? [];
  const measured = (cell: Cell, field: "valLoss" | "bitsPerChar") =>
    new Map(
      outcomesOf(cell).flatMap((outcome) => {
        const value = outcome[field] ?? null;
        return value === null ? [] : [[outcome.seed, value] as const];
      }),
    );
  const isPerToken = lossUnit(plan) === "nats per token";
  const losses = (cell: Cell) =>
    measured(cell, isPerToken ? "valLoss" : "bitsPerChar");
  const leaks = (cell: Cell) => {
    const model = { ...plan.base.model, ...cell.model };
    const own = outcomesOf(cell);
    return own.length === 0
      ? seesFuture(model)
      : own.some(({ causal }) => seesFuture(model, causal));
  };
  const baseline = plan.cells.find(({ name }) => name === baselineOf(plan))!;
  const reference = leaks(baseline) ? new Map() : losses(baseline);
  const results = plan.cells.map((cell): CellResult => {
    const own = outcomesOf(cell);
    const values = losses(cell);
    const { tokenizer = plan.tokenizer } = cell;
    const isOfCharacters = tokenizer === "ascii" || tokenizer === "chars";
    const bits = isOfCharacters || !isPerToken
      ? []
      : [...measured(cell, "bitsPerChar").values()];
    return {
      cell,
      done: values.size,
      diverged: own.filter(({ diverged }) => diverged !== undefined),
      missing: (cell.seeds ?? plan.seeds).length - own.length,
      parameters: own[0]?.parameters,
      valLoss: values.size > 0 ? estimate([...values.values()]) : undefined,
      bitsPerChar: bits.length > 0 ? estimate(bits) : undefined,
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

/** Words for a model that sees the future. */
export const SEES = "sees the future";

/**
 * States that the losses of these cells mean nothing; returns an empty text for no cells. Names of
 * cells are in backticks.
 */
export function futureText(cells: readonly string[]): string {
  const names = cells.map((name) => `\`${name}\``).join(", ");
  if (cells.length === 0) return "";
  return cells.length === 1
    ? `${names} ${SEES}: its loss means nothing, and is in no ranking, fit or count.`
    : `${names} see the future: their losses mean nothing, and are in no ranking, fit or count.`;
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
  const names = Object.keys(texts[0]!) as (keyof OwnText)[];
  return Object.fromEntries(
    names.map((name) => [name, meanOf(texts.map((text) => text[name]))]),
  ) as unknown as OwnText;
}

const columns: Columns<CellResult> = {
  cell: ({ cell, leaks }) => `\`${cell.name}\`${leaks ? ` **${SEES}**` : ""}`,
  "validation loss": ({ valLoss }) => estimateText(valLoss),
  "less the baseline": ({ difference }) =>
    estimateText(difference, { sign: true }),
  "bits per character": ({ bitsPerChar }) => estimateText(bitsPerChar),
  parameters: ({ parameters }) =>
    parameters === undefined ? "" : count(parameters),
  "also changed": ({ cell }) => unnamedChanges(cell),
};

/** Columns that are left out if all their cells are empty. */
const optional: readonly string[] = [
  "less the baseline",
  "bits per character",
  "also changed",
];

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
  const shown = Object.entries(columns).filter(([title, text]) =>
    !optional.includes(title) || results.some(text)
  );
  const scores = scored.map((rung) =>
    [rung.name, (result: CellResult) => score(rung, result)] as const
  );
  return tableOf("Cells with their losses and scores", results, {
    ...Object.fromEntries([...shown, ...scores]),
    runs: runsText,
  });
}

function score(rung: Rung, { own, valLoss }: CellResult): Text {
  if (own === undefined || valLoss === undefined) return "";
  const found = rungValue(rung, { valLoss: valLoss.mean, own });
  if (found === undefined) return "";
  return found.reached ? `**${short(found.value)}**` : short(found.value);
}

/** Lists changes, `nLayer 2, learningRate 0.006`; returns `nothing` for none. */
export function describeChanges(changes: Changes): string {
  return listed(changedFields(changes)) || "nothing";
}

/** Lists the changes that are not in a name such as `nLayer=2+learningRate=0.006`. */
function unnamedChanges({ name, ...changes }: Cell): string {
  const named = new Set(name.split("+"));
  return listed(
    changedFields(changes)
      .filter(([field, value]) => !named.has(`${field}=${value}`)),
  );
}

function listed(fields: readonly [string, unknown][]): string {
  return fields.map(([field, value]) => `${field} ${value}`).join(", ");
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
function runsText({ done, diverged, missing }: CellResult): string {
  const steps = diverged.map(({ diverged }) => diverged!.step);
  return [
    String(done),
    ...(steps.length > 0
      ? [`${steps.length} diverged at step ${steps.join(", ")}`]
      : []),
    ...(missing > 0 ? [`${missing} missing`] : []),
  ].join(", ");
}
