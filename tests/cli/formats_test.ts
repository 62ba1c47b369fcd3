/** That docs/formats.md is true: what a run writes is named there, and its Python opens a checkpoint. */

import { assert, assertEquals } from "@std/assert";
import {
  decodeCheckpoint,
  encodeCheckpoint,
} from "../../lib/formats/checkpoint.ts";
import { modelConfig, type ModelOptions } from "../../lib/config/model.ts";
import { momentsOf } from "../../lib/train/optimizer.ts";
import { parameterLayout } from "../../lib/model/plans.ts";
import { decodeSafetensors } from "../../lib/formats/safetensors.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";
import { SMALL, Workplace } from "./process.ts";

const page = await Deno.readTextFile(
  new URL("../../docs/formats.md", import.meta.url),
);

/** Everything that the page puts in backticks. */
const named = new Set(Array.from(page.matchAll(/`([^`\n]+)`/g), ([, x]) => x));

function assertNamed(names: Iterable<string>, where: string): void {
  const missing = [...names].filter((name) => !named.has(name));
  assertEquals(missing, [], `docs/formats.md is silent on these of ${where}`);
}

/** Objects whose fields the page leaves to `ModelConfig`, `TrainConfig`, and tensors' names. */
const elsewhere = ["model", "train", "ratios"];

function assertFieldsNamed(value: unknown, where: string): void {
  if (typeof value !== "object" || value === null) return;
  if (!Array.isArray(value)) assertNamed(Object.keys(value), where);
  for (const [key, inner] of Object.entries(value)) {
    if (!elsewhere.includes(key)) assertFieldsNamed(inner, `${where}.${key}`);
  }
}

Deno.test("docs/formats.md names each file of a run, and each field in them", async () => {
  await using here = await Workplace.create();
  const run = (args: string) =>
    here.run(["train", ...args.split(" "), "--device", "reference"]);
  const first = await here.run(
    ["train", ...SMALL, "--out", "run", "--keep", "1", "--patience", "9"],
  );
  assertEquals(first.code, 0, first.stderr);
  assertEquals((await run("--resume run --steps 9999 --max-time 1")).code, 0);
  const failed = await here.run(
    ["train", ...SMALL, "--learning-rate", "1e300", "--out", "failed"],
  );
  assertEquals(failed.code, 1);

  const files = await Array.fromAsync(Deno.readDir(here.file("run")));
  assertNamed(
    files.map(({ name }) => name.replace(/\d{6,}/, "000500")),
    "the directory",
  );
  const config = await Deno.readTextFile(here.file("run/config.json"));
  assertFieldsNamed(JSON.parse(config), "config.json");
  const seen = new Set<string>();
  for (const run of ["run", "failed"]) {
    const text = await Deno.readTextFile(here.file(run, "metrics.jsonl"));
    for (const line of text.trimEnd().split("\n")) {
      const event = JSON.parse(line);
      assertFieldsNamed(event, event.event);
      assertNamed([event.event], "events");
      if (event.event === "end") assertNamed([event.reason], "reasons");
      for (const field of ["event", "step", "time"]) {
        assert(field in event, line);
      }
      seen.add(event.event);
    }
  }
  // All that the page lists, but for a step that is skipped.
  const part = page.split("## metrics.jsonl")[1]!.split("\n## ")[0]!;
  const kinds = Array.from(
    part.matchAll(/^- \*\*`(\w+)`\*\*/gm),
    ([, x]) => x!,
  );
  assertEquals(
    [...seen].sort(),
    kinds.filter((name) => name !== "skip").sort(),
  );
});

Deno.test("docs/formats.md names each tensor of a checkpoint, with its shape", () => {
  const base = { vocabSize: 3, blockSize: 5, nEmbd: 8, nHead: 4 };
  const full: ModelOptions = {
    ...base,
    ...{ nKvHead: 2, headSize: 3, nHidden: 7, nLayer: 2, position: "learned" },
    ...{ qkNorm: true, qkNormGain: true },
    ...{ mlp: "swiglu", bias: true, headBias: true, tiedHead: false },
  };
  const sizes: Record<string, number> = {
    ...{ V: 3, L: 5, C: 8, H: 7, HS: 3 },
    ...{ "QKV": (4 + 2 * 2) * 3, "NH·HS": 4 * 3 },
  };
  const shapeOf = (name: string) => {
    const line = page.split("\n").find((line) =>
      line.startsWith(`- \`${name}\` (`)
    );
    assert(line !== undefined, `docs/formats.md does not name ${name}`);
    const shape = /\((.*?)\)/.exec(line)![1]!;
    return shape.split(", ").map((length) => sizes[length]!);
  };
  const layout = parameterLayout(modelConfig(full));
  for (const { name, shape } of layout.entries) {
    assertEquals(shapeOf(name.replace(/^h\.\d+/, "h.i")), shape, name);
  }
  const rows = page.match(/^- `[\w.]+\.(weight|bias)` \(/gm)!;
  const names = layout.entries.map(({ name }) => name.replace(/^h\.\d/, "h.i"));
  assertEquals(rows.length, new Set(names).size);
  for (const optimizer of ["adamw", "sgd", "muon"] as const) {
    assertNamed(
      momentsOf({ optimizer }).map((store) => `optimizer.${store}.NAME`),
      "moments",
    );
  }
});

Deno.test("docs/formats.md names all metadata of a checkpoint", async () => {
  await using here = await Workplace.create();
  assertEquals((await here.run(["train", ...SMALL, "--out", "run"])).code, 0);
  for (const file of ["checkpoint.safetensors", "best.safetensors"]) {
    const bytes = await Deno.readFile(here.file("run", file));
    const { metadata, tensors } = decodeSafetensors(bytes);
    assertNamed(Object.keys(metadata), file);
    assertNamed([metadata["format"]!, metadata["version"]!], file);
    const isState = file === "checkpoint.safetensors";
    assertEquals("training" in metadata, isState);
    const moments = [...tensors.keys()].some((x) => x.startsWith("optimizer."));
    assertEquals(moments, isState);
    assertNamed([tensors.get("wte.weight")!.dtype], "dtypes");
  }
});

const python = await new Deno.Command("python3", { args: ["--version"] })
  .output().then(({ success }) => success, () => false);

Deno.test({
  name: "The Python of docs/formats.md opens a checkpoint",
  ignore: !python, // where there is none
  fn: async () => {
    const blocks = Array.from(
      page.matchAll(/^```python\n([^]*?)^```$/gm),
      ([, code]) => code!,
    );
    const plain = blocks.find((code) => !code.includes("safe_open"))!;
    const path = await Deno.makeTempFile({ suffix: ".safetensors" });
    const data = Float32Array.of(1, 2, 3, 4, 5, 6);
    await Deno.writeFile(
      path,
      encodeCheckpoint({
        config: modelConfig({ vocabSize: 128, nLayer: 1 }),
        tokenizer: Tokenizer.ascii(),
        tensors: new Map([["wte.weight", {
          dtype: "F32",
          shape: [2, 3],
          data,
        }]]),
      }),
    );
    assertEquals(
      decodeCheckpoint(await Deno.readFile(path)).config.nLayer,
      1,
    );
    const { stdout, stderr } = await new Deno.Command("python3", {
      args: ["-c", plain, path],
    }).output();
    await Deno.remove(path);
    assertEquals(
      new TextDecoder().decode(stdout),
      "1 layers, 1 tensors, wte 6\n",
      new TextDecoder().decode(stderr),
    );
  },
});
