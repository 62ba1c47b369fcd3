/** `lab run`: the trials of a study, each skipped if it is done or another process runs it. */

import { DeviceLostError } from "../../backends/backend.ts";
import { openBackend } from "../../backends/open.ts";
import { trainingWork } from "../../checks/device_choice.ts";
import { type PlanTokenizer, type Trial, trialsOf } from "../../lab/plan.ts";
import { runPositionTrial } from "../../lab/positions/measure.ts";
import { runTrial, splitsOf, trainingOf } from "../../lab/trial.ts";
import { Examiner } from "../../lab/works.ts";
import { isRefusal, reasonGiven } from "../../refusal.ts";
import type { Arguments } from "../command/arguments.ts";
import { loadCorpus } from "../text/corpus.ts";
import type { Corpus } from "../text/corpus_tokens.ts";
import { openTokenizer } from "../text/tokenizer_choice.ts";
import { deviceName } from "../verbs/device_name.ts";
import {
  CommandError,
  commandError,
  exitCode,
  usageError,
} from "../command/errors.ts";
import { Interrupt } from "../terminal/interrupt.ts";
import { placement, placementFor } from "../verbs/placement.ts";
import { duration } from "../../report/numbers.ts";
import { program, VERSION } from "../command/program.ts";
import { canRedraw, StatusLine, writeError } from "../terminal/terminal.ts";
import { Pace } from "./pace.ts";
import { files, Study } from "./study.ts";
import type { LabRunFlags } from "./flags.ts";

/** Runs the rest of a study; returns the exit code. */
export async function labRun(
  { flags, operand }: Arguments<LabRunFlags>,
): Promise<number> {
  placement(flags);
  const study = await openStudy(operand);
  const code = await runStudy(study, flags);
  if (code === exitCode.ok && flags.shard === undefined) {
    await printProgress(study);
  }
  return code;
}

/** Prints how much of a study is done, and what to do next. */
async function printProgress(study: Study): Promise<void> {
  const { length: done } = await study.outcomes();
  const { length: planned } = trialsOf(study.plan);
  writeError(
    done === planned
      ? `all ${planned} trials are done: ${program()} lab report ${study.path}\n`
      : `${done} of ${planned} trials are done; other processes run the rest\n`,
  );
}

/** Runs the rest of a study, here or in processes that share it; returns the exit code. */
export async function runStudy(
  study: Study,
  flags: Partial<LabRunFlags>,
): Promise<number> {
  const trials = shardOf(trialsOf(study.plan), flags.shard);
  const done = idsOf(await study.outcomes()).intersection(idsOf(trials));
  if (trials.every(({ id }) => done.has(id))) return exitCode.ok;
  const pace = new Pace("trials", {
    total: trials.length,
    before: done.size,
  });
  if (flags.jobs !== undefined) {
    return await share(study, flags, { pace, isOurs: idsOf(trials) });
  }
  using interrupt = new Interrupt();
  interrupt.doing = "stopping; finished trials are kept";
  const { signal } = interrupt;
  const { measure } = study.plan;
  const texts = new Map<PlanTokenizer, Promise<Corpus>>();
  /** Reads the text of a trial; trials with the same tokenizer share it. */
  const textOf = ({ setting }: Trial) => {
    const text = texts.get(setting.tokenizer) ?? readText(setting, signal);
    texts.set(setting.tokenizer, text);
    return text;
  };
  const runOne = measure === "positions" ? runPositionTrial : runTrial;
  const next = trials.find(({ id }) => !done.has(id))!;
  const first = await textOf(next);
  const { tokenizer, tokens } = first;
  const examiner = measure === "works"
    ? openExaminer({ ...splitsOf(tokens), tokenizer, signal })
    : undefined;
  const { device, ...options } = await placementFor(
    trainingWork(trainingOf(next.setting, first.tokenizer)),
    { blas: "off", ...flags },
  );
  await using backend = await openBackend(device, options);
  const machine = `lm ${VERSION}, Deno ${Deno.version.deno}, ${
    deviceName(backend)
  }`;
  writeError(`${study.path}: ${trials.length} trials on ${machine}\n`);
  const status = new StatusLine();
  for (const trial of trials) {
    if (signal.aborted) return interrupt.exitCode;
    if (await study.isDone(trial.id)) {
      done.add(trial.id);
      continue;
    }
    using claim = await study.claim(trial.id);
    if (claim === undefined) continue;
    try {
      const { tokenizer, tokens } = await textOf(trial);
      const outcome = await runOne(trial, {
        ...{ backend, tokenizer, tokens, examiner, signal },
        sample: measure === "sample",
        onStep: (step, of) =>
          status.show((width) =>
            `${pace.text(done.size)}  ${trial.id}: step ${step}/${of}`
              .slice(0, width)
          ),
      });
      await claim.keep({ ...outcome, machine });
      done.add(trial.id);
      const { valLoss, seconds, diverged } = outcome;
      status.clear();
      writeError(
        `${trial.id}: ${
          diverged
            ? `diverged at step ${diverged.step}`
            : `validation loss ${valLoss!.toFixed(4)}`
        } in ${duration(seconds)}\n`,
      );
    } catch (error) {
      status.clear();
      if (signal.aborted) return interrupt.exitCode;
      throw trialError(error, trial);
    }
  }
  return exitCode.ok;
}

async function readText(
  { data, documents, tokenizer }: Trial["setting"],
  signal: AbortSignal,
): Promise<Corpus> {
  return await loadCorpus(data, {
    ...{ documents: documents ?? false, signal, mayAddEnd: true },
    tokenizer: await openTokenizer(tokenizer, signal),
  });
}

/** Makes an examiner; its refusal of a text names the remedy. */
function openExaminer(
  corpus: ConstructorParameters<typeof Examiner>[0],
): Examiner {
  try {
    return new Examiner(corpus);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    const hint = "--measure sample, also a plan's, needs less text";
    throw commandError(error.action, error.reason, hint);
  }
}

/** Opens the study that an argument names. */
export async function openStudy(operand: string | undefined): Promise<Study> {
  if (operand === undefined) {
    throw usageError(
      "find the study",
      "no directory was given",
      `give the directory that holds its ${files.plan}`,
    );
  }
  return await Study.open(operand);
}

/** Returns the trials of one part. */
function shardOf(trials: readonly Trial[], shard = "1/1"): readonly Trial[] {
  const [index, count] = shard.split("/").map(Number) as [number, number];
  return trials.filter((_, place) => place % count === index - 1);
}

/** Returns the ids of trials or outcomes. */
function idsOf(list: readonly { readonly id: string }[]): Set<string> {
  return new Set(list.map(({ id }) => id));
}

/** Milliseconds between two checks of the other processes' progress. */
const LOOK_MS = 1000;

/** Starts several processes for the work. They see each other's locks; this process shows their progress. */
async function share(
  study: Study,
  { jobs = 1, shard = "1/1", device, threads = 1, blas = "off" }: Partial<
    LabRunFlags
  >,
  { pace, isOurs }: {
    readonly pace: Pace;
    readonly isOurs: ReadonlySet<string>;
  },
): Promise<number> {
  const args = ["lab", "run", study.path, "--shard", shard];
  if (device !== undefined) args.push("--device", device);
  if (device === undefined || device === "wasm") {
    args.push("--threads", String(threads), "--blas", blas);
  }
  using interrupt = new Interrupt();
  const children = Array.from(
    { length: jobs },
    () =>
      new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", Deno.mainModule, ...args],
        // Lines of the other processes are printed here, around one status line for all.
        stderr: "piped",
      }).spawn(),
  );
  const status = new StatusLine();
  const show = async () => {
    const done = idsOf(await study.outcomes()).intersection(isOurs).size;
    status.show((width) => pace.text(done).slice(0, width), { now: true });
  };
  // Outcomes that cannot be read are reported by the processes that need them.
  const look = () =>
    show().catch((error) => {
      if (!(error instanceof CommandError)) throw error;
      status.clear();
    });
  const timer = canRedraw() ? setInterval(look, LOOK_MS) : undefined;
  // Ctrl-C in a terminal reaches the other processes too; a signal to this process alone does not.
  interrupt.signal.addEventListener("abort", () => {
    for (const child of children) {
      try {
        child.kill("SIGTERM");
      } catch (error) {
        // The process has ended.
        if (!(error instanceof TypeError)) throw error;
      }
    }
  });
  const codes = await Promise.all(children.map(async (child) => {
    const text = child.stderr.pipeThrough(new TextDecoderStream());
    for await (const piece of text) {
      status.clear();
      writeError(piece);
    }
    return (await child.status).code;
  }));
  clearInterval(timer);
  status.clear();
  return interrupt.signal.aborted ? interrupt.exitCode : Math.max(...codes);
}

function trialError(error: unknown, { id }: Trial): unknown {
  if (error instanceof CommandError || !(error instanceof Error)) return error;
  return error instanceof RangeError || error instanceof DeviceLostError
    ? commandError(`run trial ${id}`, reasonGiven(error))
    : error;
}
