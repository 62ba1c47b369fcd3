/** The report that compares runs: their results, their curves in one picture, and their differences. */

import {
  type Block,
  type Document,
  present,
  type Section,
  verbatim,
} from "../../report/document.ts";
import { compact, count, duration } from "../../report/numbers.ts";
import { program } from "../command/program.ts";
import { curveBlocks } from "./comparison_curves.ts";
import {
  type Evaluated,
  type Group,
  groupsOf,
  nameOf,
  perCharacter,
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
  const groups = groupsOf(runs);
  const drawn = groups.flatMap(({ runs }) => runs)
    .toSorted((a, b) => a.number - b.number);
  const named = drawn.slice(0, MOST_NAMED).map(({ label }) => label).join(", ");
  const more = runs.length - MOST_NAMED;
  const samples = drawn.flatMap(({ label, run }) => {
    const last = run.samples.at(-1);
    return last === undefined ? [] : [{
      title: label,
      about: `step ${count(last.step)}`,
      text: `${last.prompt}${last.text}`,
    }];
  });
  return {
    title: `${runs.length} runs compared`,
    name: `${runs.length} runs: ${named}${more > 0 ? ` and ${more} more` : ""}`,
    lead: groups.map(summary),
    blocks: [],
    sections: present([
      resultSection(runs, groups),
      {
        id: "curves",
        title: "Validation loss",
        blocks: ofEach(groups, curveBlocks),
      },
      samples.length === 0 ? undefined : {
        id: "samples",
        title: "Last samples",
        blocks: [{ kind: "samples", samples }],
      },
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

function summary({ name, runs, unit, best }: Group): string {
  const seeing = runs.filter(({ sees }) => sees).length;
  const { loss = NaN, step = 0 } = best?.lowest ?? {};
  return [
    `${runs.length === 1 ? "One run" : `${runs.length} runs`} on ${
      verbatim(name)
    }`,
    best === undefined
      ? "."
      : `: the lowest validation loss is ${
        loss.toFixed(unit.digits)
      } ${unit.name}, of ${verbatim(best.label)} at step ${count(step)}.`,
    seeing === 0
      ? ""
      : ` Left out of this: ${
        seeing === 1 ? "one model sees" : `${seeing} models see`
      } the future.`,
  ].join("");
}

/** Returns the blocks of all groups, under the groups' names if there are several. */
function ofEach(
  groups: readonly Group[],
  blocks: (group: Group) => Block[],
): Block[] {
  if (groups.length === 1) return blocks(groups[0]!);
  return groups.flatMap((group): Block[] => [
    { kind: "heading", text: verbatim(group.name) },
    ...blocks(group),
  ]);
}

function resultSection(
  all: readonly RunRecord[],
  groups: readonly Group[],
): Section {
  const fields = differingFields(all);
  const notes = present([
    groups.length > 1
      ? "These runs predict different texts, or different parts of one. Their losses cannot be compared, so each text has a table and charts of its own."
      : undefined,
    groups.some(({ unit }) => unit === perCharacter)
      ? "Runs of the same text whose tokens differ are compared in bits per character: a loss per token depends on the tokenizer."
      : undefined,
    groups.some(({ runs }) => runs.some(({ sees }) => sees))
      ? "A model that sees the future reads the tokens that it has to predict: its loss is no result. Such runs have hollow markers and are never the lowest."
      : undefined,
  ]);
  return {
    id: "results",
    title: "Results",
    about:
      "Losses are those of the validation split, the lowest of each text in bold; fields that are the same everywhere are left out.",
    blocks: [
      ...notes.map((text): Block => ({ kind: "note", text })),
      ...ofEach(groups, (group) => [resultTable(group, fields)]),
    ],
  };
}

function resultTable(
  { name, runs, unit, best }: Group,
  fields: readonly string[],
): Block {
  const isOfCharacters = unit === perCharacter;
  const text = (event: Evaluated | undefined) =>
    event === undefined ? "" : event.loss.toFixed(unit.digits);
  return {
    kind: "table",
    caption: `Results and differing fields: ${name}`,
    lines: runs.map(({ line }) => line),
    head: [
      "run",
      `lowest loss, ${unit.name}`,
      "at step",
      "last loss",
      ...isOfCharacters ? ["lowest, nats per own token"] : [],
      "parameters",
      "steps",
      "tokens",
      "time",
      ...fields,
    ],
    rows: runs.map((one) => {
      const { run, lowest, losses } = one;
      const settings = settingsOf(run);
      return [
        nameOf(one, one.short),
        one === best ? `**${text(lowest)}**` : text(lowest),
        lowest === undefined ? "" : count(lowest.step),
        text(losses.at(-1)),
        ...isOfCharacters ? [bestEval(run)?.valLoss.toFixed(4) ?? ""] : [],
        run.parameters === undefined ? "" : count(run.parameters),
        count(lastStep(run)),
        compact(lastStep(run) * tokensPerStep(run)),
        run.seconds > 0 ? duration(run.seconds) : "",
        ...fields.map((name) => fieldText(settings[name] ?? "")),
      ];
    }),
  };
}

/** Returns the names of the fields whose value differs between the runs. */
function differingFields(runs: readonly RunRecord[]): string[] {
  const all = runs.map(settingsOf);
  const names: string[] = Object.keys(Object.assign({}, ...all));
  return names.filter((name) =>
    new Set(all.map((settings) => JSON.stringify(settings[name]))).size > 1
  );
}

/** Returns what a run was made with. */
function settingsOf(
  { tokenizer, model, train, device, versions }: RunRecord,
): Fields {
  return {
    ...{ tokenizer: tokenizer["kind"], ...model, ...train },
    ...{ vocabSize: tokenizer["vocabSize"], ...versions },
    description: device["description"],
  };
}
