import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { SMALL, TEXT, Workplace } from "./process.ts";

const onReference = ["--device", "reference"];

Deno.test("eval measures what training measured last", async () => {
  await using here = await Workplace.create();
  const training = await here.run(
    ["train", ...SMALL, "--out", "runs/it", "--json"],
  );
  const last = training.stdout.trimEnd().split("\n").map((line) =>
    JSON.parse(line)
  ).findLast(({ event }) => event === "eval");
  const { code, stdout, stderr } = await here.run(
    ["eval", ...onReference, "--json"],
  );
  assertEquals(code, 0, stderr);
  const event = JSON.parse(stdout);
  assertEquals(event.event, "eval");
  assertEquals(event.step, 12);
  assertEquals(event.split, "val");
  assertEquals(event.tokens, 239); // a tenth of 2,400, of which the first is predicted by nothing
  // The checkpoint keeps float64, but the batches differ, and so the order of the sum.
  assertAlmostEquals(event.valLoss, last.valLoss, 1e-12);
  assertAlmostEquals(event.bitsPerChar, last.bitsPerChar, 1e-12);
  assertAlmostEquals(event.perplexity, Math.exp(last.valLoss), 1e-9);

  const other = await here.run(
    ["eval", "runs/it", ...onReference, "--split", "train", "--json"],
  );
  const { tokens, trainLoss } = JSON.parse(other.stdout);
  assertEquals(tokens, 2159);
  assertEquals(typeof trainLoss, "number");

  const text = await here.run(["eval", "runs/it", ...onReference]);
  assertMatch(text.stdout, /^loss +\d\.\d{4} nats per token$/m);
  assertMatch(text.stdout, /^text +.*text\.txt, validation split$/m);
});

Deno.test("eval --best measures the lowest loss that a run recorded, not its last", async () => {
  await using here = await Workplace.create();
  const flags =
    "--learning-rate 0.3 --muon-learning-rate 0.9 --schedule constant --steps 48";
  const training = await here.run(
    ["train", ...SMALL, ...flags.split(" "), "--out", "run", "--json"],
  );
  const losses = training.stdout.trimEnd().split("\n")
    .map((line) => JSON.parse(line))
    .filter(({ event }) => event === "eval")
    .map(({ valLoss }) => valLoss as number);
  const lowest = Math.min(...losses);
  assert(lowest < losses.at(-1)! && lowest !== losses[0], `${losses}`);
  for (
    const [best, loss] of [[["--best"], lowest], [[], losses.at(-1)!]] as const
  ) {
    const { stdout, stderr } = await here.run(
      ["eval", "run", ...best, ...onReference, "--json"],
    );
    // The best weights are kept in 32 bits.
    assertAlmostEquals(JSON.parse(stdout).valLoss, loss, 1e-5, stderr);
  }
});

Deno.test("eval measures the whole of another text, however short, and says so", async () => {
  await using here = await Workplace.create();
  await here.run(["train", ...SMALL, "--out", "run"]);
  await here.write("other.txt", "the cat sat");
  const evaluate = async (...args: string[]) => {
    const { code, stdout, stderr } = await here.run(
      ["eval", "run", ...onReference, ...args],
    );
    assertEquals(code, 0, stderr);
    return stdout;
  };
  const event = JSON.parse(await evaluate("--data", "other.txt", "--json"));
  assertEquals([event.split, event.tokens], ["all", 10]);
  assertEquals(typeof event.allLoss, "number");
  assertMatch(
    await evaluate("--data", "other.txt"),
    /^text +.*other\.txt, whole text$/m,
  );
  // The last tenth alone has to be asked for; a copy of the run's own text is its own text.
  await here.write("other.txt", TEXT.slice(0, 1000));
  const val = JSON.parse(
    await evaluate("--data", "other.txt", "--split", "val", "--json"),
  );
  assertEquals([val.split, val.tokens], ["val", 99]);
  await here.write("copy.txt", TEXT);
  const copy = JSON.parse(await evaluate("--data", "copy.txt", "--json"));
  assertEquals([copy.split, copy.tokens], ["val", 239]);
  // All of a text is its two splits and the token between them.
  const [whole, train, own] = await Promise.all(["all", "train", "val"].map(
    async (split) => JSON.parse(await evaluate("--split", split, "--json")),
  ));
  assertEquals(whole.tokens, train.tokens + own.tokens + 1);
});

Deno.test("eval counts characters, not bytes", async () => {
  await using here = await Workplace.create();
  const flags = ["--out", "run", "--tokenizer", "bytes", "--json"];
  // Two, three and four bytes each.
  for (const char of ["é", "€", "😀"]) {
    const text = TEXT.replaceAll("a", char);
    await here.write("text.txt", text);
    const training = await here.run(["train", ...SMALL, ...flags]);
    const last = training.stdout.trimEnd().split("\n")
      .map((line) => JSON.parse(line))
      .findLast(({ event }) => event === "eval");
    const { stdout } = await here.run(
      ["eval", "run", ...onReference, "--json"],
    );
    await Deno.remove(here.file("run"), { recursive: true });
    const { valLoss, bitsPerChar } = JSON.parse(stdout);
    // The last tenth, of which the first byte is predicted by nothing.
    const bytes = new TextEncoder().encode(text);
    const predicted = bytes.subarray(Math.floor(0.9 * bytes.length) + 1);
    const characters = predicted.filter((byte) => byte >> 6 !== 0b10).length;
    const expected = valLoss / Math.LN2 * predicted.length / characters;
    assertAlmostEquals(bitsPerChar, expected, 1e-12, char);
    assertAlmostEquals(last.bitsPerChar, expected, 1e-12, char);
  }
});

Deno.test("eval of a part counts the characters of that part", async () => {
  await using here = await Workplace.create();
  const flags = ["--out", "run", "--tokenizer", "bytes"];
  await here.run(["train", ...SMALL, ...flags]);
  await here.write("mixed.txt", `${TEXT.slice(0, 300)}${"é".repeat(300)}`);
  const measured = async (...more: string[]) => {
    const { stdout } = await here.run([
      ...["eval", "run", ...onReference, "--json", "--data", "mixed.txt"],
      ...["--split", "all", "--batch-size", "1", ...more],
    ]);
    const { allLoss, bitsPerChar, tokens } = JSON.parse(stdout);
    return { ratio: bitsPerChar * Math.LN2 / allLoss, tokens };
  };
  // The first window is ASCII; of all 899 predicted bytes 300 continue a character.
  const part = await measured("--eval-tokens", "8");
  assertEquals(part.tokens, 8);
  assertAlmostEquals(part.ratio, 1, 1e-12);
  assertAlmostEquals((await measured()).ratio, 899 / 599, 1e-12);
});

Deno.test("eval refuses what it cannot do", async () => {
  await using here = await Workplace.create();
  await here.run(["train", ...SMALL, "--out", "run"]);
  await here.write("foreign.txt", "ABC ".repeat(50));
  await here.write("short.txt", "the cat");
  await here.write("letter.txt", "t");
  await here.write("empty.txt", "");
  await Deno.copyFile(
    here.file("run/checkpoint.safetensors"),
    here.file("lone.safetensors"),
  );
  const cases: [args: string, code: number, ...words: string[]][] = [
    ["run --block-size 9", 2, "--block-size (9)", "the model's own (8)"],
    ["run --batch-size 0", 2, "--batch-size 0: "],
    ["run --data foreign.txt", 1, '"A" (U+0041) at line 1, column 1'],
    ["run --data short.txt --split val", 1, "has 1 tokens", "--split all"],
    ["run --data letter.txt", 1, "has 1 tokens, needs at least 2"],
    ["run --data empty.txt", 1, "has 0 tokens, needs at least 2"],
    ["run --data nowhere.txt", 1, "nowhere.txt: there is no such file"],
    ["lone.safetensors", 1, "no config.json beside it", "hint: --data"],
  ];
  for (const [args, code, ...words] of cases) {
    const outcome = await here.run(
      ["eval", ...onReference, ...args.split(" ")],
    );
    assertEquals([outcome.code, outcome.stdout], [code, ""], args);
    for (const word of words) assertStringIncludes(outcome.stderr, word);
  }
  await here.write("text.txt", `${TEXT}the cat\n`);
  const changed = await here.run(["eval", "run", ...onReference]);
  assertEquals(changed.code, 1);
  assertStringIncludes(changed.stderr, "it has changed since the run began");
});

Deno.test("train counts the characters of what an evaluation measured, as eval does", async () => {
  await using here = await Workplace.create();
  // The validation split begins with characters of one byte and ends with some of two.
  const mixed = TEXT.slice(0, 2000) + "a".repeat(100) + "é".repeat(100);
  await here.write("text.txt", mixed);
  const flags = "--out run --tokenizer bytes --eval-tokens 64 --json";
  const { stdout } = await here.run(["train", ...SMALL, ...flags.split(" ")]);
  const last = stdout.trimEnd().split("\n").map((line) => JSON.parse(line))
    .findLast(({ event }) => event === "eval");
  const shape = "--batch-size 2 --eval-tokens 64 --json".split(" ");
  const again = await here.run(["eval", "run", ...onReference, ...shape]);
  const event = JSON.parse(again.stdout);
  assertEquals([last.tokens, event.tokens], [64, 64]);
  assertEquals(event.valLoss, last.valLoss);
  assertAlmostEquals(event.bitsPerChar, last.bitsPerChar, 1e-12);
  // Of the whole split it is another ratio.
  const whole = await here.run(["eval", "run", ...onReference, "--json"]);
  const { bitsPerChar, valLoss } = JSON.parse(whole.stdout);
  assert(
    Math.abs(bitsPerChar / valLoss - last.bitsPerChar / last.valLoss) > 1e-3,
  );
});
