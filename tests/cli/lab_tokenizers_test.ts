/** Studies whose cells have different tokenizers, and texts of documents. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Workplace } from "./process.ts";

const model = { blockSize: 8, nLayer: 1, nHead: 1, nEmbd: 8 };
const train = { maxSteps: 3, batchSize: 2 };
const plan = {
  study: "tokens",
  about: "Which tokens?",
  data: "text.txt",
  tokenizer: "chars",
  base: { model, train },
  seeds: [1, 2],
  cells: [
    { name: "chars" },
    { name: "bpe", tokenizer: "bpe:262" },
    { name: "bytes", tokenizer: "bytes" },
  ],
};

async function studyOf(here: Workplace, plan: object): Promise<string> {
  await Deno.mkdir(here.file("s"));
  await here.write("s/plan.json", JSON.stringify(plan));
  const run = ["lab", "run", "s", "--device", "reference"];
  const { code, stderr } = await here.run(run);
  assertEquals(code, 0, stderr);
  await here.run(["lab", "merge", "s"]);
  const report = await here.run(["lab", "report", "s"]);
  assertEquals(report.code, 0, report.stderr);
  return report.stdout;
}

async function outcomesIn(here: Workplace) {
  const text = await Deno.readTextFile(here.file("s/trials.jsonl"));
  return text.trim().split("\n").map((line) => JSON.parse(line));
}

Deno.test("Cells with different tokenizers are compared in bits per character", async () => {
  await using here = await Workplace.create();
  const report = await studyOf(here, plan);
  assertStringIncludes(report, "Losses are bits per character of text.txt, on");
  assert(!report.includes("nats per token"), report);
  const outcomes = await outcomesIn(here);
  assertEquals(outcomes.length, 6);
  for (const { cell, valLoss, bitsPerChar } of outcomes) {
    // The text is ASCII: a byte is a character, and a part of a word several.
    const ofToken = valLoss / Math.LN2;
    if (cell === "bpe") assert(bitsPerChar < 0.9 * ofToken);
    else assertEquals(bitsPerChar, ofToken);
  }
  const mean = (name: string) =>
    outcomes.filter(({ cell }) => cell === name)
      .reduce((sum, { bitsPerChar }) => sum + bitsPerChar / 2, 0);
  assertStringIncludes(report, `| \`bpe\` | ${mean("bpe").toFixed(4)} ±`);
  assertStringIncludes(report, (mean("bpe") - mean("chars")).toFixed(4));
});

Deno.test("A study of parts of words shows bits per character beside its losses", async () => {
  await using here = await Workplace.create();
  const cells = [{ name: "a" }, { name: "b", train: { learningRate: 1e-2 } }];
  const report = await studyOf(here, { ...plan, tokenizer: "bpe:262", cells });
  assertStringIncludes(report, "nats per token of text.txt (bpe:262)");
  assertStringIncludes(report, "| bits per character |");
  const [{ bitsPerChar }] = await outcomesIn(here);
  assert(bitsPerChar > 0);
});

Deno.test("A study of documents has <|endoftext|> where its plan says so", async () => {
  await using here = await Workplace.create();
  const documents = { documents: "\n", cells: [{ name: "a" }] };
  await studyOf(here, { ...plan, ...documents });
  const parameters = (await outcomesIn(here))[0].parameters;
  await Deno.remove(here.file("s"), { recursive: true });
  await studyOf(here, { ...plan, cells: [{ name: "a" }] });
  // A line end less, and <|endoftext|> more.
  assertEquals((await outcomesIn(here))[0].parameters, parameters);
  const { setting } = (await outcomesIn(here))[0];
  assertEquals(setting.documents, undefined);
});
