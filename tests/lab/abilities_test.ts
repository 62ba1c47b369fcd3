import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import {
  type Abilities,
  AbilityScale,
  wordsOf,
} from "../../lib/lab/abilities.ts";

const training = [
  "ROMEO:\nI saw the moon, my love.\nThe night is long.",
  "JULIET:\nThe moon is gone;\nI'll sleep no more.",
  "First Citizen:\nSpeak, speak to us all.",
  "",
].join("\n\n");
const parts = [
  "ROMEO:\nThe long night is gone, my Juliet.\n\nEND:\nSo.",
  "JULIET:\nA night is gone, the long night.",
];
const scale = new AbilityScale(training, parts);

/** Measures a text between cut-off words, as one that goes on from the third part's end. */
function measure(text: string): Abilities {
  return scale.measure([{ text: `ut ${text} cu`, part: 2 }]);
}

Deno.test("Words are letters with apostrophes between them, in lower case", () => {
  assertEquals(wordsOf("I'll go--'tis LATE, 9 o'clock; naïve"), [
    "i'll",
    "go",
    "tis",
    "late",
    "o'clock",
    "naïve",
  ]);
});

Deno.test("Spelling is the share of words that the training text has", () => {
  assertEquals(measure("the moon zorp is").spells, 3 / 4);
  assertEquals(measure(training).spells, 1);
  assertEquals(measure("12 -- !").spells, 0);
});

Deno.test("Words that may be cut off do not count", () => {
  const text = "oon zorp the moon nig";
  assertEquals(scale.measure([{ text, part: 0 }]).spells, 2 / 3);
});

Deno.test("Format is the share of whole speeches with a speaker and lines of usual length", () => {
  assertEquals(measure(`\n\n${training}`).formats, 1);
  const text = [
    "cut off",
    "ROMEO:\nI saw the moon, my love.",
    "romeo:\nI saw the moon, my love.", // a name begins with a capital
    "ROMEO: I saw the moon, my love.", // on a line of its own
    "JULIET:", // and says something
    `JULIET:\n${"long ".repeat(30)}`, // that is no longer than lines are
    "cut off",
  ].join("\n\n");
  assertAlmostEquals(measure(text).formats, 1 / 5);
});

Deno.test("Phrases count if they are in the held-out text and not copied", () => {
  // "the long" and "long night" are new, "night is" is in the training text, "is fine" nowhere.
  const { pairs, triples } = measure("the long night is fine");
  assertEquals(pairs, 2 / 4);
  assertEquals(triples, 2 / 3); // "the long night", "long night is"
  assertEquals(measure(training).pairs, 0);
});

Deno.test("Phrases of the part that a text continues do not count", () => {
  const text = "x is gone my juliet x"; // "is gone" is copied, "gone my" and "my juliet" of the first part alone
  assertEquals(scale.measure([{ text, part: 0 }]).pairs, 0);
  assertEquals(scale.measure([{ text, part: 1 }]).pairs, 2 / 3);
});

Deno.test("Texts are measured together", () => {
  const both = ["x the moon x", "x zorp x"].map((text) => ({ text, part: 0 }));
  assertEquals(scale.measure(both).spells, 2 / 3);
});

Deno.test("An empty text shows nothing", () => {
  assertEquals(scale.measure([{ text: "", part: 0 }]), {
    spells: 0,
    formats: 0,
    pairs: 0,
    triples: 0,
  });
});

Deno.test("The usual lengths of lines leave out 1 in 200 at either end", () => {
  // 400 lines: two are shorter than 10 characters, two longer than 20.
  const lengths = [
    ...[1, 2, 30, 40],
    ...Array.from({ length: 396 }, (_, i) => 10 + i % 11),
  ];
  const text = lengths.map((length) => `A:\n${"x".repeat(length)}`).join(
    "\n\n",
  );
  assertEquals(new AbilityScale(text, [""]).lineLengths, [10, 20]);
});

Deno.test("A training text of any length gives the words and phrases of all of it", () => {
  // Longer than a piece; no word is cut, and phrases go on from one piece to the next.
  const numbers = Array.from({ length: 40_000 }, (_, i) => i);
  const name = (i: number) =>
    i.toString(26).replace(
      /./g,
      (digit) => String.fromCharCode(97 + parseInt(digit, 26)),
    );
  const long = numbers.map((i) => `x${name(i)}`).join(" ");
  const long3 = `${long}-${long.toUpperCase()}. ${long}`;
  assert(long3.length > 2 ** 19);
  const all = new AbilityScale(long3, [long, "new words"]);
  const cut = (text: string) => all.measure([{ text: `c ${text} c`, part: 2 }]);
  assertEquals(cut(long), { spells: 1, formats: 0, pairs: 0, triples: 0 });
  assertEquals(cut("new words xa").spells, 1 / 3);
  assertEquals(cut("new words xa").pairs, 1 / 2);
});
