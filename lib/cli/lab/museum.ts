/** `lab museum`: famous mistakes, made on purpose. */

import { join } from "@std/path";
import { openBackend } from "../../backends/open.ts";
import type { Exhibit, Finding } from "../../lab/museum/exhibit.ts";
import { exhibits } from "../../lab/museum/exhibits.ts";
import {
  exhibitSection,
  type Making,
  museumDocument,
  type Shown,
} from "../../lab/museum/document.ts";
import { Room } from "../../lab/museum/room.ts";
import { markdownSection } from "../../report/markdown.ts";
import type { Arguments } from "../command/arguments.ts";
import { loadCorpus } from "../text/corpus.ts";
import { deviceName } from "../verbs/device_name.ts";
import { exitCode, usageError } from "../command/errors.ts";
import { ifThere, MadeDirectories, replaceFile } from "../run/files.ts";
import { Interrupt } from "../terminal/interrupt.ts";
import { suggestion } from "../command/nearest.ts";
import { placement } from "../verbs/placement.ts";
import { duration } from "../../report/numbers.ts";
import { program } from "../command/program.ts";
import { StatusLine, writeError, writeOutput } from "../terminal/terminal.ts";
import type { LabMuseumFlags } from "./flags.ts";
import { Pace } from "./pace.ts";
import { files, parseFile, writeDocument } from "./study.ts";

/** Lists the exhibits, or makes some of them; returns the exit code. */
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
  const { device, ...options } = placement({
    device: "wasm",
    blas: "off",
    ...flags,
  });
  const out = flags.out ?? (flags.all ? "museum" : undefined);
  using _made = out === undefined ? undefined : await MadeDirectories.make(out);
  const { tokens, tokenizer } = await loadCorpus(data, {
    tokenizer: "chars",
    documents: false,
    signal,
  });
  await using backend = await openBackend(device, options);
  const status = new StatusLine();
  const pace = new Pace("exhibits", { total: chosen.length });
  const shown: Shown[] = [];
  await using room = new Room({
    ...{ backend, tokenizer, tokens, seed, signal },
    ...(flags.steps !== undefined && { steps: flags.steps }),
    onStep: (name, step, of) =>
      status.show((width) =>
        `${pace.text(shown.length)}  training ${name}: ${step}/${of}`
          .slice(0, width)
      ),
  });
  for (const exhibit of chosen) {
    const begun = performance.now();
    const finding = await exhibit.run(room);
    status.clear();
    // The result of an interrupted check does not count.
    signal.throwIfAborted();
    shown.push({ exhibit, finding });
    await writeOutput(markdownSection(exhibitSection({ exhibit, finding })));
    const seconds = (performance.now() - begun) / 1000;
    writeError(
      `${exhibit.name}: ${duration(seconds)}; ${pace.text(shown.length)}\n`,
    );
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

/** Returns a line on each exhibit. */
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
    throw usageError("show --all and some", "leave out the names");
  }
  if (all) return exhibits;
  return [...new Set(names)].map((name) => {
    const found = exhibits.find((exhibit) => exhibit.name === name);
    if (found !== undefined) return found;
    const names = exhibits.map(({ name }) => name);
    throw usageError(
      `show ${name}`,
      "there is no such exhibit",
      suggestion(name, names, `${program()} lab museum lists them`),
    );
  });
}

/** Returns the command that makes the page again. */
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

/** The file of the findings. */
const FINDINGS = "findings.json";

/** The contents of the file from which the reports are made. */
interface Findings extends Making {
  readonly exhibits: readonly (Finding & Pick<Exhibit, "name" | "title">)[];
}

/** Saves the findings for programs, and writes the reports. */
async function keep(
  out: string,
  shown: readonly Shown[],
  making: Making,
): Promise<void> {
  const { about, command } = making;
  const lines = shown.map(({ exhibit: { name, title }, finding }) =>
    JSON.stringify({ name, title, ...finding })
  );
  await replaceFile(
    join(out, FINDINGS),
    `{"about":${JSON.stringify(about)},\n"command":${
      JSON.stringify(command)
    },\n"exhibits":[\n${lines.join(",\n")}\n]}\n`,
  );
  await writeReports(out, shown, making);
}

/** Writes both reports; returns the Markdown. */
async function writeReports(
  out: string,
  shown: readonly Shown[],
  making: Making,
): Promise<string> {
  const text = await writeDocument(out, museumDocument(shown, making));
  const [report, page] = [join(out, files.report), join(out, files.page)];
  writeError(`${report} has it all, ${page} with charts\n`);
  return text;
}

/**
 * Writes a museum's reports again; returns the report, or undefined if the directory holds no museum.
 *
 * @throws {CommandError} if its file cannot be read
 */
export async function reportMuseum(out: string): Promise<string | undefined> {
  const path = join(out, FINDINGS);
  const isFolder = (await ifThere(out, Deno.stat(out)))?.isDirectory;
  if (!isFolder) return undefined;
  const text = await ifThere(path, Deno.readTextFile(path));
  if (text === undefined) return undefined;
  const known = new Set<unknown>(exhibits.map(({ name }) => name));
  const { exhibits: found, ...making } = parseFile(text, path, {
    is: (findings: Findings | null) =>
      Array.isArray(findings?.exhibits) &&
      findings.exhibits.every((exhibit) => known.has(exhibit?.name)),
    complaint: "it does not hold the findings of this program's museum",
    hint: `${program()} lab museum --all --out DIR makes it`,
  })!;
  const shown = found.map(({ name, title: _, ...finding }): Shown => ({
    exhibit: exhibits.find((exhibit) => exhibit.name === name)!,
    finding,
  }));
  return await writeReports(out, shown, making);
}
