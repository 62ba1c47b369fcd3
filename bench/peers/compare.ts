/**
 * Measures several peers in turn, round by round, one of them working at a time,
 * and prints a Markdown table of medians, spread and ratios to the first peer.
 *
 *     deno run -A bench/peers/compare.ts [--peers lm,torch,jax,tfjs]
 *       [--work step|generate|matmul|memory|startup] [--rounds 5]
 *       [--preset original] [--steps 3] [--batch 1] [--tokens 120]
 *       [--repeats 20] [--form nt] [--device wasm] [--threads 2] [--cli-threads]
 */

import { commandOf, commands, Peer } from "./peer.ts";
import type { Answer, Command } from "./protocol.ts";
import { trainCommand } from "./train_command.ts";
import { readFlags } from "../../tools/flags.ts";
import { median } from "../../tools/soak/trend.ts";

const { flags } = readFlags({
  ...{ peers: "lm,torch,jax,tfjs", work: "step", rounds: "5" },
  ...{ preset: "original", steps: "3", batch: "1", tokens: "120" },
  ...{ repeats: "20", form: undefined, device: "wasm", threads: "2" },
  ...{ python: "/usr/bin/python3" }, // where Debian's python3-torch is found
  ...{ "cli-threads": false as const },
});
const names = flags.peers.split(",");
const rounds = Number(flags.rounds);
const { preset } = flags;

/** The products of `original`: forward and input gradients, then weight gradients. */
const products: readonly Command[] = [
  ...(["nt", "nn"] as const).flatMap((form) =>
    [[384, 128], [128, 128], [512, 128], [128, 512]].map(([N, K]) => ({
      ...{ work: "matmul", form, M: 2048, N: N!, K: K! },
    }))
  ),
  ...[[384, 128], [128, 128], [512, 128], [128, 512]].map(([M, N]) => ({
    ...{ work: "matmul", form: "tn" as const, M: M!, N: N!, K: 2048 },
  })),
];

/** A measured number of an answer, and whether more of it is better. */
interface Measure {
  readonly title: string;
  readonly key: string;
  readonly digits: number;
  readonly moreIsBetter: boolean;
  /** One value; `peer` starts or finds the peer of that name. */
  readonly measure: (name: string) => Promise<Answer>;
}

const running = new Map<string, Peer>();

async function start(name: string): Promise<Peer> {
  const command = commandOf(name, flags);
  if (command === undefined) {
    throw new RangeError(
      `Cannot compare ${name}: it is none of ${Object.keys(commands)}`,
    );
  }
  const peer = new Peer(command);
  await peer.ready();
  return peer;
}

/** Asks a peer that stays alive between rounds. */
async function ask(name: string, command: Command): Promise<Answer> {
  let peer = running.get(name);
  if (peer === undefined) {
    peer = await start(name);
    running.set(name, peer);
  }
  return await peer.ask(command);
}

/** Runs commands in a process of their own: the time since its start is `milliseconds`. */
async function anew(name: string, ...asked: Command[]): Promise<Answer> {
  const begun = performance.now();
  const peer = await start(name);
  try {
    let answer: Answer = {};
    for (const command of asked) {
      answer = await peer.ask(command);
      if (answer.error !== undefined) return answer;
    }
    return { ...answer, milliseconds: performance.now() - begun };
  } finally {
    await peer.stop();
  }
}

const cli = { ...flags, cliThreads: flags["cli-threads"] };

/** Steps after which a training process has all the memory it will need. */
const MEMORY_STEPS = 20;

function measures(): Measure[] {
  const shared = { moreIsBetter: false, digits: 1 };
  switch (flags.work) {
    case "step": {
      const command = { work: "step", preset, steps: Number(flags.steps) };
      return [{
        ...shared,
        title: `step ${preset}, ms`,
        key: "milliseconds",
        measure: (name) => ask(name, command),
      }];
    }
    case "generate": {
      const [batch, tokens] = [Number(flags.batch), Number(flags.tokens)];
      return [{
        title: `generate, batch ${batch}, tokens/s`,
        key: "tokensPerSecond",
        digits: 0,
        moreIsBetter: true,
        measure: (name) => ask(name, { work: "generate", batch, tokens }),
      }];
    }
    case "matmul": {
      const repeats = Number(flags.repeats);
      const chosen = products.filter(({ form }) =>
        flags.form === undefined || form === flags.form
      );
      return chosen.map((command) => ({
        title:
          `matmul ${command.form} ${command.M}x${command.N}x${command.K}, GFLOP/s`,
        key: "gflops",
        digits: 1,
        moreIsBetter: true,
        measure: (name) => ask(name, { ...command, repeats }),
      }));
    }
    case "startup":
      return [{
        ...shared,
        title: `start of the process to first step of ${preset}, ms`,
        key: "milliseconds",
        digits: 0,
        measure: (name) =>
          name === "lm"
            ? trainCommand(preset, 1, cli)
            : anew(name, { work: "step", preset, steps: 1, warm: false }),
      }];
    case "memory":
      return [{
        ...shared,
        title: `peak resident memory, training ${preset}, MB`,
        key: "peakMegabytes",
        digits: 0,
        measure: (name) =>
          name === "lm" ? trainCommand(preset, MEMORY_STEPS, cli) : anew(
            name,
            { work: "step", preset, steps: MEMORY_STEPS, warm: false },
            { work: "memory" },
          ),
      }];
    default:
      throw new RangeError(
        `Cannot compare: work ${flags.work} is none of step, generate, matmul, startup, memory`,
      );
  }
}

/** Returns the ratio to the first peer, oriented so that more than 1 means the first peer is better. */
function ratio(
  value: number,
  base: number | undefined,
  moreIsBetter: boolean,
): string {
  if (base === undefined) return "";
  return (moreIsBetter ? base / value : value / base).toFixed(2);
}

async function compare(measure: Measure): Promise<void> {
  const { title, key, digits, moreIsBetter } = measure;
  const values = new Map<string, number[]>(names.map((name) => [name, []]));
  const errors = new Map<string, string>();
  // The first round warms up caches and compilers and is not counted.
  for (let round = 0; round <= rounds; round++) {
    for (const name of names) {
      if (errors.has(name)) continue;
      const answer = await measure.measure(name);
      if (answer.error !== undefined) errors.set(name, String(answer.error));
      else if (round > 0) values.get(name)!.push(Number(answer[key]));
    }
  }
  const first = errors.has(names[0]!)
    ? undefined
    : median(values.get(names[0]!)!);
  console.log(`\n${title}\n`);
  console.log(
    `| peer | median | min | max | ${names[0]} is better by | rounds |`,
  );
  console.log("| :-- | --: | --: | --: | --: | :-- |");
  for (const name of names) {
    const error = errors.get(name);
    if (error !== undefined) {
      console.log(`| ${name} | | | | | ${error.replaceAll("\n", " ")} |`);
      continue;
    }
    const all = values.get(name)!;
    const middle = median(all);
    const cells = [middle, Math.min(...all), Math.max(...all)]
      .map((value) => value.toFixed(digits));
    const each = all.map((value) => value.toFixed(digits)).join(" ");
    console.log(
      `| ${name} | ${cells.join(" | ")} | ${
        ratio(middle, first, moreIsBetter)
      } | ${each} |`,
    );
  }
}

try {
  for (const measure of measures()) await compare(measure);
  const titles = [...running].map(([name, { title }]) => `${name}: ${title}`);
  if (titles.length > 0) console.log(`\n${titles.join("; ")}`);
  const load = Deno.loadavg().map((value) => value.toFixed(1)).join(" ");
  console.log(`\nLoad averages at the end: ${load}.`); // much above 1: others were working
} finally {
  for (const peer of running.values()) await peer.stop();
}
