/** `report` as a user runs it: what the page says, that it needs nothing else, and what happens where things are missing. */

import {
  assert,
  assertEquals,
  assertLess,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { parseHTML } from "linkedom";
import { SMALL, Workplace } from "./process.ts";

/** What is looked at of a page's document. */
interface Elements {
  querySelectorAll(selector: string): Iterable<Element> & { length: number };
  querySelector(selector: string): Element | null;
}

interface Element extends Elements {
  readonly id: string;
  readonly textContent: string;
  getAttribute(name: string): string | null;
}

const onReference = ["--device", "reference"];

/** A directory with a small run in it, `run`. */
async function withRun(...flags: string[]): Promise<Workplace> {
  const here = await Workplace.create();
  const { code, stderr } = await here.run(
    ["train", ...SMALL, "--out", "run", ...flags],
  );
  assertEquals(code, 0, stderr);
  return here;
}

/** Runs `report` and reads what it wrote. */
async function reportOf(
  here: Workplace,
  ...args: string[]
): Promise<{ path: string; text: string; document: Elements }> {
  const { code, stdout, stderr } = await here.run(
    ["report", ...args, ...onReference],
  );
  assertEquals(code, 0, stderr);
  assertEquals(stderr, "");
  const path = stdout.trimEnd();
  const text = await Deno.readTextFile(here.file(path));
  const { document } = parseHTML(text) as unknown as { document: Elements };
  return { path, text, document };
}

function idsOf(document: Elements): string[] {
  return Array.from(document.querySelectorAll("section"), ({ id }) => id);
}

function textIn(document: Elements, selector: string): string {
  return document.querySelector(selector)?.textContent ?? "";
}

/** Checks that a page takes nothing from elsewhere and asks for no more than it has. */
function assertSelfContained(text: string, document: Elements): void {
  for (const element of document.querySelectorAll("[src], [href]")) {
    const to = element.getAttribute("src") ?? element.getAttribute("href")!;
    assertMatch(to, /^#/);
    assert(document.querySelector(to), `${to} leads nowhere`);
  }
  assert(!/url\(|@import|<(link|img|iframe|object|embed|base)\b/i.test(text));
  assertStringIncludes(text, "default-src &#39;none&#39;");
}

Deno.test("report draws a run: every section, with nothing from elsewhere", async () => {
  await using here = await withRun();
  const { path, text, document } = await reportOf(here, "run");
  assertMatch(path, /^run.report\.html$/);
  assertEquals(idsOf(document), [
    ...["loss", "passage", "attention", "samples"],
    ...["training", "updates", "configuration"],
  ]);
  assertSelfContained(text, document);
  // Far below what a browser minds; a run of 5000 steps is another test.
  assertLess(text.length, 300_000);
  assertEquals(
    document.querySelectorAll("[role=img]:not([aria-label])").length,
    0,
  );

  assertStringIncludes(textIn(document, "h1"), "run");
  assertMatch(
    textIn(document, ".summary"),
    /12 steps on text\.txt: lowest (and last )?validation loss/,
  );
  assertMatch(
    textIn(document, "pre.command"),
    / train --preset tiny .*--out run$/,
  );
  const loss = textIn(document, "#loss");
  for (const name of ["uniform", "unigram", "bigram", "trigram", "5-gram"]) {
    assertMatch(loss, new RegExp(`${name} \\d\\.\\d\\d`));
  }
  assertEquals(document.querySelectorAll("#loss tbody tr").length, 2);
  // One layer, one head; 8 positions are the model's all.
  const heads = [...document.querySelectorAll("#attention figure")];
  assertEquals(heads.map((head) => head.getAttribute("data-t")), ["8"]);
  const bytes = Uint8Array.fromBase64(heads[0]!.getAttribute("data-p")!);
  assertEquals(bytes.length, 8 * 8);
  assertEquals([bytes[0], bytes[1]], [255, 0]);
  const spans = [...document.querySelectorAll(".passage span")];
  assert(spans.length > 100);
  for (const span of spans) {
    assertMatch(
      span.getAttribute("title")!,
      /^\S+ +\d+\.\d\d nats, .*expected: \S+ /,
    );
  }
  assertEquals(document.querySelectorAll("#samples figure").length, 2);
  assertEquals(document.querySelectorAll("#training figure").length, 3);
  assertStringIncludes(textIn(document, "#updates"), "attn.c_attn");
  const chosen = Array.from(
    document.querySelectorAll("#configuration td b"),
    ({ textContent }) => textContent,
  );
  assertEquals(chosen[chosen.indexOf("blockSize") + 1], "8");
  assert(!chosen.includes("theta"), String(chosen));
});

Deno.test("report escapes the text of a run", async () => {
  await using here = await Workplace.create();
  await here.write(
    "text.txt",
    `<script>alert("&amp;")</script><b>'\n`.repeat(80),
  );
  const args = ["train", ...SMALL, "--out", "<i>run", "--seed", "3"];
  assertEquals((await here.run(args)).code, 0);
  const { document } = await reportOf(here, "<i>run");
  assertEquals(document.querySelectorAll("script").length, 1);
  assertEquals(document.querySelectorAll("i:not([class])").length, 0);
  assertEquals(textIn(document, "h1"), "<i>run");
});

Deno.test("report shows a run of bytes", async () => {
  await using here = await Workplace.create();
  await here.write("text.txt", "Zoë naïve café, 日本.\n".repeat(120));
  const args = ["train", ...SMALL, "--out", "run", "--tokenizer", "bytes"];
  assertEquals((await here.run(args)).code, 0);
  const { document } = await reportOf(here, "run");
  const passage = textIn(document, ".passage");
  assertStringIncludes(passage, String.raw`Zo\xC3\xAB na\xC3\xAFve`);
});

Deno.test("report shows the tokens of byte pair encoding: white space, parts of characters, ends of documents", async () => {
  await using here = await Workplace.create();
  const line = JSON.stringify({ text: "A naïve café\n\tand 日 or 本.\n" });
  await here.write("text.jsonl", `${line}\n`.repeat(120) + `{"text": "€"}`);
  const args = SMALL.map((word) => word === "text.txt" ? "text.jsonl" : word);
  const made = ["--out", "run", "--tokenizer", "bpe:275"];
  assertEquals((await here.run(["train", ...args, ...made])).code, 0);
  const { document } = await reportOf(here, "run");
  const passage = textIn(document, ".passage");
  assertStringIncludes(passage, String.raw`A na\xC3\xAFve café⏎`);
  assertStringIncludes(passage, "⏎\n⇥and 日 or 本.⏎\n<|endoftext|>A na");
  const spans = document.querySelectorAll(".passage span");
  const labels = Array.from(
    spans,
    (span) => span.getAttribute("title")!.split("  ")[0]!,
  );
  assert(labels.includes("␣caf") && labels.includes("⏎"));
  assert(labels.includes("<|endoftext|>"));
  assertStringIncludes(passage, String.raw`\xE2\x82\xAC<|endoftext|>`);
  assert(labels.includes(String.raw`\xAC`));
});

Deno.test("report says what it cannot show, and shows the rest", async () => {
  await using here = await withRun();
  await Deno.remove(here.file("text.txt"));
  const withoutText = await reportOf(here, "run");
  assertMatch(
    textIn(withoutText.document, "#loss .note"),
    /No n-gram models .*text\.txt: there is no such file\./,
  );
  assertStringIncludes(
    textIn(withoutText.document, "#passage"),
    "own last sample",
  );
  assert(idsOf(withoutText.document).includes("attention"));

  await Deno.remove(here.file("run/best.safetensors"));
  const metrics = await Deno.readTextFile(here.file("run/metrics.jsonl"));
  const cut = metrics.split("\n")
    .filter((line) => !/"event":"(eval|sample|update|end)"/.test(line));
  // As of a run that goes on, and writes a line just now.
  await here.write("run/metrics.jsonl", `${cut.join("\n")}{"event":"st`);
  const early = await reportOf(here, "run");
  assertStringIncludes(textIn(early.document, "#loss"), "not evaluated yet");
  assertStringIncludes(
    textIn(early.document, "header .note"),
    "end is not recorded",
  );
  assertEquals(idsOf(early.document), [
    ...["loss", "passage", "training", "configuration"],
  ]);

  await Deno.remove(here.file("run/checkpoint.safetensors"));
  await here.write("run/metrics.jsonl", "");
  const bare = await reportOf(here, "run");
  assertStringIncludes(
    textIn(bare.document, "#loss"),
    "No step is recorded yet",
  );
  assertStringIncludes(
    textIn(bare.document, "#passage"),
    "there is no checkpoint.safetensors",
  );
  assertSelfContained(bare.text, bare.document);
});

Deno.test("report compares runs: curves, differing fields, results", async () => {
  await using here = await withRun();
  const other = ["train", ...SMALL, "--out", "other", "--n-layer", "2"];
  assertEquals((await here.run(other)).code, 0);
  const { path, text, document } = await reportOf(here, "run", "other");
  assertMatch(path, /^run.comparison\.html$/);
  assertSelfContained(text, document);
  assertEquals(idsOf(document), ["results", "curves", "samples", "commands"]);
  const head = Array.from(
    document.querySelectorAll("#results th"),
    ({ textContent }) => textContent,
  );
  assertEquals(head.slice(-1), ["nLayer"]);
  assert(!head.includes("nHead"));
  assertEquals(document.querySelectorAll("#results tbody tr").length, 2);
  // By step and by time, each wide and narrow.
  assertEquals(document.querySelectorAll("#curves svg.plot").length, 4);
});

Deno.test("report writes to --out, and refuses what is not a run", async () => {
  await using here = await withRun();
  const { path } = await reportOf(here, "run", "--out", "page.html");
  assertEquals(path, "page.html");
  const cases: [args: string, ...words: string[]][] = [
    ["nowhere", "Cannot read nowhere: there is no such file"],
    ["text.txt", "Cannot report on text.txt: it is not the directory of a run"],
    [".", "Cannot report on .: it has no config.json that can be read"],
    ["", "there is none in runs/", "train makes one"],
    ["run --out gone/page.html", "Cannot write gone/page.html"],
  ];
  for (const [args, ...words] of cases) {
    const outcome = await here.run(
      ["report", ...args.split(" ").filter(Boolean), ...onReference],
    );
    assertEquals([outcome.code, outcome.stdout], [1, ""], args);
    for (const word of words) assertStringIncludes(outcome.stderr, word);
  }
});
