/** The page about the study of positions. */

import type { Findings } from "../../lab/positions/findings.ts";
import type { OrderResult } from "../../lab/positions/order.ts";
import {
  answer,
  beyondTable,
  contextTable,
  depthTable,
  NOTHING,
  orderTable,
  partTable,
  probeTable,
  type Table,
  words,
  worthTable,
  worthWords,
} from "../../lab/positions/report.ts";
import { VERSION } from "../command/program.ts";
import {
  coded,
  type Content,
  type Markup,
  markup,
} from "../../report/markup.ts";
import { page, table } from "../../report/page.ts";
import type { Plotter } from "../../report/plotter.ts";
import {
  beyondChart,
  contextChart,
  depthChart,
  probeChart,
  readingChart,
  spreadChart,
} from "./position_charts.ts";

/** What the page is made of. */
export interface PositionsRecord {
  readonly title: string;
  readonly about: string;
  readonly findings: Findings;
  readonly orders: readonly OrderResult[];
  /** What all cells start from, in words. */
  readonly base: string;
  /** What is said of the trials: how many, how long, where. */
  readonly provenance: string;
  /** What keeps the numbers from being trusted. */
  readonly notes: readonly string[];
}

/** The page as text. */
export async function positionsPage(
  plotter: Plotter,
  { title, about, findings, orders, base, provenance, notes }: PositionsRecord,
): Promise<string> {
  const paragraphs = answer(findings, orders);
  const part = (
    id: string,
    title: string,
    about: string,
    ...content: readonly Content[]
  ) => ({ id, title, about: coded(about), content });
  return await page({
    title,
    header: markup`<h1>${title}</h1>
${
      (paragraphs.length > 0 ? paragraphs : [about]).map((text) =>
        markup`<p class="summary">${text.replaceAll(" ± ", "\u00a0±\u00a0")}</p>
`
      )
    }${
      notes.map((note) =>
        markup`
<p class="note">${coded(note)}</p>`
      )
    }`,
    sections: [
      part(
        "worth",
        "What positions are worth",
        worthWords(findings),
        shown(worthTable(findings)),
      ),
      part(
        "depth",
        "How deep, and how long",
        words.depths,
        depthChart(plotter, findings),
        shown(depthTable(findings), 2),
      ),
      part(
        "probes",
        "Where position is",
        words.probes,
        probeChart(plotter, findings),
        shown(probeTable(findings), 1),
        markup`<h3>What the probes read, by true position</h3>`,
        readingChart(plotter, findings),
        markup`<h3>R² by part, of all kinds of positions</h3>`,
        shown(partTable(findings)),
      ),
      part(
        "spread",
        "What the mask leaves behind",
        words.spread,
        spreadChart(plotter, findings),
      ),
      part(
        "order",
        "Who knows the order",
        words.order,
        shown(orderTable(orders)),
      ),
      part(
        "context",
        "Within the context",
        words.context,
        contextChart(plotter, findings),
        shown(contextTable(findings)),
      ),
      part(
        "beyond",
        "Beyond it",
        words.beyond,
        beyondChart(plotter, findings),
        shown(beyondTable(findings), 1),
      ),
    ],
    footer: markup`The base: ${base}. ${provenance} Drawn by lm ${VERSION}.`,
  });
}

function shown({ head, rows }: Table, keep?: number): Markup {
  if (rows.length === 0) return markup`<p>${NOTHING}</p>`;
  return table({
    ...{ caption: head.join(", "), head, rows },
    ...(keep !== undefined && { keep }),
  });
}
