import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { charactersPerToken } from "../../lib/cli/corpus.ts";
import { Tokenizer } from "../../lib/tokenizer.ts";
import { SMALL, TEXT, Workplace } from "./process.ts";

Deno.test("Bits per character count the characters of the predicted tokens", () => {
  const perToken = (text: string, tokenizer = Tokenizer.bytes()) =>
    charactersPerToken(tokenizer, tokenizer.encode(text));
  // The bytes after the first: a continuation and "b"; two continuations, "b" and "c"; and so on.
  assertEquals(perToken("éb"), 1 / 2);
  assertEquals(perToken("€bc"), 2 / 4);
  assertEquals(perToken("a€"), 1 / 3);
  assertEquals(perToken("a😀b"), 2 / 5);
  assertEquals(perToken("abc"), 1);
  assertEquals(perToken("a"), 1);
  assertEquals(perToken("éb", Tokenizer.chars("éb")), 1);
});

Deno.test("--data takes text as editors on Windows write it, and says what it changes", async () => {
  await using here = await Workplace.create();
  await here.run(["train", ...SMALL, "--out", "plain"]);
  await here.write("text.txt", `\ufeff${TEXT.replaceAll("\n", "\r\n")}`);
  const { code, stderr } = await here.run(["train", ...SMALL, "--out", "crlf"]);
  assertEquals(code, 0, stderr);
  assertStringIncludes(stderr, "begins with a byte order mark, left out");
  assertStringIncludes(stderr, "has line ends CR LF, read as LF");
  assertEquals(
    await Deno.readFile(here.file("crlf/checkpoint.safetensors")),
    await Deno.readFile(here.file("plain/checkpoint.safetensors")),
  );
});

Deno.test("--data refuses what is no text, or too short, or not for the tokenizer", async () => {
  await using here = await Workplace.create();
  const latin1 = (text: string) =>
    Uint8Array.from(text, (char) => char.charCodeAt(0));
  await here.write("latin1", latin1(`${TEXT}café au lait`));
  await here.write("cut", latin1(`${TEXT}caf\xc3`));
  await here.write("utf16", latin1("\xff\xfet\0h\0e\0"));
  await here.write("binary", `${TEXT}\0`);
  await here.write("empty", "");
  await here.write("short", "the cat");
  await here.write("accents", `the cat\nsat à côté ${TEXT}`);
  const cases: [args: string, code: number, ...words: string[]][] = [
    ["latin1", 1, "byte 2403 (0xe9) is not UTF-8", "hint:"],
    ["cut", 1, "byte 2403 (0xc3) is not UTF-8"],
    ["utf16", 1, "it is UTF-16", "hint: iconv"],
    ["binary", 1, "character 2400 is NUL"],
    ["empty", 1, "has 0 tokens, --block-size 8 needs at least 11"],
    ["empty --tokenizer ascii", 1, "has 0 tokens", "needs at least 11"],
    ["short", 1, "has 7 tokens, --block-size 8 needs at least 11", "hint:"],
    [
      "accents --tokenizer ascii",
      1,
      '"à" (U+00E0) at line 2, column 5',
      "hint: --tokenizer chars",
    ],
    [".", 1, "Cannot read .: "],
    ["nowhere.txt", 1, "nowhere.txt: there is no such file", "tinyshakespeare"],
    ["tinyshakespear", 1, "did you mean tinyshakespeare?"],
  ];
  for (const [args, code, ...words] of cases) {
    const outcome = await here.run(
      ["train", ...SMALL, "--out", "run", "--data", ...args.split(" ")],
    );
    assertEquals([outcome.code, outcome.stdout], [code, ""], args);
    for (const word of words) assertStringIncludes(outcome.stderr, word);
  }
  // None of them has left a run behind.
  assertEquals(await Deno.stat(here.file("run")).catch(() => "none"), "none");
});

/** A machine that does not reach tiny Shakespeare, and has no text cached. */
async function cutOff(here: Workplace) {
  const info = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json"],
  }).output();
  const { denoDir } = JSON.parse(new TextDecoder().decode(info.stdout));
  return {
    env: {
      // Or Deno's own cache would move along with the user's.
      DENO_DIR: denoDir,
      LM_DATA_DIR: here.file("data"),
      XDG_CACHE_HOME: here.file("cache"),
      LOCALAPPDATA: here.file("cache"),
    },
    permissions: ["--deny-net=raw.githubusercontent.com"],
  };
}

const smallest = "--preset tiny --steps 1 --device reference --n-layer 1 " +
  "--eval-interval 0 --n-head 1 --n-embd 2 --block-size 2 --batch-size 1";

Deno.test("--data NAME never means another text", async () => {
  await using here = await Workplace.create();
  const { code, stdout, stderr } = await here.run(
    ["train", ...smallest.split(" "), "--data", "tinyshakespeare"],
    await cutOff(here),
  );
  assertEquals([code, stdout], [1, ""]);
  assertMatch(stderr, /^error: Cannot download tinyshakespeare [^]*\nhint: /);
});

Deno.test("train without --data takes Moby Dick where tiny Shakespeare cannot be had, loudly", async () => {
  await using here = await Workplace.create();
  // Moby Dick cannot be had either, but for a directory that claims it: the
  // complaint about its sum shows that it was turned to.
  await Deno.mkdir(here.file("data"));
  await here.write("data/moby-dick.txt", "Call me Ahab.");
  const { code, stderr } = await here.run(
    ["train", ...smallest.split(" ")],
    await cutOff(here),
  );
  assertEquals(code, 1);
  assertMatch(stderr, /^warning: Cannot download tinyshakespeare /m);
  assertMatch(stderr, /^warning: TRAINING ON ANOTHER TEXT, moby-dick: /m);
  assertMatch(
    stderr,
    /^error: Cannot load moby-dick: .*moby-dick\.txt has 13 /m,
  );
});
