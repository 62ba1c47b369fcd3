/** A study's outcomes as a table: one line a cell. */

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
import type { OwnText } from "./works.ts";

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
  /** Validation loss less the baseline's, seed by seed; undefined for the baseline itself, and where it has no loss that means something. */
  readonly difference: Estimate | undefined;
  /** Whether tokens see what they are to predict, by the mask or as measured: then the loss means nothing. */
  readonly leaks: boolean;
  /** What its text shows, on average over seeds; undefined if that was not measured. */
  readonly own: OwnText | undefined;
  /** What its first trial wrote. */
  readonly sample: string | undefined;
}

/** In which order cells stand: the lowest loss first, or what hurts most. */
export type Order = "best" | "worst";

/** The cells of a plan with their outcomes. After the others stand those that leak, and last those without a loss. */
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

/** Says why no cell is compared with the baseline, whose name is in backticks; undefined where one is. */
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

/** Says what cells are compared with, and if that has fewer losses than seeds. */
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

/** What sets apart a model that sees the future. */
export const SEES = "sees the future";

/** Says that the losses of these cells mean nothing; nothing of no cells. Their names are in backticks. */
export function futureText(cells: readonly string[]): string {
  const names = cells.map((name) => `\`${name}\``).join(", ");
  if (cells.length === 0) return "";
  return cells.length === 1
    ? `${names} ${SEES}: its loss means nothing, and no ranking, fit or count has it.`
    : `${names} see the future: their losses mean nothing, and no ranking, fit or count has them.`;
}

/**
 * Says what a table of cells does not show: which losses mean nothing, and that intervals miss by chance.
 *
 * @param beside what the report estimates beside the table
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

/** Characters of a sample in a table. */
const EXCERPT = 60;

/** A column of the table. */
interface Column {
  readonly title: string;
  readonly number: boolean;
  readonly of: (result: CellResult) => string;
}

/** The column of changes that a cell's name does not tell. */
const ALSO = "also changed";

/** The column of differences from the baseline. */
export const LESS = "less the baseline";

/** Columns that are left out where no cell has anything in them. */
const optional: readonly string[] = [ALSO, LESS];

const always: readonly Column[] = [
  {
    title: "cell",
    number: false,
    of: ({ cell, leaks }) => `\`${cell.name}\`${leaks ? ` **${SEES}**` : ""}`,
  },
  { title: ALSO, number: false, of: ({ cell }) => untold(cell) },
  {
    title: "parameters",
    number: true,
    of: ({ parameters }) => parameters?.toLocaleString("en") ?? "",
  },
  {
    title: "validation loss",
    number: true,
    of: ({ valLoss }) => estimateText(valLoss),
  },
  {
    title: LESS,
    number: true,
    of: ({ difference }) => estimateText(difference, true),
  },
  { title: "runs", number: false, of: remark },
];

const ofText: readonly Column[] = [
  {
    title: "spells",
    number: true,
    of: ({ own }) => own?.spells.toFixed(2) ?? "",
  },
  {
    title: "formats",
    number: true,
    of: ({ own }) => own?.formats.toFixed(2) ?? "",
  },
  {
    title: "honest: gap",
    number: true,
    of: ({ own }) => own === undefined ? "" : signed(own.gap, 2),
  },
];

const ofSamples: Column = {
  title: "it writes",
  number: false,
  of: ({ sample }) => sample === undefined ? "" : `\`${excerpt(sample)}\``,
};

/** The table in Markdown, with columns for what was measured. */
export function markdownTable(results: readonly CellResult[]): string {
  const columns = [
    ...always.filter(({ title, of }) =>
      !optional.includes(title) || results.some(of)
    ),
    ...results.some(({ own }) => own !== undefined) ? ofText : [],
    ...results.some(({ sample }) => sample !== undefined) ? [ofSamples] : [],
  ];
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [
    line(columns.map(({ title }) => title)),
    line(columns.map(({ number }) => number ? "---:" : "---")),
    ...results.map((result) => line(columns.map(({ of }) => of(result)))),
  ].join("\n");
}

/** `nLayer 2, learningRate 0.006`; what no field differs in is the base. */
export function describeChanges(changes: Changes): string {
  return fieldsOf(changes).map(([field, value]) => `${field} ${value}`)
    .join(", ") || "nothing";
}

/** Changes that are not in a name like `nLayer=2+learningRate=0.006`. */
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

/** `1.5557 ± 0.0021`; nothing for nothing. */
export function estimateText(
  estimate: Estimate | undefined,
  withSign = false,
): string {
  if (estimate === undefined) return "";
  const { mean, margin } = estimate;
  const interval = Number.isNaN(margin) ? "" : ` ± ${margin.toFixed(4)}`;
  return `${withSign ? signed(mean, 4) : mean.toFixed(4)}${interval}`;
}

function signed(value: number, places: number): string {
  return `${value >= 0 ? "+" : ""}${value.toFixed(places)}`;
}

/** The beginning of a text in one line, without what Markdown would read. */
function excerpt(text: string): string {
  return text.slice(0, EXCERPT).replace(/\s*\n\s*/g, " / ")
    .replaceAll("`", "'").replaceAll("|", "¦").trim();
}

/** How many trials of a cell ended well, and what became of the others. */
export function remark({ done, diverged, missing }: CellResult): string {
  const steps = diverged.map(({ diverged }) => diverged!.step);
  return [
    String(done),
    ...(steps.length > 0
      ? [`${steps.length} diverged at step ${steps.join(", ")}`]
      : []),
    ...(missing > 0 ? [`${missing} missing`] : []),
  ].join(", ");
}
