/** Hints of each command for a path that holds something else. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { SMALL, Workplace } from "./process.ts";

/** Makes a run, and something of every other kind. */
async function workplace(): Promise<Workplace> {
  const here = await Workplace.create();
  const llama = "--position rope-half --mlp swiglu".split(" ");
  const made = [
    ["train", ...SMALL, ...llama, "--out", "runs/a"],
    ["export", "runs/a", "hf", "--to", "hf"],
    ["export", "runs/a", "gguf/m.gguf", "--to", "gguf"],
  ];
  await Deno.mkdir(here.file("gguf"));
  for (const args of made) {
    const { code, stderr } = await here.run(args);
    assertEquals(code, 0, stderr);
  }
  await Deno.mkdir(here.file("empty"));
  await here.write("ckpt.pt", "PK\x03\x04 and more");
  await here.write("noise.bin", Uint8Array.of(1, 2, 0, 255, 9, 9, 9, 9, 9));
  return here;
}

/** Commands that take a run; PATH stands for the path. */
const readers = [
  "sample PATH",
  "eval PATH",
  "info PATH",
  "report PATH",
  "serve PATH",
  "export PATH out --to onnx",
  "train --resume PATH",
  "train --data text.txt --out out --init PATH",
];

const newest = "the newest run is runs/a";

/** Paths, with what their hints have in common, whichever command takes a run. */
const ofRuns: Readonly<Record<string, string>> = {
  "nothing": newest,
  "empty": newest,
  "runs": newest,
  "hf": "import hf makes a run of another program's model",
  "hf/model.safetensors": "import hf makes a run",
  "gguf": "import gguf/m.gguf makes a run",
  "gguf/m.gguf": "import gguf/m.gguf makes a run",
  "ckpt.pt": "import ckpt.pt makes a run",
  "text.txt": "train --data text.txt trains on a text",
  "noise.bin": "expected a",
};

Deno.test("Commands that take a run name what helps with a path that holds none", async (t) => {
  await using here = await workplace();
  for (const reader of readers) {
    await t.step(reader, async () => {
      const outcomes = Object.entries(ofRuns).map(async ([path, hint]) => {
        const args = reader.split(" ")
          .map((arg) => arg === "PATH" ? path : arg);
        const { code, stderr } = await here.run(args);
        assertEquals(code, 1, `${args}\n${stderr}`);
        // An empty directory has nothing that the report could name.
        const known = reader.startsWith("report") && hint === newest &&
            path !== "nothing"
          ? "expected a directory that"
          : hint;
        assertStringIncludes(hintOf(stderr), known, `${args}\n${stderr}`);
      });
      await Promise.all(outcomes);
    });
  }
});

Deno.test("Without any run the hint is to train one", async () => {
  await using here = await Workplace.create();
  const { code, stderr } = await here.run(["sample", "nothing"]);
  assertEquals(code, 1);
  assertStringIncludes(hintOf(stderr), "train makes a run");
});

const expected = "import takes a folder with config.json";

/** Command lines of all kinds, with their reasons and hints. */
const lines:
  readonly (readonly [line: string, reason: string, hint: string])[] = [
    ["import nothing", "there is no such file", expected],
    ["import empty", "there is no config.json", expected],
    ["import text.txt", "it is not a zip archive", expected],
    ["import gguf", "there is no config.json", "import gguf/m.gguf"],
    ["import hf/model.safetensors", "it is not a zip archive", "import hf"],
    ["import runs/a", "model_type is missing", "it is a run already: "],
    [
      "import runs/a/checkpoint.safetensors",
      "it is not a zip archive",
      "sample runs/a/checkpoint.safetensors",
    ],
    ["export runs/a text.txt --to hf", "it is a file", "to a new or empty"],
    ["export runs/a hf --to hf", "it holds ", "to a new or empty"],
    ["export runs/a text.txt --to onnx", "it exists", "to a new file"],
    ["list nothing", "there is no such directory", "list shows the runs in"],
    ["list text.txt", "it is not a directory", "list shows the runs in"],
    ["train --data nothing", "there is no such file", "--data takes files"],
    ["train --data empty", "the folder has no .txt", "--data takes files"],
    ["train --data runs/a", "the folder has no .txt", "--data takes files"],
    ["train --data runs", "the folder has no .txt", "--data takes files"],
    [
      "train --data text.txt --tokenizer ./nothing",
      "there is no such file",
      "--tokenizer",
    ],
    ["lab run nothing", "there is no such file", "a study is a directory"],
    ["lab report text.txt", "it is not a directory", "a study is a directory"],
  ];

Deno.test("Every command names what helps with a path of the wrong kind", async (t) => {
  await using here = await workplace();
  for (const [line, reason, hint] of lines) {
    await t.step(line, async () => {
      const { code, stderr } = await here.run(line.split(" "));
      assertEquals(code, 1, stderr);
      assertStringIncludes(stderr, reason);
      assertStringIncludes(hintOf(stderr), hint, stderr);
    });
  }
});

function hintOf(stderr: string): string {
  return stderr.split("\n").find((line) => line.startsWith("hint: ")) ?? "";
}
