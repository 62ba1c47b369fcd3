/** The page that compares runs: their curves in one picture, their differences and their results. */

import { modelFields } from "../../config/model.ts";
import { trainFields } from "../../config/train.ts";
import { short as shortCount } from "../terminal/progress.ts";
import { count, duration } from "../../report/numbers.ts";
import { commandLine, program, VERSION } from "../command/program.ts";
import type { EvalEvent } from "../../train/events.ts";
import type { Logged } from "../run/events.ts";
import { curveSection } from "./comparison_curves.ts";
import {
  bestOf,
  type DrawnRun,
  drawnRuns,
  type Group,
  groupsOf,
  key,
  lowestOf,
  perCharacter,
  perToken,
} from "./comparison_groups.ts";
import { fieldText } from "./config_section.ts";
import { note, samples } from "../../report/html.ts";
import { type Content, type Markup, markup } from "../../report/markup.ts";
import { page, type PageSection, table } from "../../report/page.ts";
import type { Plotter } from "../../report/plotter.ts";
import {
  bestEval,
  type Fields,
  lastStep,
  type RunRecord,
} from "./run_record.ts";
import { tokensPerStep } from "./run_header.ts";

/** Most runs named in the head of the page and its title. */
const MOST_NAMED = 6;

/** Returns the page as text. */
export async function comparisonPage(
  plotter: Plotter,
  runs: readonly RunRecord[],
): Promise<string> {
  const drawn = drawnRuns(runs);
  const labels = drawn.map(({ label }) => label);
  const groups = groupsOf(drawn);
  const sections = [
    resultSection(drawn, groups),
    curveSection(plotter, groups),
    sampleSection(drawn),
    commandSection(drawn),
  ];
  const more = labels.length - MOST_NAMED;
  const names = labels.slice(0, MOST_NAMED).join(", ") +
    (more > 0 ? ` and ${more} more` : "");
  return await page({
    title: `${runs.length} runs: ${names}`,
    header: markup`<h1>${runs.length} runs compared</h1>
${groups.map(summary)}`,
    sections: sections.filter((section) => section !== undefined),
    footer: markup`Drawn by lm ${VERSION} on ${
      new Date().toISOString().slice(0, 10)
    }. More of each run: <code>${program()} report RUN</code>`,
  });
}

function summary(group: Group): Markup {
  const { name, runs, unit } = group;
  const best = bestOf(group);
  const found = best && lowestOf(best, unit);
  const seeing = runs.filter(({ sees }) => sees);
  return markup`<p class="summary">${
    runs.length === 1 ? "One run" : `${runs.length} runs`
  } on <bdi>${name}</bdi>${
    best !== undefined && found !== undefined &&
    markup`: the lowest validation loss is ${
      unit.of(found).toFixed(unit.digits)
    } ${unit.name}, of <bdi>${best.label}</bdi> at step ${count(found.step)}`
  }.${
    seeing.length > 0 &&
    markup` Left out of this: ${
      seeing.length === 1 ? "one model sees" : `${seeing.length} models see`
    } the future.`
  }</p>
`;
}

function resultSection(
  drawn: readonly DrawnRun[],
  groups: readonly Group[],
): PageSection {
  const fields = differingFields(drawn.map(({ run }) => run));
  const mixed = groups.filter(({ unit }) => unit === perCharacter);
  return {
    id: "results",
    title: "Results",
    about:
      "Losses are those of the validation split, the lowest of each text in bold; fields that are the same everywhere are left out.",
    content: markup`${
      groups.length > 1 &&
      note(
        "These runs predict different texts, or different parts of one. Their losses cannot be compared, so each text has a table and charts of its own.",
      )
    }${
      mixed.length > 0 &&
      note(
        "Runs of the same text whose tokens differ are compared in bits per character: a loss per token depends on what a token is.",
      )
    }${
      drawn.some(({ sees }) => sees) &&
      note(
        "A model that sees the future reads what it is to predict: its loss is no result. Such runs have hollow markers and are never the lowest.",
      )
    }${
      groups.map((group) =>
        markup`${groups.length > 1 && markup`<h3>${group.name}</h3>`}${
          resultTable(group, fields)
        }`
      )
    }`,
  };
}

function resultTable(group: Group, fields: readonly Field[]): Markup {
  const { runs, unit } = group;
  const best = bestOf(group);
  const inTokens = unit !== perToken;
  return table({
    caption: `Results and differing fields: ${group.name}`,
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
    rows: runs.map((one): Content[] => {
      const { run } = one;
      const [lowest, last] = [lowestOf(one, unit), run.evals.at(-1)];
      const text = (event: Logged<EvalEvent> | undefined) =>
        event !== undefined && Number.isFinite(unit.of(event))
          ? unit.of(event).toFixed(unit.digits)
          : "";
      return [
        key(one, one.short),
        one === best ? markup`<b>${text(lowest)}</b>` : text(lowest),
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
  });
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

function sampleSection(drawn: readonly DrawnRun[]): PageSection | undefined {
  const wrote = drawn.filter(({ run }) => run.samples.length > 0);
  if (wrote.length === 0) return undefined;
  return {
    id: "samples",
    title: "Last samples",
    content: samples(wrote.map(({ label, run }) => {
      const { step, prompt, text } = run.samples.at(-1)!;
      return {
        title: label,
        about: `step ${count(step)}`,
        text: `${prompt}${text}`,
      };
    })),
  };
}

function commandSection(drawn: readonly DrawnRun[]): PageSection {
  return {
    id: "commands",
    title: "Commands",
    content: markup`${
      drawn.map((one) =>
        markup`
          <h3>${one.label}</h3>
          <pre class="command">${commandLine(one.run.command)}</pre>
        `
      )
    }`,
  };
}
