/**
 * Tests that training runs survive being killed:
 *
 *     deno run -A tools/kill_runs.ts --kills 200 --seed 1 [--blas auto|off|PATH]
 *
 * A small run is trained once in peace. Then the same run is started again, killed, resumed,
 * killed, and so on until it is complete, and its files must equal those of the first run: the
 * same checkpoints bit for bit, each event once. So it goes, run after run, until there
 * were so many kills. Every other kill comes from outside after a random time, the others hit a
 * random file operation (`faults/dying_run.ts`). What differs is kept and named, and the exit code is 1.
 */

import { fromFileUrl, join } from "@std/path";
import { CounterRandom, Purpose } from "../kernels/random.ts";
import type { Death } from "./faults/dying_run.ts";
import { differences, readRunRecord } from "./faults/run_record.ts";
import { readFlags, refuseArguments } from "./flags.ts";

const path = (name: string) => fromFileUrl(new URL(name, import.meta.url));
const cli = path("../cli.ts");
const dyingRun = path("faults/dying_run.ts");

const STEPS = 300;

/** The run: checkpoints at every 5th step, evaluations and samples at and between them. */
const TRAIN = [
  ..."train --preset tiny --device wasm --data text.txt --out run".split(" "),
  ..."--n-layer 1 --n-head 2 --n-embd 16 --block-size 16".split(" "),
  ...`--steps ${STEPS} --checkpoint-interval 5`.split(" "),
  ..."--eval-interval 15 --sample-interval 35".split(" "),
];
const RESUME = "train --resume run --device wasm".split(" ");

const { flags } = readFlags({ kills: "200", seed: "1", blas: "auto" });
const WHERE = ["--blas", flags.blas];

const TEXT = "the cat sat on the mat\nand that was that.\n".repeat(60);

/** Descriptions of the file operations by which a run changes its directory, with the largest number of each to wait for. */
const operations: readonly [of: string, most: number][] = [
  ["", 200], // any
  ["write metrics.jsonl", 120],
  ["write checkpoint", 12],
  ["sync checkpoint", 12],
  ["rename checkpoint", 12],
  ["rename best", 3],
  ["write samples.txt", 2],
  ["rename ", 16],
];

const moments = ["before", "half", "after"] as const;

/** The way in which a process ended. */
type Ending = "killed" | "complete" | { readonly error: string };

class Victim {
  readonly #random: CounterRandom;
  #drawn = 0;
  /** Milliseconds that an undisturbed run takes. */
  #wholeTime = 0;
  kills = { "from outside": 0, "at a file operation": 0 };
  /** Sessions that resumed a run, and sessions that started it anew. */
  sessions = { resumed: 0, begun: 0 };

  constructor(seed: number) {
    this.#random = new CounterRandom(seed, Purpose.batch);
  }

  /** Returns an integer in [0, end). */
  below(end: number): number {
    return this.#random.below(end, this.#drawn++, 0);
  }

  get killed(): number {
    return Object.values(this.kills).reduce((sum, count) => sum + count);
  }

  /** Trains the run that nothing disturbs. */
  async inPeace(cwd: string): Promise<void> {
    const began = performance.now();
    const ending = await runProcess(["run", "-A", cli, ...TRAIN], cwd);
    this.#wholeTime = performance.now() - began;
    if (ending !== "complete") throw new Error(JSON.stringify(ending));
  }

  /** Runs one session of a run, which is killed unless it ends first. */
  async session(args: readonly string[], cwd: string): Promise<Ending> {
    const fromOutside = this.below(2) === 0;
    const death = this.#death();
    const afterMs = this.below(Math.ceil(this.#wholeTime));
    const ending = fromOutside
      ? await runProcess(["run", "-A", cli, ...args], cwd, afterMs)
      : await runProcess(
        ["run", "-A", dyingRun, JSON.stringify(death), ...args],
        cwd,
      );
    if (ending === "killed") {
      this.kills[fromOutside ? "from outside" : "at a file operation"]++;
    }
    return ending;
  }

  #death(): Death {
    const [of, most] = operations[this.below(operations.length)]!;
    const moment = moments[this.below(moments.length)]!;
    return { of, nth: 1 + this.below(most), moment };
  }
}

async function runProcess(
  args: readonly string[],
  cwd: string,
  killAfterMs?: number,
): Promise<Ending> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const timer = killAfterMs === undefined
    ? undefined
    : setTimeout(() => child.kill("SIGKILL"), killAfterMs);
  const { code, signal, stderr } = await child.output();
  clearTimeout(timer);
  if (signal === "SIGKILL") return "killed";
  if (code === 0) return "complete";
  return { error: new TextDecoder().decode(stderr).slice(-2000) };
}

/** Trains, kills and resumes one run to its end; returns what is wrong with it. */
async function survive(
  victim: Victim,
  cwd: string,
  mostKills: number,
): Promise<string[]> {
  const run = join(cwd, "run");
  const ifThere = <Value>(operation: Promise<Value>) =>
    operation.catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  while (true) {
    const begun =
      await ifThere(Deno.stat(join(run, "checkpoint.safetensors"))) !==
        undefined;
    // A run killed before its first checkpoint cannot be resumed.
    if (!begun) await ifThere(Deno.remove(run, { recursive: true }));
    const args = [...begun ? RESUME : TRAIN, ...WHERE];
    victim.sessions[begun ? "resumed" : "begun"]++;
    const ending = victim.killed < mostKills
      ? await victim.session(args, cwd)
      : await runProcess(["run", "-A", cli, ...args], cwd);
    if (ending === "complete") return [];
    if (ending !== "killed") return [ending.error];
  }
}

async function main(): Promise<number> {
  const [kills, seed] = [Number(flags.kills), Number(flags.seed)];
  if (!(kills >= 1)) refuseArguments(`${flags.kills} is no number of kills`);
  const place = await Deno.makeTempDir({ prefix: "lm-kills-" });
  const newPlace = async (name: string) => {
    const cwd = join(place, name);
    await Deno.mkdir(cwd);
    await Deno.writeTextFile(join(cwd, "text.txt"), TEXT);
    return cwd;
  };
  const victim = new Victim(seed);
  const peace = await newPlace("peace");
  await victim.inPeace(peace);
  const expected = await readRunRecord(join(peace, "run"));

  let runs = 0;
  let lost = 0;
  while (victim.killed < kills) {
    const had = victim.killed;
    const cwd = await newPlace(`run-${++runs}`);
    const wrong = await survive(victim, cwd, kills);
    if (wrong.length === 0) {
      const record = await readRunRecord(join(cwd, "run"));
      wrong.push(...differences(record, expected));
    }
    console.log(
      `run ${runs}: ${victim.killed - had} kills, ` +
        (wrong.length === 0 ? "survived" : `LOST in ${cwd}`),
    );
    for (const line of wrong) console.log(`  ${line}`);
    if (wrong.length > 0) lost++;
    else await Deno.remove(cwd, { recursive: true });
  }
  const kinds = Object.entries(victim.kills)
    .map(([kind, count]) => `${count} ${kind}`).join(", ");
  console.log(
    `${victim.killed} kills (${kinds}) of ${runs} runs of ${STEPS} steps: ` +
      `${runs - lost} runs survived, ${lost} lost; ` +
      `${victim.sessions.resumed} times resumed, ` +
      `${victim.sessions.begun - runs} times begun anew`,
  );
  if (lost > 0) return 1;
  await Deno.remove(place, { recursive: true });
  return 0;
}

if (import.meta.main) Deno.exit(await main());
