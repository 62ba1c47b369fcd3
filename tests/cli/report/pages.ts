/** Pages of each kind, from runs that never ran and from the studies that docs/ publishes. */

import { dirname, fromFileUrl, join } from "@std/path";
import { writeReport } from "../../../lib/cli/lab/report.ts";
import { pageOf as documentPage } from "../../../lib/cli/report/page.ts";
import { Study } from "../../../lib/cli/lab/study.ts";
import { comparisonDocument } from "../../../lib/cli/report/comparison_document.ts";
import type { Measurement } from "../../../lib/cli/report/measurement.ts";
import { runDocument } from "../../../lib/cli/report/run_document.ts";
import { readRun, type RunRecord } from "../../../lib/cli/report/run_record.ts";
import {
  type Found,
  minimalDocument,
} from "../../../lib/lab/minimal/document.ts";
import { answerTo } from "../../../lib/lab/minimal/search.ts";
import { museumDocument } from "../../../lib/lab/museum/document.ts";
import { exhibits } from "../../../lib/lab/museum/exhibits.ts";
import type { Outcome } from "../../../lib/lab/outcome.ts";
import type { Rung } from "../../../lib/lab/works.ts";
import { CounterRandom, Purpose } from "../../../kernels/random.ts";
import { Tokenizer } from "../../../lib/text/tokenizer.ts";
import { type SyntheticRun, writeSyntheticRun } from "./synthetic_run.ts";

const docs = join(dirname(fromFileUrl(import.meta.url)), "../../../docs");

/** Writes runs with these names and reads them. */
export async function recordsOf(
  runs: Readonly<Record<string, SyntheticRun>>,
): Promise<RunRecord[]> {
  const directory = await Deno.makeTempDir({ prefix: "lm-" });
  try {
    return await Promise.all(
      Object.entries(runs).map(async ([name, run]) => {
        const path = join(directory, name);
        await writeSyntheticRun(path, run);
        return await readRun(path);
      }),
    );
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** The page that compares runs, by their names. */
export async function comparisonOf(
  runs: Readonly<Record<string, SyntheticRun>>,
): Promise<string> {
  return await documentPage(comparisonDocument(await recordsOf(runs)));
}

/** Nothing that a page could show beyond what its run wrote down. */
export const unmeasured: Measurement = {
  ...{ yardsticks: [], textProblem: undefined },
  ...{ reading: undefined, modelProblem: undefined },
};

/** The page about one run. */
export async function pageOf(
  run: SyntheticRun,
  measurement: Measurement = unmeasured,
): Promise<string> {
  const [record] = await recordsOf({ "a-run": run });
  return await documentPage(runDocument(record!, measurement));
}

/** A measurement of a model with so many layers, each with so many heads. */
export function syntheticMeasurement(
  { layers = 2, heads = 2, T = 24 }: {
    readonly layers?: number;
    readonly heads?: number;
    readonly T?: number;
  } = {},
): Measurement {
  const random = new CounterRandom(1, Purpose.init);
  const guess = { id: 65, probability: 1 / 3 };
  const passage = Array.from({ length: 900 }, (_, i) => ({
    ...{ id: 32 + i % 90, loss: 6 * random.uniform(i, 1) },
    guesses: [guess, guess, guess],
  }));
  const map = () =>
    Float64Array.from(
      { length: heads * T * T },
      (_, at) => at % T <= at / T % T ? random.uniform(at, 2) : 0,
    );
  return {
    yardsticks: [
      { name: "uniform", loss: 4.17 },
      { name: "unigram", loss: 3.32 },
      { name: "bigram", loss: 2.49 },
      { name: "trigram", loss: 2.07 },
      { name: "5-gram", loss: 1.77 },
    ],
    textProblem: undefined,
    modelProblem: undefined,
    reading: {
      ...{ passage, prompt: new Int32Array(T).fill(65) },
      maps: Array.from({ length: layers }, map),
      ...{ tokenizer: Tokenizer.ascii(), weights: "best.safetensors" },
      ownText: false,
    },
  };
}

/** The pages that docs/ publishes, by their paths there, made again from what they are made of. */
export async function studyPages(): Promise<Record<string, string>> {
  const pages: Record<string, string> = {
    "lab/museum": await museumAgain(),
    "lab/minimal": await minimalAgain(),
  };
  for (const folder of ["lab", "recipe"]) {
    for await (const { name } of Deno.readDir(join(docs, folder))) {
      const path = join(docs, folder, name);
      if (await isStudy(path)) {
        pages[`${folder}/${name}`] = await studyAgain(path);
      }
    }
  }
  return pages;
}

async function isStudy(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(join(path, "plan.json"))).isFile;
  } catch (error) {
    if (
      error instanceof Deno.errors.NotFound ||
      error instanceof Deno.errors.NotADirectory
    ) return false;
    throw error;
  }
}

async function studyAgain(path: string): Promise<string> {
  const directory = await Deno.makeTempDir({ prefix: "lm-" });
  try {
    for await (const { name, isFile } of Deno.readDir(path)) {
      if (isFile) await Deno.copyFile(join(path, name), join(directory, name));
    }
    await writeReport(await Study.open(directory));
    return await Deno.readTextFile(join(directory, "report.html"));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function museumAgain(): Promise<string> {
  const text = await Deno.readTextFile(join(docs, "lab/museum/findings.json"));
  const { exhibits: found, ...making } = JSON.parse(text);
  const shown = found.map((finding: { readonly name: string }) => ({
    exhibit: exhibits.find(({ name }) => name === finding.name)!,
    finding: finding as never,
  }));
  return await documentPage(museumDocument(shown, making));
}

/** What a search for the smallest model was asked for. */
export const searchOptions: Found["options"] = {
  ...{ name: "default", data: "a text", steps: 6000 },
  ...{ least: 1000, most: 100_000 },
};

async function minimalAgain(): Promise<string> {
  const path = join(docs, "lab/minimal");
  const read = async (name: string) =>
    (await Deno.readTextFile(join(path, name, "trials.jsonl"))).trim()
      .split("\n").map((line): Outcome => JSON.parse(line));
  const rounds = await Promise.all(["round-1", "round-2", "round-3"].map(read));
  const confirmed = await read("confirmation");
  // The same text has the same ladder.
  const ladder = join(docs, "lab/ablate/ladder.json");
  const rungs: Rung[] = JSON.parse(await Deno.readTextFile(ladder));
  const search = { cells: [], rounds, confirmed };
  return await documentPage(minimalDocument({
    ...{ ...search, options: searchOptions, own: search, others: [], rungs },
    answers: [1.88, 1.732, ...rungs].map((target) => answerTo(target, search)),
    known: [
      { name: "nanoGPT for a CPU", parameters: 804_096, loss: 1.88 },
      { name: "the original", parameters: 826_240, loss: 1.732 },
    ],
  }));
}
