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

/** Compiles a build and returns its bytes. */
async function compile(features: string): Promise<Uint8Array<ArrayBuffer>> {
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
    if (!success) {
      console.error(new TextDecoder().decode(stderr));
      Deno.exit(1);
    }
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
async function compileAll() {
  const lengths: Record<string, number> = {};
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for (const [name, features] of Object.entries(builds)) {
    const bytes = await compile(features);
    lengths[name] = bytes.length;
    parts.push(bytes);
  }
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

const compiled = await compileAll();
if (!Deno.args.includes("--check")) {
  await Deno.writeTextFile(target, await generate(compiled));
} else if (!await isCurrent(compiled)) {
  console.error(
    "kernels/wasm/module.generated.ts is not what kernels/wasm/assembly makes: run deno task build:wasm",
  );
  Deno.exit(1);
}
