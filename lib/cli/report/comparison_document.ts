/** The report that compares runs: their results, their curves in one picture, and their differences. */

import { modelFields } from "../../config/model.ts";
import { trainFields } from "../../config/train.ts";
import {
  type Block,
  type Document,
  present,
  type Section,
  verbatim,
} from "../../report/document.ts";
import { count, duration } from "../../report/numbers.ts";
import { program } from "../command/program.ts";
import { short as shortCount } from "../terminal/progress.ts";
import { curveSection } from "./comparison_curves.ts";
import {
  bestOf,
  type DrawnRun,
  drawnRuns,
  type Group,
  groupsOf,
  lineOf,
  lowestOf,
  perCharacter,
  perToken,
} from "./comparison_groups.ts";
import { commandBlock, fieldText, today } from "./run_document.ts";
import {
  bestEval,
  type Fields,
  lastStep,
  type RunRecord,
  tokensPerStep,
} from "./run_record.ts";

/** Most runs named in the page's title. */
const MOST_NAMED = 6;

/** Returns the report. */
export function comparisonDocument(runs: readonly RunRecord[]): Document {
  const drawn = drawnRuns(runs);
  const groups = groupsOf(drawn);
  const named = drawn.slice(0, MOST_NAMED).map(({ label }) => label).join(", ");
  const more = runs.length - MOST_NAMED;
  return {
    title: `${runs.length} runs compared`,
    name: `${runs.length} runs: ${named}${more > 0 ? ` and ${more} more` : ""}`,
    lead: groups.map(summary),
    blocks: [],
    sections: present([
      resultSection(drawn, groups),
      curveSection(groups),
      sampleSection(drawn),
      {
        id: "commands",
        title: "Commands",
        blocks: drawn.flatMap(({ label, run }): Block[] => [
          { kind: "heading", text: verbatim(label) },
          commandBlock(run),
        ]),
      },
    ]),
    source:
      `The runs are as of ${today()}. More of each run: \`${program()} report RUN\`.`,
  };
}

function summary(group: Group): string {
  const { name, runs, unit } = group;
  const best = bestOf(group);
  const found = best && lowestOf(best, unit);
  const seeing = runs.filter(({ sees }) => sees).length;
  const lowest = best === undefined || found === undefined
    ? ""
    : `: the lowest validation loss is ${
      unit.of(found).toFixed(unit.digits)
    } ${unit.name}, of ${verbatim(best.label)} at step ${count(found.step)}`;
  return [
    `${runs.length === 1 ? "One run" : `${runs.length} runs`} on ${
      verbatim(name)
    }${lowest}.`,
    ...seeing > 0
      ? [
        `Left out of this: ${
          seeing === 1 ? "one model sees" : `${seeing} models see`
        } the future.`,
      ]
      : [],
  ].join(" ");
}

function resultSection(
  drawn: readonly DrawnRun[],
  groups: readonly Group[],
): Section {
  const fields = differingFields(drawn.map(({ run }) => run));
  const several = groups.length > 1;
  const notes = present([
    several
      ? "These runs predict different texts, or different parts of one. Their losses cannot be compared, so each text has a table and charts of its own."
      : undefined,
    groups.some(({ unit }) => unit === perCharacter)
      ? "Runs of the same text whose tokens differ are compared in bits per character: a loss per token depends on what a token is."
      : undefined,
    drawn.some(({ sees }) => sees)
      ? "A model that sees the future reads what it is to predict: its loss is no result. Such runs have hollow markers and are never the lowest."
      : undefined,
  ]);
  return {
    id: "results",
    title: "Results",
    about:
      "Losses are those of the validation split, the lowest of each text in bold; fields that are the same everywhere are left out.",
    blocks: [
      ...notes.map((text): Block => ({ kind: "note", text })),
      ...groups.flatMap((group): Block[] => [
        ...several
          ? [{ kind: "heading" as const, text: verbatim(group.name) }]
          : [],
        resultTable(group, fields),
      ]),
    ],
  };
}

function resultTable(group: Group, fields: readonly Field[]): Block {
  const { runs, unit } = group;
  const best = bestOf(group);
  const inTokens = unit !== perToken;
  const lines = runs.map((one) => lineOf(one, one.short));
  return {
    kind: "table",
    caption: `Results and differing fields: ${group.name}`,
    lines,
    head: [
      "run",
      `lowest loss, ${unit.name}`,
      "at step",
      "last loss",
      ...inTokens ? ["lowest, nats per own token"] : [],
      "parameters",
      "steps",
      "tokens",
      "time",
      ...fields.map(({ name }) => name),
    ],
    rows: runs.map((one, i) => {
      const { run } = one;
      const [lowest, last] = [lowestOf(one, unit), run.evals.at(-1)];
      const text = (event: RunRecord["evals"][number] | undefined) =>
        event !== undefined && Number.isFinite(unit.of(event))
          ? unit.of(event).toFixed(unit.digits)
          : "";
      return [
        lines[i]!.name,
        one === best ? `**${text(lowest)}**` : text(lowest),
        lowest === undefined ? "" : count(lowest.step),
        text(last),
        ...inTokens ? [bestEval(run)?.valLoss.toFixed(4) ?? ""] : [],
        run.parameters === undefined ? "" : count(run.parameters),
        count(lastStep(run)),
        shortCount(lastStep(run) * tokensPerStep(run)),
        run.seconds > 0 ? duration(run.seconds) : "",
        ...fields.map(({ of }) => fieldText(of(run))),
      ];
    }),
  };
}

/** A field whose value differs between the runs. */
interface Field {
  readonly name: string;
  readonly of: (run: RunRecord) => unknown;
}

function differingFields(runs: readonly RunRecord[]): Field[] {
  const inPart = (part: (run: RunRecord) => Fields, names: Iterable<string>) =>
    Array.from(names, (name): Field => ({
      name,
      of: (run) => part(run)[name] ?? "",
    }));
  const all: Field[] = [
    { name: "tokenizer", of: ({ tokenizer }) => tokenizer["kind"] ?? "" },
    { name: "vocabSize", of: ({ tokenizer }) => tokenizer["vocabSize"] ?? "" },
    ...inPart(({ model }) => model, modelFields.keys()),
    ...inPart(({ train }) => train, trainFields.keys()),
    ...inPart(({ device }) => device, ["description"]),
    ...inPart(({ versions }) => versions, ["lm", "deno"]),
  ];
  const names = new Set<string>();
  return all.filter(({ name, of }) => {
    if (new Set(runs.map((run) => JSON.stringify(of(run)))).size === 1) {
      return false;
    }
    return !names.has(name) && names.add(name);
  });
}

function sampleSection(drawn: readonly DrawnRun[]): Section | undefined {
  const samples = drawn.flatMap(({ label, run }) => {
    const last = run.samples.at(-1);
    return last === undefined ? [] : [{
      title: label,
      about: `step ${count(last.step)}`,
      text: `${last.prompt}${last.text}`,
    }];
  });
  return samples.length === 0 ? undefined : {
    id: "samples",
    title: "Last samples",
    blocks: [{ kind: "samples", samples }],
  };
}
