/**
 * Compiles kernels/wasm/assembly and embeds the result in a module of this project:
 *
 *     deno task build:wasm [--check]
 *
 * With --check nothing is written; exits 1 if the embedded module does not match the sources.
 */

import { fromFileUrl, join } from "@std/path";

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
async function compile(features: string): Promise<Uint8Array> {
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

/** Generates the text of the module. */
async function generate(): Promise<string> {
  const lines = [
    "// Made by `deno task build:wasm` from kernels/wasm/assembly; not to be edited.",
    "// The engine's WebAssembly module in base64, once for each build.",
  ];
  for (const [name, features] of Object.entries(builds)) {
    const bytes = await compile(features);
    const text = btoa(
      Array.from(bytes, (b) => String.fromCharCode(b)).join(""),
    );
    lines.push("", `/** ${bytes.length} bytes. */`);
    lines.push(`export const ${name}: string = "\\`);
    lines.push(`${text.match(/.{1,76}/g)!.join("\\\n")}";`);
  }
  return `${lines.join("\n")}\n`;
}

const text = await generate();
if (!Deno.args.includes("--check")) {
  await Deno.writeTextFile(target, text);
} else if (await Deno.readTextFile(target) !== text) {
  console.error(
    "kernels/wasm/module.generated.ts is not what kernels/wasm/assembly makes: run deno task build:wasm",
  );
  Deno.exit(1);
}
