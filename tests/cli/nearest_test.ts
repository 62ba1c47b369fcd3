import { assertEquals } from "@std/assert";
import { nearest } from "../../lib/cli/command/nearest.ts";

const words = ["n-layer", "n-head", "seed", "steps", "learning-rate"];

Deno.test("nearest finds a word with a letter missing, added, exchanged or swapped", () => {
  for (const word of ["seed", "sed", "seeed", "sead", "sede", "esed"]) {
    assertEquals(nearest(word, words), "seed", word);
  }
});

Deno.test("nearest takes camelCase and underscores for kebab-case", () => {
  assertEquals(nearest("learningRate", words), "learning-rate");
  assertEquals(nearest("N_LAYER", words), "n-layer");
});

Deno.test("nearest gives nothing for a word that is like none", () => {
  for (const word of ["", "x", "prompt", "zzzzzzzz"]) {
    assertEquals(nearest(word, words), undefined, word);
  }
});

Deno.test("nearest prefers the first of equally near words", () => {
  assertEquals(nearest("bat", ["cat", "hat"]), "cat");
});
