import { assertAlmostEquals, assertEquals } from "@std/assert";
import { AbilityScale, wordsOf } from "../../lib/lab/abilities.ts";

const training = [
  "ROMEO:\nI saw the moon, my love.\nThe night is long.",
  "JULIET:\nThe moon is gone;\nI'll sleep no more.",
  "First Citizen:\nSpeak, speak to us all.",
  "",
].join("\n\n");
const heldOut = "ROMEO:\nThe long night is gone, my Juliet.\n\nEND:\nSo.\n\n";
const scale = new AbilityScale(training, heldOut);

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
  assertEquals(scale.measure("the moon zorp is").spells, 3 / 4);
  assertEquals(scale.measure(training).spells, 1);
  assertEquals(scale.measure("12 -- !").spells, 0);
});

Deno.test("Format is the share of speeches with a speaker and lines of usual length", () => {
  assertEquals(scale.measure(training).formats, 1);
  const text = [
    "ROMEO:\nI saw the moon, my love.",
    "romeo:\nI saw the moon, my love.", // a name begins with a capital
    "ROMEO: I saw the moon, my love.", // on a line of its own
    "JULIET:", // and says something
    `JULIET:\n${"long ".repeat(30)}`, // that is no longer than lines are
    "cut off",
  ].join("\n\n");
  assertAlmostEquals(scale.measure(text).formats, 1 / 5);
});

Deno.test("Phrases count if they are in the held-out text and not copied", () => {
  // "the long" and "long night" are new, "night is" is in the training text, "is fine" nowhere.
  const { pairs, triples } = scale.measure("the long night is fine");
  assertEquals(pairs, 2 / 4);
  assertEquals(triples, 2 / 3); // "the long night", "long night is"
  assertEquals(scale.measure(training).pairs, 0);
});

Deno.test("An empty text shows nothing", () => {
  assertEquals(scale.measure(""), {
    spells: 0,
    formats: 0,
    pairs: 0,
    triples: 0,
  });
});
