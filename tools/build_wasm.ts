/**
 * Compiles kernels/wasm/assembly and embeds the result in a module of this project:
 *
 *     deno task build:wasm [--check]
 *
 * With --check nothing is written; exits 1 if the embedded module does not match the sources.
 */

import { fromFileUrl, join, toFileUrl } from "@std/path";

/**
 * The compiler. It runs in a separate process, without this project's configuration: an import
 * would make everybody who trains a model download it.
 */
const compiler = "npm:assemblyscript@0.28.20/asc";

/** The builds, with fused multiply-add where the processor has it and without. */
const builds = {
  relaxed: "simd,threads,bulk-memory,relaxed-simd",
  strict: "simd,threads,bulk-memory",
};

const folder = fromFileUrl(new URL("../kernels/wasm/", import.meta.url));
const target = join(folder, "module.generated.ts");

/** Compiles a build of the sources in a folder and returns its bytes. */
async function compile(
  folder: string,
  features: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const outFile = await Deno.makeTempFile({ suffix: ".wasm" });
  try {
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--quiet", "--no-config", "--no-lock", compiler],
        ...[join(folder, "assembly", "index.ts"), "--outFile", outFile],
        ...["-O3", "--converge", "--noAssert", "--enable", features],
        // The memory is imported; static data lies above the control block.
        ...["--importMemory", "--noExportMemory", "--sharedMemory"],
        ...["--initialMemory", "2", "--maximumMemory", "65536"],
        ...["--memoryBase", "1024"],
        // No garbage collector, and no import but the memory.
        ...["--runtime", "stub", "--use", "abort="],
      ],
      stdout: "null",
      stderr: "piped",
    }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    return await Deno.readFile(outFile);
  } finally {
    await Deno.remove(outFile);
  }
}

/**
 * Bytes of a block. The builds differ little, and gzip finds what repeats within 32,768 bytes: blocks of one build and of
 * the other, in turns, are that near.
 */
const BLOCK = 8192;

/** Returns the builds in blocks, in turns, with the length of each. */
async function compileAll(folder: string) {
  const parts = await Promise.all(
    Object.values(builds).map((features) => compile(folder, features)),
  );
  const lengths: Record<string, number> = Object.fromEntries(
    Object.keys(builds).map((name, i) => [name, parts[i]!.length]),
  );
  const longest = Math.max(...Object.values(lengths));
  const blocks: Uint8Array<ArrayBuffer>[] = [];
  for (let at = 0; at < longest; at += BLOCK) {
    blocks.push(...parts.map((part) => part.subarray(at, at + BLOCK)));
  }
  return { lengths, bytes: await bytesOf(new Blob(blocks).stream()) };
}

async function bytesOf(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Generates the text of the module. */
async function generate(
  { lengths, bytes }: Awaited<ReturnType<typeof compileAll>>,
): Promise<string> {
  const packed = await bytesOf(
    new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip")),
  );
  return [
    "// Made by `deno task build:wasm` from kernels/wasm/assembly; not to be edited.",
    "// The builds of the engine's WebAssembly module.",
    "",
    "/** Bytes of each build, in their order. */",
    'export const lengths: Readonly<Record<"relaxed" | "strict", number>> = {',
    ...Object.entries(lengths).map(([name, length]) => `  ${name}: ${length},`),
    "};",
    "",
    "/** Bytes of a block. */",
    `export const blockLength = ${BLOCK};`,
    "",
    "/** Blocks of the builds, in turns, compressed with gzip, in base64. */",
    'export const builds: string = "\\',
    `${packed.toBase64().match(/.{1,76}/g)!.join("\\\n")}";`,
    "",
  ].join("\n");
}

/** Returns whether the embedded module has these bytes. Their compression may differ between versions of Deno. */
async function isCurrent(
  { lengths, bytes }: Awaited<ReturnType<typeof compileAll>>,
): Promise<boolean> {
  const embedded = await import(toFileUrl(target).href);
  const unpacked = await bytesOf(
    new Blob([Uint8Array.fromBase64(embedded.builds)]).stream()
      .pipeThrough(new DecompressionStream("gzip")),
  );
  return JSON.stringify(embedded.lengths) === JSON.stringify(lengths) &&
    unpacked.toBase64() === bytes.toBase64();
}

/**
 * Returns the text of a module that embeds the engine without some of its kernels, for pages that never use them.
 *
 * @param parts modules of kernels/wasm/assembly, as kernels.ts imports them; a call of one of their kernels traps
 */
export async function wasmWithout(parts: readonly string[]): Promise<string> {
  const directory = await Deno.makeTempDir({ prefix: "lm-" });
  const assembly = join(directory, "assembly");
  try {
    await Deno.mkdir(assembly);
    await Deno.copyFile(join(folder, "codes.ts"), join(directory, "codes.ts"));
    for await (const { name } of Deno.readDir(join(folder, "assembly"))) {
      await Deno.copyFile(join(folder, "assembly", name), join(assembly, name));
    }
    const table = join(assembly, "kernels.ts");
    let text = await Deno.readTextFile(table);
    for (const part of parts) {
      const whole = text;
      text = text.replaceAll(
        RegExp(`    case codes\\.\\w+:\\n      return ${part}\\..*\\n`, "g"),
        "",
      );
      if (text === whole) {
        throw new Error(`Cannot leave out ${part}: not found`);
      }
    }
    await Deno.writeTextFile(table, text);
    return await generate(await compileAll(directory));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

if (import.meta.main) {
  const compiled = await compileAll(folder);
  if (!Deno.args.includes("--check")) {
    await Deno.writeTextFile(target, await generate(compiled));
  } else if (!await isCurrent(compiled)) {
    console.error(
      "kernels/wasm/module.generated.ts is not what kernels/wasm/assembly makes: run deno task build:wasm",
    );
    Deno.exit(1);
  }
}
