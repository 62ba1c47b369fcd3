/**
 * A study's directory.
 *
 *     plan.json        the trials to run (lib/lab/plan.ts)
 *     trials/ID.json   the outcome of each trial, written when it ends
 *     trials.jsonl     all outcomes in the plan's order, one a line, by `lab merge`
 *     report.md        the report, by `lab report`
 *     report.html      the same with charts
 *     ladder.json      the rungs of the text, by `lab report`
 *     orders.json      measured effects of the order of tokens, by the report of `lab positions`
 *
 * Processes share a directory: a trial that runs is locked, and a crash unlocks it.
 */

import { join } from "@std/path";
import { mergeOutcomes, type Outcome } from "../../lab/outcome.ts";
import { checkPlan, type Plan } from "../../lab/plan.ts";
import type { Document } from "../../report/document.ts";
import { markdown } from "../../report/markdown.ts";
import { commandError, reasonOf } from "../command/errors.ts";
import { program } from "../command/program.ts";
import { STDIN } from "../text/text_source.ts";
import {
  exists,
  ifThere,
  MadeDirectories,
  readLineGroups,
  replaceFile,
  writeAllSync,
} from "../run/files.ts";
import { reasonGiven } from "../../refusal.ts";

/** Names of the files. */
export const files = {
  plan: "plan.json",
  trials: "trials",
  merged: "trials.jsonl",
  report: "report.md",
  page: "report.html",
  ladder: "ladder.json",
  orders: "orders.json",
} as const;

/** A study on disk. */
export class Study {
  readonly path: string;
  readonly plan: Plan;

  private constructor(path: string, plan: Plan) {
    this.path = path;
    this.plan = plan;
  }

  /**
   * Opens a study.
   *
   * @throws {CommandError} if its plan cannot be read or is invalid
   */
  static async open(path: string): Promise<Study> {
    const file = join(path, files.plan);
    let text: string;
    try {
      text = await Deno.readTextFile(file);
    } catch (error) {
      throw commandError(
        `read ${file}`,
        reasonOf(error),
        "a study is a directory with a plan.json",
      );
    }
    let plan: Plan;
    try {
      plan = checkPlan(JSON.parse(text));
    } catch (error) {
      throw commandError(`use ${file}`, reasonGiven(error));
    }
    if (plan.data === STDIN) {
      throw commandError(
        `use ${file}`,
        "its data is standard input, which can be read only once",
        "name a file: every process of a study reads its text",
      );
    }
    return new Study(path, plan);
  }

  /**
   * Opens a study, or starts it with a plan.
   *
   * @throws {CommandError} if the directory holds another plan, or cannot be written
   */
  static async start(path: string, plan: Plan): Promise<Study> {
    const text = `${JSON.stringify(checkPlan(plan), null, 2)}\n`;
    const file = join(path, files.plan);
    if (!await exists(file)) {
      const study = new Study(path, plan);
      using _made = await MadeDirectories.make(path);
      await study.write(files.plan, text);
      return study;
    }
    const study = await Study.open(path);
    if (`${JSON.stringify(study.plan, null, 2)}\n` === text) return study;
    throw commandError(
      `start a study in ${path}`,
      "it holds another plan",
      `${program()} lab run ${path} resumes that plan; --out DIR starts a study elsewhere`,
    );
  }

  /**
   * Returns the outcomes of the trials so far, run here or merged before.
   *
   * @throws {CommandError} if the plan has changed since one of them ran
   */
  async outcomes(): Promise<Outcome[]> {
    const merged = await this.#merged();
    const folder = join(this.path, files.trials);
    const own: Outcome[] = [];
    const entries = Array.fromAsync(Deno.readDir(folder));
    const found = await ifThere(folder, entries) ?? [];
    // In one order, so that of several faults the same one is named each time.
    for (const name of found.map(({ name }) => name).toSorted()) {
      if (!name.endsWith(".json")) continue;
      const file = join(folder, name);
      const text = await ifThere(file, Deno.readTextFile(file));
      if (text !== undefined) own.push(parseOutcome(text, file));
    }
    return this.gather([merged, own]);
  }

  /**
   * Merges lists of outcomes into one outcome for each trial that has one.
   *
   * @throws {CommandError} if one of them ran with another plan
   */
  gather(lists: readonly (readonly Outcome[])[]): Outcome[] {
    try {
      return mergeOutcomes(this.plan, lists);
    } catch (error) {
      throw commandError(
        `use the outcomes of ${this.path}`,
        reasonGiven(error),
        "give a changed cell a new name, and put a changed base into a new study",
      );
    }
  }

  /** Reads measurements from a file; without the file, makes them and saves them there. */
  async saved<Value>(
    name: string,
    measure: () => Promise<Value>,
  ): Promise<Value> {
    const path = join(this.path, name);
    const text = await ifThere(path, Deno.readTextFile(path));
    if (text !== undefined) {
      return parseFile(text, path, {
        is: () => true,
        complaint: "it is not JSON",
        hint: "remove it, and lab report makes it again",
      });
    }
    const value = await measure();
    await this.write(name, `${JSON.stringify(value, null, 2)}\n`);
    return value;
  }

  /** Returns true if a trial has an outcome and need not run. */
  async isDone(id: string): Promise<boolean> {
    if (await exists(this.#outcomePath(id))) return true;
    return (await this.#merged()).some((outcome) => outcome.id === id);
  }

  /**
   * Locks a trial for this process; undefined if another one runs it, or has finished it meanwhile. It stays
   * locked until it is disposed of.
   */
  async claim(id: string): Promise<Claim | undefined> {
    const path = this.#outcomePath(id);
    try {
      await Deno.mkdir(join(this.path, files.trials), { recursive: true });
      const file = await Deno.open(`${path}.partial`, {
        create: true,
        write: true,
      });
      const isOurs = await file.tryLock(true);
      if (isOurs && !await this.isDone(id)) return new Claim(path, file);
      file.close();
      if (!isOurs) return undefined;
      // The other process's file has its final name by now: the file opened here is new and empty.
      const partial = `${path}.partial`;
      await ifThere(partial, Deno.remove(partial));
      return undefined;
    } catch (error) {
      throw commandError(`write ${path}`, reasonOf(error));
    }
  }

  /** Replaces the list of all outcomes. */
  async merge(outcomes: readonly Outcome[]): Promise<string> {
    const lines = outcomes.map((outcome) => `${JSON.stringify(outcome)}\n`);
    return await this.write(files.merged, lines.join(""));
  }

  /** Replaces one of the study's files; returns its path. */
  async write(name: string, text: string): Promise<string> {
    const path = join(this.path, name);
    await replaceFile(path, text);
    return path;
  }

  async #merged(): Promise<Outcome[]> {
    const path = join(this.path, files.merged);
    const outcomes: Outcome[] = [];
    for await (const lines of readLineGroups(path)) {
      for (const line of lines) {
        if (line !== "") outcomes.push(parseOutcome(line ?? "", path));
      }
    }
    return outcomes;
  }

  #outcomePath(id: string): string {
    return join(this.path, files.trials, `${id}.json`);
  }
}

/** A trial that this process runs. */
export class Claim implements Disposable {
  readonly #path: string;
  readonly #file: Deno.FsFile;

  constructor(path: string, file: Deno.FsFile) {
    this.#path = path;
    this.#file = file;
  }

  /** Saves its outcome. */
  async keep(outcome: Outcome): Promise<void> {
    const text = `${JSON.stringify(outcome, null, 2)}\n`;
    try {
      await this.#file.truncate();
      writeAllSync(this.#file, new TextEncoder().encode(text));
      await this.#file.sync();
      await Deno.rename(`${this.#path}.partial`, this.#path);
    } catch (error) {
      throw commandError(`write ${this.#path}`, reasonOf(error));
    }
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/**
 * Parses a JSON file.
 *
 * @throws {CommandError} with the complaint, unless the file holds JSON and its value `is` right
 */
export function parseFile<Value>(
  text: string,
  path: string,
  { is, complaint, hint }: {
    readonly is: (value: Value) => boolean;
    readonly complaint: string;
    readonly hint: string;
  },
): Value {
  try {
    const value = JSON.parse(text);
    if (is(value)) return value;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw commandError(`read ${path}`, complaint, hint);
}

function parseOutcome(text: string, path: string): Outcome {
  return parseFile(text, path, {
    is: (outcome: Partial<Outcome> | null) =>
      typeof outcome?.id === "string" &&
      typeof outcome.setting?.train === "object",
    complaint: "it does not hold the outcome of a trial",
    hint: "remove it, and lab run runs the trial again",
  }) as Outcome;
}

/** Writes the Markdown, and then the page, which needs packages that may not be here; returns the Markdown. */
export async function writeDocument(
  directory: string,
  document: Document,
): Promise<string> {
  const { pageOf } = await import("../report/page.ts");
  const text = markdown(document);
  await replaceFile(join(directory, files.report), text);
  await replaceFile(join(directory, files.page), await pageOf(document));
  return text;
}
