/** The report of the study of positions. */

import {
  type Block,
  type Document,
  present,
  type Section,
  type Table,
} from "../../report/document.ts";
import type { Markup } from "../../report/markup.ts";
import { count } from "../../report/numbers.ts";
import type { Plotter } from "../../report/plotter.ts";
import { type Plan, trialsOf } from "../plan.ts";
import { provenance, trialNotes } from "../provenance.ts";
import { type Estimate, missesText } from "../statistics.ts";
import {
  cellResults,
  cellTable,
  type Columns,
  describeChanges,
  estimateText,
  SEES,
  tableOf,
} from "../table.ts";
import {
  beyondChart,
  contextChart,
  depthChart,
  probeChart,
  readingChart,
  spreadChart,
} from "./charts.ts";
import {
  bestPart,
  type CellFinding,
  type Findings,
  meanOver,
  positionFindings,
  type WorthFinding,
} from "./findings.ts";
import type { PositionOutcome } from "./measure.ts";
import type { OrderResult } from "./order.ts";
import { LONGER, UNMASKED } from "./plan.ts";

/** Formats an estimate with three decimals, or as many as asked for. */
const pm = (
  estimate: Estimate,
  options: { places?: number; sign?: boolean } = {},
): string => estimateText(estimate, { places: 3, ...options });

/** Returns the answer, one paragraph each; none as long as there are no trials without positions. */
export function answer(
  findings: Findings,
  orders: readonly OrderResult[],
): string[] {
  const none = findings.cells.find(({ name }) => name === "none");
  if (none === undefined) return [];
  return [
    worthAnswer(none, findings),
    probeAnswer(none, findings),
    orderAnswer(orders),
    [depthAnswer(findings), contextAnswer(findings), beyondAnswer(findings)]
      .join(" ").trim(),
  ].filter((paragraph) => paragraph !== "");
}

/** Returns the reason why no kind of positions is compared with having none; undefined if one is compared. */
function unlikeNone({ cells }: Findings): string | undefined {
  return cells.some(({ worth }) => worth !== undefined)
    ? undefined
    : "Nothing is compared with `none`, the model without positions: there are no two losses of the same seed.";
}

/** Returns the text above the first table, which also says how many intervals of all tables miss by chance. */
function worthWords(findings: Findings): string {
  const intervals = [worthTable, depthTable, probeTable, beyondTable]
    .flatMap((table) => table(findings).rows.flat())
    .filter((cell) => cell.includes(" ± "));
  // An interval that several tables show counts once.
  return `Losses are nats per token of the validation split, ± 95 % confidence intervals over seeds; differences are of pairs with the same seed, which saw the same batches. \`rope-half\` is not in the study: it is \`rope\` with the channels of each head in another order. \`unmasked\` sees the tokens that it has to predict, but not their order: its loss cannot be compared. ${
    missesText(new Set(intervals).size)
  }`.trimEnd();
}

/** Returns a cell's name as tables show it. */
function shownName({ name, leaks }: CellFinding): string {
  return leaks ? `${name} (${SEES})` : name;
}

function worthAnswer(none: CellFinding, { cells }: Findings): string {
  const helped = cells.filter(({ worth }) => worth !== undefined)
    .toSorted((a, b) => b.worth!.mean - a.worth!.mean);
  const pairs = new Set(helped.map(({ worth }) => worth!.count));
  return `With a causal mask and no positions a model of ${
    count(none.parameters)
  } parameters reaches ${pm(none.valLoss)} nats per token after ${
    count(none.tokens)
  } tokens of training.${
    helped.length === 0
      ? ""
      : ` Positions lower that by ${
        helped.map(({ name, worth }) => `${pm(worth!)} (${name})`).join(", ")
      }: means over pairs of the same seed, ${[...pairs].join(" or ")} each${
        helped.every(({ worth }) => Number.isNaN(worth!.margin))
          ? ""
          : ", with 95 % confidence intervals"
      }.`
  }`;
}

function probeAnswer(none: CellFinding, { T, cells }: Findings): string {
  const unmasked = cells.find(({ name }) => name === UNMASKED);
  const best = bestPart(none);
  const r2 = (estimate: Estimate) => pm(estimate, { places: 2 });
  const read = [1, Math.ceil(T / 8), T].map((position) =>
    `${(best.means[position - 1]! + 1).toFixed(0)} at position ${position}`
  );
  const elsewhere = [
    `before training it is ${r2(best.untrainedR2)}`,
    ...unmasked === undefined
      ? []
      : [`without the mask at most ${r2(bestPart(unmasked).r2)}`],
    `on text in random order ${r2(best.shuffledTextR2)}`,
  ];
  return `Models without positions know them all the same: a linear probe reads the position from the residual stream with R² ${
    r2(none.probes[0]!.r2)
  } after the embedding and ${r2(best.r2)} after ${
    best.part.replace(/^final/, "the final")
  } (${elsewhere.join(", ")}). On average it reads ${
    read.join(", ")
  }; it errs by ${best.error.mean.toFixed(1)} tokens, guessing the middle by ${
    (T / 4).toFixed(1)
  }. The mask makes the difference: each token averages over all tokens before it. If these are all alike, there is nothing to count: on a text of one repeated letter the reading moves by ${
    best.constantTextRange.mean.toPrecision(1)
  } tokens from the first position to the last.`;
}

function orderAnswer(orders: readonly OrderResult[]): string {
  const backends = [...new Set(orders.map(({ backend }) => backend))];
  const cases = Map.groupBy(orders, ({ what }) => what);
  const blind = [...cases].filter(([, rows]) =>
    rows.every(({ exact }) => exact === 0)
  );
  return `The order of tokens: in a model whose sums are all exact, not a bit of the last token's logits changes (on ${
    backends.join(" and ")
  }) when the tokens before it change places, with ${
    blind.map(([what]) => what).join("; ")
  }. With a causal mask and two layers the logits change: the first layer's output at a token depends on which tokens are before it.`;
}

function contextAnswer({ T, cells }: Findings): string {
  const rope = cells.find(({ name }) => name === "rope");
  const [none] = cells;
  if (rope === undefined || none === undefined) return "";
  const both = (from: number, to: number) =>
    [none, rope].map(({ losses }) => meanOver(losses, from, to).toFixed(3))
      .join(" and ");
  return `With 3 or 4 tokens seen the losses without positions and with rope are ${
    both(2, 4)
  }, in the second half of the context ${both(T / 2, T)}.`;
}

function depthAnswer({ depths, trainings }: Findings): string {
  if (depths.length === 0) return "";
  const list = (
    findings: readonly WorthFinding[],
    of: (finding: WorthFinding) => string,
  ) => findings.map(of).join(", ");
  const longer = trainings.at(-1);
  return `With ${
    list(depths, ({ nLayer }) => String(nLayer))
  } layers the loss without positions is ${
    list(depths, ({ none }) => pm(none))
  }, and rope lowers it by ${list(depths, ({ worth }) => pm(worth))}.${
    longer === undefined || trainings.length < 2
      ? ""
      : ` After ${count(longer.tokens)} tokens of training it is ${
        pm(longer.none)
      }, and rope lowers it by ${pm(longer.worth)}.`
  }`;
}

function beyondAnswer({ T, cells }: Findings): string {
  const changes = cells.filter(({ leaks }) => !leaks)
    .flatMap(({ name, beyond }) => {
      const last = beyond.at(-1);
      return last === undefined
        ? []
        : [`${pm(last.change, { sign: true })} (${name})`];
    });
  if (changes.length === 0) return "";
  return `In a context ${LONGER} times as long as the trained one the loss of the last ${T} positions differs from that within it by ${
    changes.join(", ")
  }; learned positions do not exist there.`;
}

/** Returns a table whose caption is its head. */
function titled<Item>(
  items: readonly Item[],
  columns: Columns<Item>,
): Table & Block {
  return tableOf(Object.keys(columns).join(", "), items, columns);
}

/** Returns columns named by cells, each of whose texts depends on a row and a cell. */
function byCell<Item>(
  cells: readonly CellFinding[],
  text: (cell: CellFinding, item: Item, row: number) => string,
): Columns<Item> {
  return Object.fromEntries(cells.map((cell) => [
    shownName(cell),
    (item: Item, row: number) => text(cell, item, row),
  ]));
}

/** Returns the table of validation losses and of the worth of positions. */
function worthTable({ cells }: Findings): Table & Block {
  return titled(cells, {
    positions: shownName,
    "validation loss": ({ valLoss }) => pm(valLoss),
    "lower than without": ({ worth }) => worth === undefined ? "" : pm(worth),
    "best probe: R²": (cell) => pm(bestPart(cell).r2),
    after: (cell) => bestPart(cell).part,
  });
}

/** Returns the table of the worth of rope at each depth, and after longer training. */
function depthTable({ depths, trainings }: Findings): Table & Block {
  return titled([...depths, ...trainings.slice(1)], {
    layers: ({ nLayer }) => String(nLayer),
    "tokens of training": ({ tokens }) => count(tokens),
    none: ({ none }) => pm(none),
    rope: ({ rope }) => pm(rope),
    "rope is worth": ({ worth }) => pm(worth),
  });
}

/** Returns the table of the probes' R² by part: the cell without positions, with its controls. */
function probeTable({ cells }: Findings): Table & Block {
  const none = cells.find(({ name }) => name === "none");
  const unmasked = cells.find(({ name }) => name === UNMASKED);
  return titled(none?.probes ?? [], {
    after: ({ part }) => part,
    "R²": ({ r2 }) => pm(r2),
    "errs by, tokens": ({ error }) => pm(error, { places: 1 }),
    "before training": ({ untrainedR2 }) => pm(untrainedR2),
    "shuffled positions": ({ shuffledR2 }) => pm(shuffledR2),
    "no mask": (_, i) =>
      unmasked === undefined ? "" : pm(unmasked.probes[i]!.r2),
    "text in random order": ({ shuffledTextR2 }) => pm(shuffledTextR2),
    "one letter: range, tokens": ({ constantTextRange }) =>
      constantTextRange.mean.toPrecision(1),
  });
}

/** Returns the table of R² by part, for all cells. */
function partTable({ cells }: Findings): Table & Block {
  return titled(cells[0]?.probes ?? [], {
    after: ({ part }) => part,
    ...byCell(cells, ({ probes }, _, i) => probes[i]!.r2.mean.toFixed(3)),
  });
}

/** Returns the table of losses by number of tokens seen. */
function contextTable({ T, cells }: Findings): Table & Block {
  const bounds = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256].filter((at) => at < T);
  const ranges = bounds.map((from, i) => [from, bounds[i + 1] ?? T] as const);
  return titled(ranges, {
    "tokens seen": ([from, to]) =>
      to === from + 1 ? String(to) : `${from + 1} to ${to}`,
    ...byCell(
      cells,
      ({ losses }, [from, to]) => meanOver(losses, from, to).toFixed(3),
    ),
  });
}

/** Returns the table of losses beyond the trained context. */
function beyondTable({ T, cells }: Findings): Table & Block {
  const beyond = Array.from({ length: LONGER - 1 }, (_, i) => [
    `${(i + 1) * T + 1} to ${(i + 2) * T}`,
    (cell: CellFinding) => {
      const found = cell.beyond[i];
      if (found === undefined) {
        return cell.refused === undefined ? "" : "impossible";
      }
      const { loss, change } = found;
      return `${loss.mean.toFixed(3)} (${pm(change, { sign: true })})`;
    },
  ]);
  return titled(cells, {
    positions: shownName,
    [`${T / 2 + 1} to ${T}`]: ({ longLosses, losses }) =>
      meanOver(longLosses ?? losses, T / 2, T).toFixed(3),
    ...Object.fromEntries(beyond),
  });
}

/** Returns the table of each backend's results for other orders. */
function orderTable(results: readonly OrderResult[]): Table & Block {
  const backends = [...new Set(results.map(({ backend }) => backend))];
  type Case = [what: string, rows: readonly OrderResult[]];
  const on = (title: string, change: "exact" | "generic"): Columns<Case> =>
    Object.fromEntries(backends.map((backend) => [
      `${title}, ${backend}`,
      ([, rows]: Case) =>
        small(rows.find((row) => row.backend === backend)?.[change]),
    ]));
  return titled([...Map.groupBy(results, ({ what }) => what)], {
    model: ([what]) => what,
    ...on("exact", "exact"),
    ...on("any weights", "generic"),
  });
}

function small(value: number | undefined): string {
  if (value === undefined) return "";
  return value === 0 ? "0" : value.toPrecision(2);
}

/** Contents of the report. */
export interface PositionsRecord {
  readonly plan: Plan;
  readonly outcomes: readonly PositionOutcome[];
  readonly orders: readonly OrderResult[];
  /** The command that repeats the study. */
  readonly command: string;
}

/** Returns the report. */
export function positionsDocument(
  { plan, outcomes, orders, command }: PositionsRecord,
): Document {
  const findings = positionFindings(plan, outcomes);
  const paragraphs = answer(findings, orders);
  const notes = [...trialNotes(plan, outcomes), unlikeNone(findings)];
  const section = (
    id: string,
    title: string,
    about: string,
    ...blocks: readonly Block[]
  ): Section => ({ id, title, about, blocks });
  const figure = (
    chart: (plotter: Plotter, findings: Findings) => Markup,
  ): Block => ({ kind: "figure", draw: (plotter) => chart(plotter, findings) });
  return {
    title: plan.study,
    lead: paragraphs.length > 0 ? paragraphs : [plan.about],
    blocks: present(notes).map((text) => ({ kind: "note", text })),
    sections: [
      section(
        "worth",
        "What positions are worth",
        worthWords(findings),
        shown(worthTable(findings)),
      ),
      section(
        "depth",
        "How deep, and how long",
        "Without positions, a single causal layer shows a token which tokens came before it, but not their order: not a bit depends on the order (below). From the second layer on, a model can use the order. The losses show how much training learns of it, also with four times as much training.",
        figure(depthChart),
        shown(depthTable(findings)),
      ),
      section(
        "probes",
        "Where position is",
        "Ridge regression from the residual stream (64 numbers a token) to the token's position in its window, fitted on windows of the training split and scored on windows of the validation split. R² is 1 if each position is read exactly and 0 if guessing the middle is as good.",
        figure(probeChart),
        shown(probeTable(findings)),
        { kind: "heading", text: "What the probes read, by true position" },
        figure(readingChart),
        { kind: "heading", text: "R² by part, of all cells" },
        shown(partTable(findings)),
      ),
      section(
        "spread",
        "How the mask marks positions",
        "The variance of the first attention's output over windows, at each position. The variance of an average over t independent values falls as 1/t; attention that prefers some tokens averages over fewer.",
        figure(spreadChart),
      ),
      section(
        "order",
        "Which models know the order",
        "Attention is a sum, and a sum does not depend on the order of its terms, except by rounding. The table shows the largest change of the last token's logits when the 7 tokens before it are put into 24 other orders. `exact`: the absolute change in a model whose weights are -1, 0 and 1 and whose sums are all exact, so that 0 means equal bits. `any weights`: the change as a share of the largest logit, in a model with weights of order 1; rounding alone is 1e-16 in float64 (reference) and 1e-7 in float32. The project's tests demand the same of WebGPU.",
        shown(orderTable(orders)),
      ),
      section(
        "context",
        "Within the context",
        "Mean losses at positions of the context, over the whole validation split.",
        figure(contextChart),
        shown(contextTable(findings)),
      ),
      section(
        "beyond",
        "Beyond the context",
        "The same weights with a context of four times the length: tables of sines and rotations are computed for it, ALiBi and no positions need no table, learned positions end where training ended. In brackets is the change from the second half of the trained context, in the same windows.",
        figure(beyondChart),
        shown(beyondTable(findings)),
      ),
      section(
        "trials",
        "The trials",
        `The base: ${describeChanges(plan.base)}.`,
        cellTable(cellResults(plan, outcomes)),
      ),
    ],
    source: `${
      provenance(outcomes, { of: trialsOf(plan).length })
    } To repeat the study: \`${command}\`.`,
  };
}

function shown(table: Table & Block): Block {
  return table.rows.length === 0
    ? { kind: "text", text: "No trial shows this yet." }
    : table;
}
