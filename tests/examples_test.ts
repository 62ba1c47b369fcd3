/**
 * The programs of examples/, run as a user would. WebGPU is hidden from them, so that
 * they compute on the CPU whatever the machine: its software adapter sometimes takes a process along.
 */

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { Model, Tokenizer } from "../mod.ts";

const folder = fromFileUrl(new URL("../examples/", import.meta.url));
const withoutGpu =
  "--preload=data:application/javascript,delete Navigator.prototype.gpu";

function program(name: string, args: readonly string[], cwd: string) {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", withoutGpu, join(folder, name), ...args],
    cwd,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

/** Runs an example to its end; gives what it printed. */
async function run(
  name: string,
  args: readonly string[],
  cwd: string,
): Promise<string> {
  const output = await program(name, args, cwd).output();
  const text = new TextDecoder();
  assertEquals(output.code, 0, text.decode(output.stderr));
  return text.decode(output.stdout);
}

/** A directory that goes away after the test. */
async function inDirectory(work: (path: string) => Promise<void>) {
  const path = await Deno.makeTempDir({ prefix: "lm-" });
  try {
    await work(path);
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

/** Writes a model of two layers and two heads that knows the characters of "The model". */
async function writeModel(path: string): Promise<void> {
  const tokenizer = Tokenizer.chars("The model");
  const { vocabSize } = tokenizer;
  await using model = await Model.create(
    { vocabSize, blockSize: 16, nLayer: 2, nHead: 2, nEmbd: 8 },
    { device: "reference", tokenizer },
  );
  await Deno.writeFile(join(path, "model.safetensors"), await model.save());
}

/** The numbers after a word, in order. */
function numbersAfter(word: string, text: string): number[] {
  return [...text.matchAll(RegExp(`${word} (\\d+(?:\\.\\d+)?)`, "g"))]
    .map(([, number]) => Number(number));
}

Deno.test("Every example has a test", async () => {
  const tests = await Deno.readTextFile(new URL(import.meta.url));
  const names: string[] = [];
  for await (const { name, isFile } of Deno.readDir(folder)) {
    // An example of several files has a folder of tests: tests/browser.
    if (isFile) assertMatch(tests, RegExp(`[(]"${name}"`), name);
    else await Deno.stat(new URL(name, import.meta.url));
    names.push(name);
  }
  assert(names.length >= 5, names.join());
});

Deno.test("examples/train.ts learns, continues a text, and keeps a model that knows its tokenizer", () =>
  inDirectory(async (path) => {
    const printed = await run("train.ts", [], path);
    const losses = numbersAfter(": loss", printed);
    // ln 70 = 4.2 is the loss of a guess among the text's characters.
    assert(losses.length >= 8 && losses.every((loss) => loss < 3.5), printed);
    assert(losses.at(-1)! < losses[0]!, printed);
    const bytes = await Deno.readFile(join(path, "model.safetensors"));
    await using model = await Model.load(bytes, { device: "reference" });
    assert(printed.trim().length > 0 && model.tokenizer !== undefined);
    assertStringIncludes(printed, "step 400: ");
  }));

Deno.test("examples/loop.ts stops by its own rule and keeps the weights of its lowest loss", () =>
  inDirectory(async (path) => {
    const printed = await run("loop.ts", [], path);
    const losses = numbersAfter("validation loss", printed);
    const [stopped] = numbersAfter("stopped at", printed);
    assert(stopped! < 1000, printed);
    const lowest = Math.min(...losses);
    assertStringIncludes(printed, `lowest: ${lowest.toFixed(3)} at step`);
    // The rule: no lower loss in the last three evaluations, nor three in a row before.
    const at = losses.indexOf(lowest);
    assertEquals(losses.length - 1 - at, 3, printed);
    const bytes = await Deno.readFile(join(path, "best.safetensors"));
    await using model = await Model.load(bytes, { device: "reference" });
    assertEquals(model.config.nLayer, 1);
  }));

Deno.test("examples/resume.ts trains in two parts to the same bits as in one", () =>
  inDirectory(async (path) => {
    const file = join(path, "checkpoint.safetensors");
    const first = await run("resume.ts", ["30"], path);
    assertStringIncludes(first, "from step 0\n");
    const second = await run("resume.ts", ["80"], path);
    assertStringIncludes(second, "from step 30\n");
    const inTwo = await Deno.readFile(file);
    await Deno.remove(file);
    await run("resume.ts", ["80"], path);
    const inOne = await Deno.readFile(file);
    assert(inOne.length > 10_000);
    assertEquals(inTwo, inOne);
  }));

Deno.test({
  name: "examples/resume.ts keeps its last step at Ctrl-C",
  ignore: Deno.build.os === "windows", // where no signal can be sent from here
  fn: () =>
    inDirectory(async (path) => {
      const child = program("resume.ts", ["1000000"], path).spawn();
      let printed = "";
      for await (
        const piece of child.stdout.pipeThrough(new TextDecoderStream())
      ) {
        if (printed === "") setTimeout(() => child.kill("SIGINT"), 300);
        printed += piece;
      }
      const { code } = await child.status;
      await child.stderr.cancel();
      assertEquals(code, 0);
      const last = numbersAfter("kept step", printed).at(-1)!;
      assert(last < 1_000_000);
      const again = await run("resume.ts", [String(last + 1)], path);
      assertStringIncludes(again, `from step ${last}\n`);
    }),
});

Deno.test("examples/attention.ts prints a triangle for each head", () =>
  inDirectory(async (path) => {
    await writeModel(path);
    const printed = await run("attention.ts", [], path);
    const heads = printed.trim().split(/\n*layer \d, head \d\n/).slice(1);
    assertEquals(heads.length, 4);
    for (const head of heads) {
      const rows = head.split("\n");
      assertEquals(rows.map(([character]) => character).join(""), "The model");
      rows.forEach((row, i) => {
        const cells = row.slice(2);
        assert(cells.length <= 2 * (i + 1), `row ${i}: ${row}`);
        if (i === 0) assertEquals(cells, "██"); // it sees itself alone
      });
    }
  }));

Deno.test("examples/serve.ts streams texts to several readers, and refuses what the model cannot read", () =>
  inDirectory(async (path) => {
    await writeModel(path);
    const child = program("serve.ts", ["model.safetensors", "0"], path).spawn();
    const lines = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
    try {
      let printed = "";
      while (!/localhost:\d+\//.test(printed)) {
        const { value = "", done } = await lines.read();
        assert(!done, `no address in ${printed}`);
        printed += value;
      }
      const [address] = /localhost:\d+/.exec(printed)!;
      const page = await fetch(`http://${address}`);
      assertStringIncludes(await page.text(), "<form>");
      const answer = async (prompt: string) => {
        const query = new URLSearchParams({ prompt });
        const response = await fetch(`http://${address}/write?${query}`);
        return { status: response.status, text: await response.text() };
      };
      const answers = await Promise.all(["The ", "model"].map(answer));
      for (const { status, text } of answers) {
        assertEquals([status, text.length], [200, 400]);
      }
      const unknown = await answer("?");
      assertEquals(unknown.status, 400);
      assertStringIncludes(unknown.text, "Cannot encode text");
      assertEquals((await answer("")).status, 400);
    } finally {
      child.kill();
      await lines.cancel();
      await child.stdout.cancel();
      await child.status;
    }
  }));
