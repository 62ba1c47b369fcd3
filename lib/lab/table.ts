/** A study's outcomes as a table: one line a cell. */

import type { Outcome } from "./outcome.ts";
import { baselineOf, type Cell, type Changes, type Plan } from "./plan.ts";
import { type Estimate, estimate, pairedDifference } from "./statistics.ts";
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
  /** Validation loss less the baseline's, seed by seed; undefined for the baseline itself. */
  readonly difference: Estimate | undefined;
  /** Whether a token changed logits before it: then the loss means nothing. */
  readonly leaks: boolean;
  /** What its text shows, on average over seeds; undefined if that was not measured. */
  readonly own: OwnText | undefined;
  /** What its first trial wrote. */
  readonly sample: string | undefined;
}

/** In which order cells stand: the lowest loss first, or what hurts most. */
export type Order = "best" | "worst";

/**
 * The cells of a plan with their outcomes. What has no loss stands last; of what hurts first come those
 * that leak, whose losses are the lowest and mean nothing.
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
      leaks: own.some(({ causal }) => causal === false),
      own: averageText(own.flatMap(({ own }) => own ?? [])),
      sample: own.find(({ sample }) => sample !== undefined)?.sample,
    };
  });
  const loss = ({ valLoss }: CellResult) => valLoss?.mean ?? Infinity;
  const rank = ({ leaks, valLoss }: CellResult) =>
    valLoss === undefined ? 2 : leaks ? 0 : 1;
  return order === "best"
    ? results.toSorted((a, b) => loss(a) - loss(b))
    : results.toSorted((a, b) => rank(a) - rank(b) || loss(b) - loss(a));
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

const always: readonly Column[] = [
  { title: "cell", number: false, of: ({ cell }) => `\`${cell.name}\`` },
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
    title: "less the baseline",
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
    ...always.filter(({ title, of }) => title !== ALSO || results.some(of)),
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

/** Three digits, without needless ones. */
export function digits(value: number): string {
  return String(Number(value.toPrecision(3)));
}

/** The beginning of a text in one line, without what Markdown would read. */
function excerpt(text: string): string {
  return text.slice(0, EXCERPT).replace(/\s*\n\s*/g, " / ")
    .replaceAll("`", "'").replaceAll("|", "¦").trim();
}

function remark({ done, diverged, missing, leaks }: CellResult): string {
  const steps = diverged.map(({ diverged }) => diverged!.step);
  return [
    String(done),
    ...(leaks ? ["**sees the future**"] : []),
    ...(steps.length > 0
      ? [`${steps.length} diverged at step ${steps.join(", ")}`]
      : []),
    ...(missing > 0 ? [`${missing} missing`] : []),
  ].join(", ");
}
