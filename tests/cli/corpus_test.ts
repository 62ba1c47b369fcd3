import {
  assertEquals,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { loadCorpus } from "../../lib/cli/text/corpus.ts";
import { charactersIn, Tokenizer } from "../../lib/text/tokenizer.ts";
import { PlainTextDecoder } from "../../lib/cli/text/plain_text.ts";
import { command, SMALL, TEXT, Workplace } from "./process.ts";

/** The smallest training, on another text. */
function smallOn(...data: string[]): string[] {
  return SMALL.flatMap((word) => word === "text.txt" ? data : [word]);
}

Deno.test("Bits per character count the characters of the predicted tokens", () => {
  const counted = (text: string, tokenizer = Tokenizer.bytes()) =>
    charactersIn(tokenizer, tokenizer.encode(text).subarray(1));
  // The bytes after the first: a continuation and "b"; two continuations, "b" and "c"; and so on.
  assertEquals(counted("éb"), 1);
  assertEquals(counted("€bc"), 2);
  assertEquals(counted("a€"), 1);
  assertEquals(counted("a😀b"), 2);
  assertEquals(counted("abc"), 2);
  assertEquals(counted("éb", Tokenizer.chars("éb")), 1);
  assertEquals(charactersIn(undefined, Int32Array.of(0x80, -1, 5)), 2);
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

Deno.test("--data refuses what is not text, or too short, or not for the tokenizer", async () => {
  await using here = await Workplace.create();
  const latin1 = (text: string) =>
    Uint8Array.from(text, (char) => char.charCodeAt(0));
  await here.write("latin1", latin1(`${TEXT}café au lait`));
  await here.write("cut", latin1(`${TEXT}caf\xc3`));
  await here.write("utf16", latin1("\xff\xfet\0h\0e\0"));
  await here.write("binary", `${TEXT}\0`);
  await here.write("empty", "");
  await here.write("letter", "t");
  await Deno.mkdir(here.file("folder"));
  await here.write("folder/picture.png", "");
  await here.write("short", "the cat");
  await here.write("accents", `the cat\nsat à côté ${TEXT}`);
  const cases: [args: string, code: number, ...words: string[]][] = [
    ["latin1", 1, "byte 2403 (0xe9) is not UTF-8", "hint:"],
    ["cut", 1, "byte 2403 (0xc3) is not UTF-8"],
    ["utf16", 1, "it is UTF-16", "hint: iconv"],
    ["binary", 1, "character 2400 is NUL"],
    ["empty", 1, "has 0 tokens, --block-size 8 needs at least 11"],
    ["empty --tokenizer ascii", 1, "has 0 tokens", "needs at least 11"],
    ["letter", 1, "has 1 tokens, --block-size 8 needs at least 11"],
    ["short", 1, "has 7 tokens, --block-size 8 needs at least 11", "hint:"],
    [
      "accents --tokenizer ascii",
      1,
      '"à" (U+00E0) at line 2, column 5',
      "hint: --tokenizer chars",
    ],
    ["folder", 1, "Cannot read folder: the folder has no .txt"],
    ["/dev/null", 1, "Cannot read /dev/null: it is a device"],
    ["nowhere.txt", 1, "nowhere.txt: there is no such file", "tinyshakespeare"],
    ["tinyshakespear", 1, "did you mean tinyshakespeare?"],
  ];
  for (const [args, code, ...words] of cases) {
    const outcome = await here.run(
      ["train", ...smallOn(...args.split(" ")), "--out", "run"],
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

/** Runs the program with bytes on its standard input. */
async function withInput(here: Workplace, args: string[], input: string) {
  const file = here.file("input");
  await Deno.writeTextFile(file, input);
  const shell = new Deno.Command("sh", {
    args: [
      "-c",
      `cat input | "$0" run -A "$@"`,
      Deno.execPath(),
      new URL("../../cli.ts", import.meta.url).href,
      ...args,
    ],
    cwd: here.path,
    env: { NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  });
  const { code, stdout, stderr } = await shell.output();
  const [out, error] = [stdout, stderr].map((bytes) =>
    new TextDecoder().decode(bytes)
  );
  return { code, stdout: out!, stderr: error! };
}

const weights = (here: Workplace, run: string) =>
  Deno.readFile(here.file(run, "checkpoint.safetensors"));

Deno.test("--data - reads standard input, a pipe is read like a file, and resuming asks for the text again", async () => {
  await using here = await Workplace.create();
  await here.run(["train", ...SMALL, "--out", "plain"]);
  const piped = await withInput(
    here,
    ["train", ...smallOn("-"), "--out", "piped"],
    TEXT,
  );
  assertEquals(piped.code, 0, piped.stderr);
  assertStringIncludes(piped.stderr, "standard input: 2,400 tokens");
  assertEquals(await weights(here, "piped"), await weights(here, "plain"));
  const config = JSON.parse(
    await Deno.readTextFile(here.file("piped/config.json")),
  );
  const plain = JSON.parse(
    await Deno.readTextFile(here.file("plain/config.json")),
  );
  assertEquals(config.data.file, "-");
  assertEquals(config.data.sha256, plain.data.sha256);

  const more = [
    "train",
    "--resume",
    "piped",
    "--steps",
    "14",
    "--device",
    "reference",
  ];
  const without = await here.run(more);
  assertEquals(without.code, 1);
  assertStringIncludes(
    without.stderr,
    "it came from standard input\nhint: --data",
  );
  const other = await withInput(
    here,
    [...more, "--data", "-"],
    "no".repeat(99),
  );
  assertEquals(other.code, 1);
  assertStringIncludes(other.stderr, "it is another text");
  const resumed = await withInput(here, [...more, "--data", "-"], TEXT);
  assertEquals(resumed.code, 0, resumed.stderr);
  // Nothing is left of the copies.
  const left = (await Array.fromAsync(
    Deno.readDir(Deno.env.get("TMPDIR") ?? "/tmp"),
  )).filter(({ name }) => name.startsWith("lm-text-"));
  assertEquals(left, []);
});

Deno.test("--data takes several files, and a folder as its files in the order of their paths", async () => {
  await using here = await Workplace.create();
  await here.run(["train", ...SMALL, "--out", "plain"]);
  await Deno.mkdir(here.file("texts/b"), { recursive: true });
  await Deno.mkdir(here.file("texts/.git"));
  await here.write("texts/a.txt", TEXT.slice(0, 500));
  await here.write("texts/b/1.md", TEXT.slice(500, 900));
  await here.write("texts/c.TXT", `\ufeff${TEXT.slice(900)}`);
  for (const hidden of [".git/x.txt", ".b.txt", "b/picture.png"]) {
    await here.write(`texts/${hidden}`, "XYZ");
  }
  const parts = ["texts/a.txt", "texts/b/1.md", "texts/c.TXT"];
  const runs: Record<string, string[]> = {
    folder: ["texts"],
    files: parts.flatMap((part, i) => i === 0 ? [part] : ["--data", part]),
    mixed: ["texts/a.txt", "--data", "texts/b", "--data", "texts/c.TXT"],
  };
  const saved = new Map([["plain", await weights(here, "plain")]]);
  for (const [out, data] of Object.entries(runs)) {
    const { code, stderr } = await here.run(
      ["train", ...smallOn(...data), "--out", out],
    );
    assertEquals(code, 0, stderr);
    // The files of a folder are documents; a file beside a folder is one too.
    const same = out === "files" ? "plain" : "folder";
    saved.set(out, await weights(here, out));
    assertEquals(saved.get(out), saved.get(same), out);
    const resumed = await here.run(
      ["train", "--resume", out, "--steps", "13", "--device", "reference"],
    );
    assertEquals(resumed.code, 0, resumed.stderr);
  }
  await here.write("texts/b/2.txt", "one more\n");
  for (const out of ["folder", "mixed"]) {
    const changed = await here.run(
      ["train", "--resume", out, "--steps", "14", "--device", "reference"],
    );
    assertEquals(changed.code, 1);
    assertStringIncludes(changed.stderr, "it has changed since the run began");
  }
  await here.write("texts/b/1.md", "naïve");
  const unknown = await here.run(
    ["train", ...smallOn("texts"), "--tokenizer", "ascii", "--out", "ascii"],
  );
  assertStringIncludes(
    unknown.stderr,
    'texts/b/1.md: character "ï" (U+00EF) at line 1, column 3',
  );
});

Deno.test("PlainTextDecoder gives the same text wherever the bytes are cut", () => {
  const encoder = new TextEncoder();
  const text = "\ufeffone\r\ntwo\rthree\r\r\nnaïve — 🎭\r\n\ufeff\r";
  const bytes = encoder.encode(text);
  for (let size = 1; size <= bytes.length; size++) {
    const decoder = new PlainTextDecoder("it");
    let read = "";
    for (let at = 0; at < bytes.length; at += size) {
      read += decoder.push(bytes.subarray(at, at + size));
    }
    read += decoder.end();
    // A CR alone stays, and so does a byte order mark in the middle.
    assertEquals(read, text.slice(1).replaceAll("\r\n", "\n"), `${size}`);
    assertEquals([decoder.hadByteOrderMark, decoder.hadCarriageReturns], [
      true,
      true,
    ]);
  }
});

Deno.test("PlainTextDecoder names the byte that is not UTF-8 wherever the bytes are cut", () => {
  const cases: [bytes: number[], found: string][] = [
    [[97, 98, 0xff, 99], "byte 2 (0xff) is not UTF-8"],
    [[97, 0xc3, 0xa9, 0xc3, 98], "byte 3 (0xc3) is not UTF-8"],
    [[97, 0xf0, 0x9f, 0x8e], "byte 1 (0xf0) is not UTF-8"],
    [[97, 0x80], "byte 1 (0x80) is not UTF-8"],
    [[0xed, 0xa0, 0x80, 97], "byte 0 (0xed) is not UTF-8"],
    [[0xff, 0xfe, 97, 0], "it is UTF-16"],
    [[0xfe, 0xff, 0, 97], "it is UTF-16"],
    [[0xff], "byte 0 (0xff) is not UTF-8"],
    [[97, 98, 0, 99], "character 2 is NUL"],
  ];
  for (const [bytes, found] of cases) {
    for (const size of [1, 2, 3, 100]) {
      const decoder = new PlainTextDecoder("it");
      const error = assertThrows(() => {
        for (let at = 0; at < bytes.length; at += size) {
          decoder.push(Uint8Array.from(bytes.slice(at, at + size)));
        }
        decoder.end();
      }, Error);
      assertStringIncludes(error.message, found, `in pieces of ${size}`);
    }
  }
});

Deno.test("A text read in small pieces is the text read at once, bit for bit", async () => {
  await using here = await Workplace.create();
  const text = "naïve 🎭 text\r\nof two lines\r".repeat(40);
  await here.write("text.txt", text);
  const { signal } = new AbortController();
  const plain = text.replaceAll("\r\n", "\n");
  for (const kind of ["chars", "bytes"] as const) {
    const whole = kind === "chars" ? Tokenizer.chars(plain) : Tokenizer.bytes();
    for (const pieceSize of [1, 2, 3, 5, 64, 1 << 20]) {
      const { tokens, tokenizer, record } = await loadCorpus(
        here.file("text.txt"),
        { tokenizer: kind, signal, pieceSize },
      );
      assertEquals(tokenizer.toJSON(), whole.toJSON());
      assertEquals(tokens, Uint8Array.from(whole.encode(plain)));
      const bytes = new TextEncoder().encode(text);
      assertEquals(record.bytes, bytes.length);
      const sum = await crypto.subtle.digest("SHA-256", bytes);
      assertEquals(record.sha256, new Uint8Array(sum).toHex());
    }
  }
});

Deno.test("Reading an endless pipe stops at the signal", async () => {
  await using here = await Workplace.create();
  const made = await new Deno.Command("mkfifo", { args: [here.file("pipe")] })
    .output();
  assertEquals(made.code, 0);
  const child = command(["train", ...smallOn("pipe")], { cwd: here.path })
    .spawn();
  // Opened for both, so that it never ends.
  using _pipe = await Deno.open(here.file("pipe"), { read: true, write: true });
  await new Promise((resolve) => setTimeout(resolve, 1500));
  child.kill("SIGINT");
  const { code } = await child.output();
  assertEquals(code, 130);
});
