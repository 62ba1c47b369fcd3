/** `lab museum`: famous mistakes, made on purpose. */

import { join } from "@std/path";
import { openBackend } from "../../backends/open.ts";
import type { Exhibit } from "../../lab/museum/exhibit.ts";
import { exhibits } from "../../lab/museum/exhibits.ts";
import {
  exhibitSection,
  type Making,
  museumReport,
  type Shown,
} from "../../lab/museum/report.ts";
import { Room } from "../../lab/museum/room.ts";
import type { Arguments } from "../arguments.ts";
import { loadCorpus } from "../corpus.ts";
import { deviceName } from "../device_name.ts";
import { exitCode, UsageError } from "../errors.ts";
import { Interrupt } from "../interrupt.ts";
import { nearest } from "../nearest.ts";
import { placement } from "../placement.ts";
import { duration } from "../progress.ts";
import { program } from "../program.ts";
import { canRedraw, StatusLine, writeError, writeOutput } from "../terminal.ts";
import type { LabMuseumFlags } from "./museum_verb.ts";
import { makeDirectory, writeFile } from "./study.ts";

/** Lists the exhibits, or makes some of them; gives the exit code. */
export async function labMuseum(
  { flags, operands }: Arguments<LabMuseumFlags>,
): Promise<number> {
  if (operands.length === 0 && !flags.all) {
    await writeOutput(list());
    return exitCode.ok;
  }
  const chosen = choose(operands, flags.all ?? false);
  using interrupt = new Interrupt();
  const { signal } = interrupt;
  const { data = "tinyshakespeare", seed = 1 } = flags;
  const { device, threads } = placement({ device: "wasm", ...flags });
  const out = flags.out ?? (flags.all ? "museum" : undefined);
  if (out !== undefined) await makeDirectory(out);
  const { tokens, tokenizer } = await loadCorpus(data, {
    tokenizer: "chars",
    signal,
  });
  await using backend = await openBackend(device, { threads });
  const status = new StatusLine(canRedraw());
  await using room = new Room({
    ...{ backend, tokenizer, tokens, seed, signal },
    ...(flags.steps !== undefined && { steps: flags.steps }),
    onStep: (name, step, of) =>
      status.show(() => `training ${name}: ${step}/${of}`),
  });
  const shown: Shown[] = [];
  for (const exhibit of chosen) {
    const begun = performance.now();
    const finding = await exhibit.run(room);
    status.clear();
    // What an interrupted check says does not count.
    signal.throwIfAborted();
    shown.push({ exhibit, finding });
    await writeOutput(exhibitSection({ exhibit, finding }));
    const seconds = (performance.now() - begun) / 1000;
    writeError(`${exhibit.name}: ${duration(seconds)}\n`);
  }
  if (out !== undefined) {
    const about = `Text: ${data}, characters; the last tenth is held out. ${
      deviceName(backend)
    }. Losses are nats per token.`;
    const command = commandOf(operands, flags, out);
    await keep(out, shown, { about, command });
  }
  return exitCode.ok;
}

/** A line on each exhibit. */
function list(): string {
  const width = Math.max(...exhibits.map(({ name }) => name.length));
  return [
    "Famous mistakes of training language models, each made on purpose:",
    "",
    ...exhibits.map(({ name, title }) => `  ${name.padEnd(width)}  ${title}`),
    "",
    `${program()} lab museum NAME shows one.`,
    "",
  ].join("\n");
}

function choose(
  names: readonly string[],
  all: boolean,
): readonly Exhibit[] {
  if (all && names.length > 0) {
    throw new UsageError("Cannot show --all and some: leave out the names");
  }
  if (all) return exhibits;
  return [...new Set(names)].map((name) => {
    const found = exhibits.find((exhibit) => exhibit.name === name);
    if (found !== undefined) return found;
    const near = nearest(name, exhibits.map(({ name }) => name));
    throw new UsageError(
      `Cannot show ${name}: there is no such exhibit`,
      near === undefined
        ? `${program()} lab museum lists them`
        : `did you mean ${near}?`,
    );
  });
}

/** What makes the page again. */
function commandOf(
  names: readonly string[],
  { data, seed, steps, device }: Partial<LabMuseumFlags>,
  out: string,
): string {
  const given = Object.entries({ data, seed, steps, device, out })
    .flatMap(([name, value]) =>
      value === undefined ? [] : [`--${name} ${value}`]
    );
  const which = names.length > 0 ? names : ["--all"];
  return ["deno run -A cli.ts lab museum", ...which, ...given].join(" ");
}

/** Writes the report, what programs read, and then the page, which needs packages that may not be here. */
async function keep(
  out: string,
  shown: readonly Shown[],
  making: Making,
): Promise<void> {
  const findings = shown.map(({ exhibit: { name, title }, finding }) => ({
    ...{ name, title },
    ...finding,
  }));
  const [report, page] = [join(out, "report.md"), join(out, "report.html")];
  await writeFile(report, museumReport(shown, making));
  await writeFile(join(out, "findings.json"), linesOf(findings));
  const { Plotter } = await import("../report/plotter.ts");
  const { museumPage } = await import("../report/museum_page.ts");
  const plotter = await Plotter.open();
  await writeFile(page, await museumPage(plotter, shown, making));
  writeError(`${report} has it all, ${page} with charts\n`);
}

/** JSON with a line for each element of a list. */
function linesOf(elements: readonly unknown[]): string {
  return `[\n${elements.map((each) => JSON.stringify(each)).join(",\n")}\n]\n`;
}
