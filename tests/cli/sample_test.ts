import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertStringIncludes,
} from "@std/assert";
import { Model } from "../../lib/model/model.ts";
import { cli, SMALL, TEXT, Workplace } from "./process.ts";

/** A directory with the trained `runs/it`, which all samples here are of. */
async function trained(): Promise<Workplace> {
  const here = await Workplace.create();
  const { code, stderr } = await here.run(
    ["train", ...SMALL, "--out", "runs/it"],
  );
  assertEquals(code, 0, stderr);
  return here;
}

const onReference = ["--device", "reference"];

Deno.test("sample writes prompt and text, the same for the same seed", async () => {
  await using here = await trained();
  const sample = async (...flags: string[]) => {
    const args = ["sample", "runs/it", ...onReference, "--tokens", "20"];
    const { code, stdout, stderr } = await here.run([...args, ...flags]);
    assertEquals(code, 0, stderr);
    return stdout;
  };
  const text = await sample("--prompt", "the cat", "--seed", "7");
  // The text may end in a line end of its own, and then gets no other.
  assertMatch(text, /^the cat[^]{19,20}\n$/);
  assertEquals(await sample("--prompt", "the cat", "--seed", "7"), text);
  assertNotEquals(await sample("--prompt", "the cat", "--seed", "8"), text);

  const greedy = await sample("--temperature", "0", "--seed", "1");
  assertEquals(await sample("--temperature", "0", "--seed", "2"), greedy);
  assertEquals(
    await sample("--top-k", "1", "--temperature", "2"),
    greedy,
  );

  const several = await sample("--num-samples", "2", "--seed", "7");
  const [first, second] = several.split(/^---\n/m);
  assertEquals(await sample("--seed", "7"), first);
  assertEquals(await sample("--seed", "8"), second);

  const until = await sample("--seed", "7", "--stop", "t", "--stop", "a");
  assert(!/[ta]/.test(until), until);
  assert(first!.startsWith(until.trimEnd()));
});

Deno.test("sample --json writes one event a text", async () => {
  await using here = await trained();
  const args =
    "sample runs/it --prompt the --tokens 5 --seed 7 --num-samples 2";
  const { code, stdout } = await here.run(
    [...args.split(" "), ...onReference, "--json"],
  );
  assertEquals(code, 0);
  const texts = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals(texts.map(({ event, prompt, seed }) => [event, prompt, seed]), [
    ["sample", "the", 7],
    ["sample", "the", 8],
  ]);
  for (const { text } of texts) assertEquals(text.length, 5);
  // After the largest seed comes 0.
  const most = await here.run(
    [...args.replace("--seed 7", `--seed ${2 ** 32 - 1}`).split(" "), "--json"]
      .concat(onReference),
  );
  assertEquals(
    most.stdout.trimEnd().split("\n").map((line) => JSON.parse(line).seed),
    [2 ** 32 - 1, 0],
  );
});

Deno.test("sample takes the newest run, the last or the best weights, or a file", async () => {
  await using here = await trained();
  await here.run(["train", ...SMALL, "--out", "runs/newer"]);
  const from = async (...flags: string[]) => {
    const { code, stderr } = await here.run(
      ["sample", ...flags, ...onReference, "--tokens", "1"],
    );
    assertEquals(code, 0, stderr);
    return stderr.split(" on ")[0]!.replaceAll("\\", "/");
  };
  assertEquals(await from(), "runs/newer/checkpoint.safetensors");
  assertEquals(await from("runs/it"), "runs/it/checkpoint.safetensors");
  assertEquals(await from("runs/it", "--best"), "runs/it/best.safetensors");
  const file = "runs/it/best.safetensors";
  assertEquals(await from(file), file);
});

Deno.test("sample says once that the context is full, and continues", async () => {
  await using here = await trained();
  const { code, stdout, stderr } = await here.run(
    ["sample", ...onReference, "--tokens", "60"],
  );
  assertEquals(code, 0);
  assert(stdout.length >= 60);
  assertEquals(stderr.match(/context of 8 tokens/g)?.length, 1);
});

Deno.test("sample refuses what it cannot do", async () => {
  await using here = await trained();
  const whole = await Deno.readFile(
    here.file("runs/it/checkpoint.safetensors"),
  );
  await here.write("cut.safetensors", whole.subarray(0, 9000));
  await here.write("flipped.safetensors", whole.with(9, 0x21));
  const model = await Model.create(
    { vocabSize: 15, nLayer: 1, nHead: 1, nEmbd: 8 },
    { device: "reference" },
  );
  await here.write("wordless.safetensors", await model.save());
  await model[Symbol.asyncDispose]();
  await Deno.mkdir(here.file("runs/empty"));

  const cases: [args: string[], code: number, ...words: string[]][] = [
    [["--top-k", "0"], 2, "--top-k 0: ", "at least 1"],
    [["--temperature", "-1"], 2, "--temperature -1: ", "at least 0"],
    [["--tokens", "0"], 2, "--tokens 0: ", "at least 1"],
    [["--stop", ""], 2, "--stop is an empty text"],
    [["--prompt", "the Cat"], 1, '"C" (U+0043) at line 1, column 5', "hint:"],
    [["--prompt", ""], 1, "is empty"],
    [["nowhere"], 1, "nowhere: there is no such file", "hint: the newest run"],
    [["runs/empty"], 1, "no checkpoint.safetensors", "hint: the newest run"],
    [["text.txt/run"], 1, "Cannot read text.txt/run: it is not a directory\n"],
    [["text.txt"], 1, "Cannot read text.txt: it is not a safetensors file"],
    [["cut.safetensors"], 1, "cut.safetensors: ", "the data at"],
    [["flipped.safetensors"], 1, "Cannot read flipped.safetensors: "],
    [["wordless.safetensors"], 1, "saved without a tokenizer"],
    [["--threads", "2"], 2, "Cannot use --threads with --device reference"],
    [
      ["--device", "wasm", "--threads", "0"],
      2,
      "is not an integer from 1 to 256",
    ],
  ];
  for (const [args, code, ...words] of cases) {
    const outcome = await here.run(["sample", ...onReference, ...args]);
    assertEquals([outcome.code, outcome.stdout], [code, ""], args.join(" "));
    for (const word of words) assertStringIncludes(outcome.stderr, word);
    assert(!/^ +at /m.test(outcome.stderr), outcome.stderr); // no stack
  }
});

Deno.test("sample knows that there is no run yet", async () => {
  await using here = await Workplace.create();
  const { code, stderr } = await here.run(["sample"]);
  assertEquals(code, 1);
  assertMatch(stderr, /there is none in runs\/\nhint: .* train makes one/);
});

Deno.test("sample prints text of any alphabet", async () => {
  await using here = await Workplace.create();
  await here.write("text.txt", TEXT.replaceAll("a", "é").replaceAll("t", "𝄞"));
  for (const tokenizer of ["chars", "bytes"]) {
    const out = ["--out", tokenizer, "--tokenizer", tokenizer];
    const training = await here.run(["train", ...SMALL, ...out]);
    assertEquals(training.code, 0, training.stderr);
    const { code, stdout } = await here.run(
      ["sample", tokenizer, ...onReference, "--prompt", "é𝄞", "--tokens", "9"],
    );
    assertEquals(code, 0);
    assert(stdout.startsWith("é𝄞"), stdout);
  }
});

Deno.test("sample reads its prompt from a file or from standard input, with plain line ends", async () => {
  await using here = await trained();
  const flags = ["sample", "runs/it", ...onReference, "--tokens", "9"];
  const seeded = [...flags, "--seed", "3"];
  const plain = await here.run([...seeded, "--prompt", "the cat\nsat"]);
  assertEquals(plain.code, 0, plain.stderr);
  await here.write("prompt.txt", "\ufeffthe cat\r\nsat");
  const typed = await here.run([...seeded, "--prompt", "the cat\r\nsat"]);
  assertEquals(typed.stdout, plain.stdout);
  const file = await here.run([...seeded, "--prompt-file", "prompt.txt"]);
  assertEquals(file.stdout, plain.stdout);
  const piped = await new Deno.Command("sh", {
    args: ["-c", 'cat prompt.txt | "$0" run -A "$@"', Deno.execPath(), cli]
      .concat(seeded, "--prompt", "-"),
    cwd: here.path,
    env: { NO_COLOR: "1" },
  }).output();
  assertEquals(new TextDecoder().decode(piped.stdout), plain.stdout);

  // A stop text with CR LF ends where the one with LF does.
  const long = [...seeded.with(-3, "300"), "--temperature", "9"];
  const { stdout: whole } = await here.run(long);
  const at = whole.indexOf("\n", 5);
  assert(at > 0 && at < 299, whole);
  const stop = whole.slice(at - 1, at + 2);
  for (const given of [stop, stop.replace("\n", "\r\n")]) {
    assertEquals(
      (await here.run([...long, "--stop", given])).stdout,
      `${whole.slice(0, whole.indexOf(stop))}\n`,
    );
  }

  const refused: [args: string[], code: number, word: string][] = [
    [["--prompt-file", "nowhere.txt"], 1, "there is no such file"],
    [["--prompt-file", "."], 1, "it is a directory"],
    [["--prompt-file", "prompt.txt", "--prompt", "the"], 2, "both --prompt"],
  ];
  for (const [args, code, word] of refused) {
    const outcome = await here.run([...seeded, ...args]);
    assertEquals(outcome.code, code, outcome.stderr);
    assertStringIncludes(outcome.stderr, word);
  }
});
