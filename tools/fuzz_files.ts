/**
 * Runs the program on damaged files and on misleading names:
 *
 *     deno run -A tools/fuzz_files.ts --cases 500 --seed 1
 *
 * Checkpoints, `config.json`, `metrics.jsonl`, texts, JSON lines, tokenizers and other programs' models, each read by the commands that read it. Whatever
 * the file, a command has to do its work or to explain why it cannot (exit code 1 or 2), in
 * seconds, in memory of the order of the file's size. Anything else is a failure: its
 * directory is kept and named, and the exit code is 1. `--target NAME` damages files of one kind alone.
 */

import { dirname, fromFileUrl, join } from "@std/path";
import {
  Dice,
  spoilBytes,
  spoilJsonText,
  spoilLines,
  spoilSafetensors,
  spoilText,
  strangeNames,
} from "./faults/mutations.ts";
import {
  otherModels,
  spoilGguf,
  spoilHf,
  spoilNanogpt,
} from "./faults/other_models.ts";
import { spoilTokenizer, tokenizerFiles } from "./faults/tokenizers.ts";
import { readFlags, refuseArguments } from "./flags.ts";

const cli = fromFileUrl(new URL("../cli.ts", import.meta.url));

/** The most CPU time of a command, in seconds: ten times what any needs. It is killed after ten times as much by the clock. */
const MOST_SECONDS = 20;

/** The most memory of a command, in MB. An undamaged run needs 140; no file here is larger than 1 MB. */
const MOST_MEGABYTES = 320;

/** Characters that a complaint may have: a line or two, whatever the file says. */
const MOST_CHARACTERS = 4000;

const REFERENCE = ["--device", "reference"];
const TEXT = "the cat sat on the mat\nand that was that.\n".repeat(20);

/** The runs whose files are damaged. */
const bases: readonly (readonly [name: string, flags: string])[] = [
  ["rope", "--tokenizer chars"],
  ["learned", "--tokenizer bytes --position learned --norm layernorm"],
];

const train = (out: string, flags: string) => [
  ..."train --preset tiny --data text.txt --n-layer 1 --n-head 1".split(" "),
  ..."--n-embd 8 --block-size 8 --batch-size 2 --steps 6".split(" "),
  ..."--eval-interval 3 --sample-interval 3 --checkpoint-interval 3".split(" "),
  ...["--out", out, ...flags.split(" "), ...REFERENCE],
];

const resume = (run: string) => [
  ...["train", "--resume", run, "--steps", "8", ...REFERENCE],
];

const onDocuments = (flags: string) =>
  train("new", flags).map((arg) => arg === "text.txt" ? "text.jsonl" : arg);

const tokenizers = tokenizerFiles(TEXT);
const models = await otherModels(TEXT);

/** A kind of file to damage, and the commands that read it. */
interface Target {
  readonly share: number;
  spoil(run: string, dice: Dice): Promise<void>;
  readonly commands: readonly (readonly string[])[];
}

async function rewrite(
  file: string,
  change: (bytes: Uint8Array) => Uint8Array,
): Promise<void> {
  await Deno.writeFile(file, change(await Deno.readFile(file)));
}

const readers = [
  resume("run"),
  [
    ..."train --init run --data text.txt --out new --preset tiny".split(" "),
    ...["--batch-size", "2", "--steps", "2", ...REFERENCE],
  ],
  ["sample", "run", "--tokens", "9", "--seed", "1", ...REFERENCE],
  ["eval", "run", ...REFERENCE],
  ["info", "run"],
];

const targets: Readonly<Record<string, Target>> = {
  checkpoint: {
    share: 9,
    spoil: (run, dice) =>
      rewrite(
        join(run, "checkpoint.safetensors"),
        (bytes) =>
          dice.below(3) === 0
            ? spoilBytes(bytes, dice)
            : spoilSafetensors(bytes, dice),
      ),
    commands: readers,
  },
  "config.json": {
    share: 3,
    spoil: (run, dice) =>
      rewrite(join(run, "config.json"), (bytes) => {
        if (dice.below(3) === 0) return spoilBytes(bytes, dice);
        const text = new TextDecoder().decode(bytes);
        return new TextEncoder().encode(spoilJsonText(text, dice));
      }),
    commands: [resume("run"), ...readers],
  },
  "metrics.jsonl": {
    share: 4,
    spoil: (run, dice) =>
      rewrite(
        join(run, "metrics.jsonl"),
        (bytes) => spoilLines(new TextDecoder().decode(bytes), dice),
      ),
    commands: [resume("run")],
  },
  text: {
    share: 3,
    spoil: (run, dice) =>
      rewrite(join(run, "../text.txt"), (bytes) => spoilText(bytes, dice)),
    commands: [
      train("new", "--tokenizer chars"),
      train("new", "--tokenizer bytes"),
      train("new", "--tokenizer ascii"),
      ["eval", "run", "--data", "text.txt", ...REFERENCE],
      resume("run"),
    ],
  },
  "text.jsonl": {
    share: 1,
    spoil: (run, dice) =>
      rewrite(join(run, "../text.jsonl"), (bytes) => {
        const text = new TextDecoder().decode(bytes);
        return dice.below(2) === 0
          ? spoilText(bytes, dice)
          : spoilLines(text, dice);
      }),
    commands: [
      onDocuments("--tokenizer chars"),
      onDocuments("--tokenizer bytes"),
      onDocuments("--tokenizer bpe:260"),
    ],
  },
  ...Object.fromEntries(
    Object.keys(tokenizers).map((file) => [file, {
      share: 1,
      spoil: (run: string, dice: Dice) =>
        rewrite(
          join(run, "..", file),
          (bytes) => spoilTokenizer(bytes, dice),
        ),
      commands: [train("new", `--steps 1 --tokenizer ./${file}`)],
    }]),
  ),
  hf: {
    share: 3,
    spoil: (run, dice) => spoilHf(join(run, "../hf"), dice),
    commands: [
      ["import", "hf", "--out", "new"],
      ["import", "hf", "--out", "new", "--block-size", "4"],
    ],
  },
  nanogpt: {
    share: 3,
    spoil: (run, dice) => spoilNanogpt(join(run, "../nanogpt"), dice),
    commands: [
      ["import", "nanogpt", "--out", "new"],
      ["import", "nanogpt/ckpt.pt", "--out", "new"],
    ],
  },
  gguf: {
    share: 3,
    spoil: async (run, dice) => {
      for (const name of ["own.gguf", "foreign.gguf"]) {
        const file = join(run, "../gguf", name);
        await rewrite(file, (bytes) => spoilGguf(bytes, dice));
      }
    },
    commands: [
      ["import", "gguf/own.gguf", "--out", "new"],
      ["import", "gguf/foreign.gguf", "--out", "new"],
      ["import", "gguf/foreign.gguf", "--out", "new", "--block-size", "4"],
    ],
  },
  name: {
    share: 1,
    spoil: () => Promise.resolve(),
    commands: [
      ["sample", "NAME", ...REFERENCE],
      resume("NAME"),
      ["eval", "run", "--data", "NAME", ...REFERENCE],
      train("new", "--data NAME"),
      ["import", "NAME", "--out", "new"],
      ["export", "run", "NAME", "--to", "onnx"],
    ],
  },
};

/** The result of a command on a damaged file, or the fault found in it. */
type Verdict = "accepted" | "refused" | { readonly wrong: string };

/** Messages of the engine begin as the program's do. */
const engineMessage =
  /^error: Cannot (read|set) propert|^error: Cannot (convert|destructure|mix|access|assign|redefine|delete|perform)/m;

/** The end of a command: its output, and what it took. */
interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** CPU time of all threads. */
  readonly seconds: number;
  /** The most memory that was resident, in MB. */
  readonly megabytes: number;
}

function judge({ code, stdout, stderr, seconds, megabytes }: Ended): Verdict {
  if (seconds > MOST_SECONDS) return { wrong: `it took ${seconds} s` };
  if (megabytes > MOST_MEGABYTES) return { wrong: `it took ${megabytes} MB` };
  const wrong = (reason: string): Verdict => ({
    wrong: `${reason}: ${stderr.slice(-1500) || stdout.slice(-500)}`,
  });
  // deno-lint-ignore no-control-regex -- a terminal would obey these
  if (/[\x00-\x08\x0b-\x1f\x7f-\x9f]/.test(stderr)) {
    return wrong("control characters");
  }
  if (engineMessage.test(stderr)) return wrong("the engine's own words");
  if (stderr.includes("This should not have happened")) return wrong("a crash");
  if (stderr.length > MOST_CHARACTERS) {
    return { wrong: `${stderr.length} characters: ${stderr.slice(0, 500)}` };
  }
  if (code === 0) return "accepted";
  if (code !== 1 && code !== 2) return wrong(`exit code ${code}`);
  return /^error: Cannot /m.test(stderr) ? "refused" : wrong("no reason");
}

/** Judges the events of a resumed run, which must have repaired what it wrote before. */
async function judgeEvents(path: string): Promise<Verdict> {
  for (const line of (await Deno.readTextFile(path)).trimEnd().split("\n")) {
    try {
      if (typeof JSON.parse(line).event === "string") continue;
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
    return { wrong: `it tells ${line.slice(0, 500)}` };
  }
  return "accepted";
}

interface Case {
  readonly number: number;
  readonly seed: number;
  readonly base: string;
}

class Fuzzer {
  readonly counts = new Map<string, Map<string, number>>();
  failures = 0;
  readonly #names: readonly string[];
  /** The most that any case took. */
  extremes = { seconds: 0, megabytes: 0 };

  /** @param target the kind of file to damage, if it is one alone */
  constructor(target: string | undefined) {
    const known = Object.keys(targets);
    if (target !== undefined && !known.includes(target)) {
      refuseArguments(`${target} is none of ${known.join(", ")}`);
    }
    this.#names = target !== undefined ? [target] : Object.entries(targets)
      .flatMap(([name, { share }]) => Array<string>(share).fill(name));
  }

  /** Damages a file, runs a command on it in a directory of its own, and judges the result. */
  async run({ number, seed, base }: Case): Promise<void> {
    const dice = new Dice(seed, number);
    const name = dice.pick(this.#names);
    const target = targets[name]!;
    // Two folders deep: names that lead upwards find no more than this.
    const own = await Deno.makeTempDir({ prefix: "lm-fuzz-" });
    const place = join(own, "a", "b");
    await Deno.mkdir(place, { recursive: true });
    await copy(base, place);
    await target.spoil(join(place, "run"), dice);
    const strange = dice.pick(strangeNames);
    const args = dice.pick(target.commands)
      .map((arg) => arg === "NAME" ? strange : arg);
    const command = args.map((arg) => JSON.stringify(arg)).join(" ");
    const ended = await run(args, place);
    for (const what of ["seconds", "megabytes"] as const) {
      this.extremes[what] = Math.max(this.extremes[what], ended[what]);
    }
    let verdict = judge(ended);
    if (verdict === "accepted" && args.includes("--resume")) {
      verdict = await judgeEvents(join(place, "run/metrics.jsonl"));
    }
    if (verdict === "accepted" && args[0] === "import") {
      const use = ["sample", "new", "--tokens", "3", "--seed", "1"];
      verdict = judge(await run([...use, ...REFERENCE], place));
    }
    this.#count(name, typeof verdict === "object" ? "wrong" : verdict);
    if (typeof verdict !== "object") {
      return await Deno.remove(own, { recursive: true });
    }
    this.failures++;
    console.log(
      `case ${number}, ${name}, in ${place}: ${command}\n${verdict.wrong}\n`,
    );
  }

  #count(name: string, outcome: string): void {
    const counts = this.counts.get(name) ?? new Map<string, number>();
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    this.counts.set(name, counts);
  }
}

/** Runs a command line in a directory. */
async function run(args: readonly string[], cwd: string): Promise<Ended> {
  const begun = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", cli, ...args],
    cwd,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let used = { seconds: 0, megabytes: 0 };
  const look = setInterval(() => {
    used = usageOf(child.pid) ?? used;
    const isOver = performance.now() - begun > 10_000 * MOST_SECONDS;
    if (isOver || used.megabytes > 10 * MOST_MEGABYTES) child.kill("SIGKILL");
  }, 5);
  const { code, stdout, stderr } = await child.output();
  clearInterval(look);
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: decode(stdout), stderr: decode(stderr), ...used };
}

/** Returns what a process has used so far; undefined if it has ended, or the system is not Linux. */
function usageOf(
  pid: number,
): Pick<Ended, "seconds" | "megabytes"> | undefined {
  try {
    const status = Deno.readTextFileSync(`/proc/${pid}/status`);
    const kilobytes = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]);
    if (Number.isNaN(kilobytes)) return undefined; // it is ending
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    // After the name in parentheses: fields 14 and 15, in hundredths of a second.
    const [user, system] = stat.slice(stat.lastIndexOf(")")).split(" ")
      .slice(12, 14).map(Number) as [number, number];
    return {
      seconds: (user + system) / 100,
      megabytes: Math.round(kilobytes / 1024),
    };
  } catch (error) {
    const hasEnded = error instanceof Deno.errors.NotFound ||
      (error as { code?: string }).code === "ESRCH";
    if (!hasEnded) throw error;
    return undefined;
  }
}

async function copy(from: string, to: string): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) {
      await Deno.mkdir(join(to, name));
      await copy(join(from, name), join(to, name));
    } else await Deno.copyFile(join(from, name), join(to, name));
  }
}

async function makeBase(flags: string): Promise<string> {
  const base = await Deno.makeTempDir({ prefix: "lm-fuzz-base-" });
  const documents = TEXT.trim().split("\n")
    .map((text) => `${JSON.stringify({ text, id: 1 })}\n`).join("");
  const files = { ...tokenizers, "text.txt": TEXT, "text.jsonl": documents };
  for (const [name, text] of Object.entries(files)) {
    await Deno.writeTextFile(join(base, name), text);
  }
  for (const [name, bytes] of models) {
    await Deno.mkdir(join(base, dirname(name)), { recursive: true });
    await Deno.writeFile(join(base, name), bytes);
  }
  const { code, stderr } = await run(train("run", flags), base);
  if (code !== 0) throw new Error(stderr);
  // With this, a copy of the run finds the copy of its text.
  await rewrite(join(base, "run/config.json"), (bytes) => {
    const config = JSON.parse(new TextDecoder().decode(bytes));
    config.data.file = "text.txt";
    config.resumed = [{ step: 3 }];
    return new TextEncoder().encode(JSON.stringify(config));
  });
  return base;
}

async function main(): Promise<number> {
  const { flags } = readFlags({
    ...{ cases: "500", seed: "1", only: undefined, target: undefined },
  });
  const [cases, seed] = [Number(flags.cases), Number(flags.seed)];
  if (!(cases >= 1)) refuseArguments(`${flags.cases} is no number of cases`);
  const made: string[] = [];
  for (const [, flags] of bases) made.push(await makeBase(flags));
  const fuzzer = new Fuzzer(flags.target);
  for (let number = 0; number < cases; number++) {
    if (flags.only !== undefined && number !== Number(flags.only)) continue;
    const base = made[number % made.length]!;
    await fuzzer.run({ number, seed, base });
  }
  for (const [name, counts] of fuzzer.counts) {
    const words = [...counts].map(([outcome, count]) => `${count} ${outcome}`);
    console.log(`${name}: ${words.sort().join(", ")}`);
  }
  const { seconds, megabytes } = fuzzer.extremes;
  console.log(
    `${cases} cases, ${fuzzer.failures} wrong; at most ${
      seconds.toFixed(1)
    } s and ${megabytes} MB`,
  );
  for (const base of made) await Deno.remove(base, { recursive: true });
  return fuzzer.failures === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
