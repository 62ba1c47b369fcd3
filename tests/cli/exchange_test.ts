/** `export` and `import`: models go to other programs' files and come back. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { decodeCheckpoint } from "../../lib/formats/checkpoint.ts";
import { SMALL, Workplace } from "./process.ts";

const LLAMA = "--position rope-half --mlp swiglu --n-hidden 24".split(" ");

/** Makes a run whose model a folder can hold. */
async function workplace(): Promise<Workplace> {
  const here = await Workplace.create();
  const args = ["train", ...SMALL, ...LLAMA, "--out", "run"];
  const { code, stderr } = await here.run(args);
  assertEquals(code, 0, stderr);
  return here;
}

async function namesIn(folder: string): Promise<string[]> {
  const entries = await Array.fromAsync(Deno.readDir(folder));
  return entries.map(({ name }) => name).sort();
}

const sample = (
  run: string,
) => ["sample", run, "--seed", "1", "--tokens", "30", "--device", "reference"];

Deno.test("A run goes to a folder of Hugging Face's and comes back as a run of the same text", async () => {
  await using here = await workplace();
  const exported = await here.run(["export", "run", "out", "--to", "hf"]);
  assertEquals(exported.code, 0, exported.stderr);
  assertEquals(await namesIn(here.file("out")), [
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
  ]);
  const imported = await here.run(["import", "out", "--out", "runs/back"]);
  assertEquals([imported.code, imported.stdout], [0, "runs/back\n"]);
  const [own, back] = [
    await here.run(sample("run")),
    await here.run(sample("runs/back")),
  ];
  assertEquals(own.code, 0, own.stderr);
  assertEquals(back.stdout, own.stdout);
  const evaluated = await here.run(
    ["eval", "runs/back", "--data", "text.txt", "--device", "reference"],
  );
  assertEquals(evaluated.code, 0, evaluated.stderr);
  for (
    const args of [
      ["info", "runs/back"],
      ["list"],
      [
        "train",
        "--init",
        "runs/back",
        ...SMALL.slice(4, 6),
        "--steps",
        "2",
        "--batch-size",
        "2",
        "--out",
        "more",
        "--device",
        "reference",
      ],
    ]
  ) {
    const { code, stderr } = await here.run(args);
    assertEquals(code, 0, stderr);
  }
});

Deno.test("A run goes to a GGUF file and comes back as a run of the same text", async () => {
  await using here = await workplace();
  const exported = await here.run(["export", "run", "m.gguf", "--to", "gguf"]);
  assertEquals(exported.code, 0, exported.stderr);
  const imported = await here.run(["import", "m.gguf", "--out", "back"]);
  assertEquals([imported.code, imported.stdout], [0, "back\n"]);
  const [own, back] = [
    await here.run(sample("run")),
    await here.run(sample("back")),
  ];
  assertEquals(own.code, 0, own.stderr);
  assertEquals(back.stdout, own.stdout);
  const info = await here.run(["info", "back", "--json"]);
  assertEquals(info.code, 0, info.stderr);
  const shorter = ["import", "m.gguf", "--out", "short", "--block-size", "8"];
  const short = await here.run(shorter);
  assertEquals(short.code, 0, short.stderr);
  const bytes = await Deno.readFile(here.file("m.gguf"));
  await Deno.writeFile(here.file("half.gguf"), bytes.subarray(0, 5000));
  const half = await here.run(["import", "half.gguf", "--out", "half"]);
  assertEquals(half.code, 1);
  assertStringIncludes(half.stderr, "error: Cannot import half.gguf: the");
});

Deno.test("A run goes to one file for llama.cpp, and to one for onnxruntime", async () => {
  await using here = await workplace();
  for (const [to, start] of [["gguf", "GGUF"], ["onnx", "\b\b\x12\x02lm"]]) {
    for (const dtype of ["f32", "f16"]) {
      const file = `${dtype}.${to}`;
      const args = ["export", "run", file, "--to", to!, "--dtype", dtype];
      const { code, stdout, stderr } = await here.run(args);
      assertEquals(code, 0, stderr);
      const text = await Deno.readTextFile(here.file(file));
      assertEquals(text.slice(0, start!.length), start);
      assertStringIncludes(stdout, file);
    }
  }
  const twice = await here.run(["export", "run", "f32.gguf", "--to", "gguf"]);
  assertEquals(twice.code, 1);
  assertStringIncludes(twice.stderr, "gguf is written to a new file");
});

Deno.test("export and import refuse what they cannot do, and leave nothing behind", async () => {
  await using here = await workplace();
  await here.run(["train", ...SMALL, "--out", "relu2"]);
  const cases: [string, number, string][] = [
    ["export run out", 2, "--to takes hf, gguf, onnx"],
    ["export run --to hf", 2, "it takes a run and where to write"],
    ["export run a b --to hf", 2, "3 arguments were given"],
    ["export relu2 out --to gguf", 1, 'mlp is "relu2", not "swiglu"'],
    ["export run out --to onnx --dtype bf16", 1, "f32 or f16, not bf16"],
    ["export relu2 out --to hf", 1, 'mlp is "relu2", not "swiglu"'],
    ["export run relu2 --to hf", 1, "hf is written to a new or empty folder"],
    ["import", 2, "no path was given"],
    ["import text.txt --tokenizer chars", 2, "it is made of a text"],
    ["import nothing", 1, "there is no such file"],
    ["import text.txt", 1, "it is not a zip archive"],
    ["import run --out back", 1, "model_type is missing"],
    ["import run --out relu2", 1, "it exists and holds"],
  ];
  for (const [line, expected, message] of cases) {
    const { code, stderr } = await here.run(line.split(" "));
    assertEquals(code, expected, `${line}\n${stderr}`);
    assertStringIncludes(stderr, message);
  }
  assertEquals(await namesIn(here.path), ["relu2", "run", "text.txt"]);
});

Deno.test({
  name:
    "A link that leads out of the folder is refused, one of the hub's cache is followed",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using here = await workplace();
    await here.run(["export", "run", "hub/snapshots/1", "--to", "hf"]);
    const weights = "hub/snapshots/1/model.safetensors";
    const move = async (to: string) => {
      await Deno.mkdir(here.file(to));
      await Deno.rename(here.file(weights), here.file(to, "weights"));
      await Deno.symlink(here.file(to, "weights"), here.file(weights));
    };
    await move("hub/blobs");
    const fine = await here.run(["import", "hub/snapshots/1", "--out", "a"]);
    assertEquals(fine.code, 0, fine.stderr);
    await Deno.remove(here.file(weights));
    await Deno.mkdir(here.file("away"));
    await Deno.rename(
      here.file("hub/blobs/weights"),
      here.file("away/weights"),
    );
    await Deno.symlink(here.file("away/weights"), here.file(weights));
    const refused = await here.run(["import", "hub/snapshots/1", "--out", "b"]);
    assertEquals(refused.code, 1);
    assertStringIncludes(
      refused.stderr,
      "it is a link that leads out of the folder",
    );
  },
});

Deno.test("A training goes to nanoGPT's folder and back, and continues with the same bits", async () => {
  await using here = await Workplace.create();
  const nano =
    "--preset nano-cpu --warmup-steps 2 --threads 1 --device wasm --blas off";
  const steps = "--steps 20 --threads 1 --device wasm --blas off".split(" ");
  const lines = [
    ["train", ...SMALL, ...nano.split(" "), "--out", "run"],
    ["export", "run", "out", "--to", "nanogpt"],
    ["import", "out/ckpt.pt", "--out", "back"],
    ["train", "--resume", "run", ...steps],
    ["train", "--resume", "back", "--data", "text.txt", ...steps],
    // It knows its text now.
    ["check", "back", "--no-machine", "--device", "reference"],
    ["report", "back", "--device", "reference"],
  ];
  for (const args of lines) {
    const { code, stderr } = await here.run(args);
    assertEquals(code, 0, `${args.join(" ")}\n${stderr}`);
  }
  assertEquals(await namesIn(here.file("out")), [
    "ckpt.pt",
    "meta.pkl",
    "settings.py",
  ]);
  const [own, back] = await Promise.all(
    ["run", "back"].map(async (run) =>
      decodeCheckpoint(
        await Deno.readFile(here.file(run, "checkpoint.safetensors")),
      )
    ),
  );
  // Its moments went there as 32-bit floats, those of the device reference have 64.
  assertEquals(own!.training!.step, back!.training!.step);
});
