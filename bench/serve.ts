/**
 * Measures `lm serve` over loopback: the speed of one client and of 32, and a minute with 64 clients of which some are
 * slow, some leave and some send rubbish. Fails if the server answers wrongly, keeps texts that nobody waits for, or
 * grows (Linux).
 *
 *     deno run -A bench/serve.ts [CHECKPOINT] [--preset default] [--seconds 60] [--rounds 5] [--device wasm]
 *
 * Without a checkpoint it is a random model of the preset.
 */

import { join } from "@std/path";
import { Model, type PresetName, presets, Tokenizer } from "../mod.ts";
import { readFlags } from "../tools/flags.ts";
import { median } from "../tools/soak/trend.ts";
import { makeGeneric } from "../lib/checks/variants.ts";
import { Clients, quiet } from "./serve_clients.ts";

const { flags, operands } = readFlags({
  ...{ seconds: "60", rounds: "5", device: "wasm", preset: "default" },
});
/** Tokens of a text. */
const maxTokens = 64;

const directory = await Deno.makeTempDir({ prefix: "lm-" });

async function randomModel(): Promise<string> {
  const tokenizer = Tokenizer.ascii();
  const { vocabSize } = tokenizer;
  await using model = await Model.create(
    { ...presets[flags.preset as PresetName].model, vocabSize },
    { device: "reference", tokenizer },
  );
  await makeGeneric(model); // Fresh weights hardly look at what came before.
  const path = join(directory, "random.safetensors");
  await Deno.writeFile(path, await model.save());
  return path;
}

const file = operands[0] ?? await randomModel();
const child = new Deno.Command(Deno.execPath(), {
  args: [
    ...["run", "-A", "cli.ts", "serve", file, "--port", "0"],
    ...["--rows", "32", "--device", flags.device],
  ],
  stdout: "null",
  stderr: "piped",
}).spawn();
const lines = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
let printed = "";
while (!/:\d+\/v1\n/.test(printed)) {
  const { value = "", done } = await lines.read();
  if (done) throw new Error(printed);
  printed += value;
}
const [url] = /http:\S+(?=\/v1\n)/.exec(printed)!;
console.log(printed.split("\n")[0]);

/** Returns the resident memory of the server, in MB; NaN where there is no /proc. */
async function memory(): Promise<number> {
  try {
    const status = await Deno.readTextFile(`/proc/${child.pid}/status`);
    return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return NaN;
    throw error;
  }
}

/** Returns the CPU time that the server has used, in seconds; NaN where there is no /proc. */
async function cpuTime(): Promise<number> {
  try {
    const stat = await Deno.readTextFile(`/proc/${child.pid}/stat`);
    // After the name: utime and stime are the 12th and 13th, in hundredths.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return NaN;
    throw error;
  }
}

/** Tokens per second of wall time, and microseconds of the server's CPU time per token. */
interface Speed {
  readonly tokens: number;
  readonly cpu: number;
}

async function speedOf(clients: Clients, count: number): Promise<Speed> {
  const [begun, before] = [performance.now(), await cpuTime()];
  const tokens = await clients.throughput({ clients: count, seconds: 3 });
  const all = tokens * (performance.now() - begun) / 1000;
  return { tokens, cpu: 1e6 * (await cpuTime() - before) / all };
}

let isGood = true;
try {
  const clients = await Clients.meet(url, { maxTokens });
  const [one, many]: [Speed[], Speed[]] = [[], []];
  for (let round = 0; round < Number(flags.rounds); round++) {
    one.push(await speedOf(clients, 1));
    many.push(await speedOf(clients, 32));
  }
  const ratios = many.map(({ tokens }, i) => tokens / one[i]!.tokens);
  const shown = (speeds: Speed[], key: keyof Speed) =>
    median(speeds.map((speed) => speed[key])).toFixed(0);
  console.log(
    `1 client ${shown(one, "tokens")} tokens/s, 32 clients ${
      shown(many, "tokens")
    }: ${median(ratios).toFixed(1)} times (${
      ratios.map((ratio) => ratio.toFixed(1)).join(" ")
    }); the server's CPU time ${shown(one, "cpu")} and ${
      shown(many, "cpu")
    } µs per token`,
  );

  const sizes: number[] = [];
  const watch = setInterval(async () => sizes.push(await memory()), 500);
  const seconds = Number(flags.seconds);
  const { counts, faults } = await clients.load({ clients: 64, seconds });
  clearInterval(watch);
  const metrics = await quiet(url);
  console.log(
    `64 clients for ${seconds} s: ${
      Object.entries(counts).map(([kind, count]) => `${count} ${kind}`)
        .join(", ")
    }`,
  );
  for (const fault of faults) console.log(`FAULT: ${fault}`);
  const refusals = /status="5\d\d"/.exec(metrics);
  if (refusals) console.log(`FAULT: the server counted ${refusals[0]}`);
  const quarter = Math.floor(sizes.length / 4);
  const [second, last] = [1, 3].map((i) =>
    median(sizes.slice(i * quarter, (i + 1) * quarter))
  );
  console.log(
    `memory: ${second!.toFixed(0)} MB in the second quarter, ${
      last!.toFixed(0)
    } MB in the last, at most ${Math.max(...sizes).toFixed(0)} MB`,
  );
  const grows = seconds >= 60 && last! > 1.1 * second!; // V8 takes its time
  if (grows) console.log("FAULT: memory grows");
  isGood = faults.length === 0 && !refusals && !grows;
} finally {
  child.kill("SIGINT");
  while (!(await lines.read()).done) continue;
  await child.status;
  await Deno.remove(directory, { recursive: true });
}
Deno.exit(isGood ? 0 : 1);
