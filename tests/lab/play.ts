/** A play without end in a language of few words, the same at every call. */

import { CounterRandom, Purpose } from "../../kernels/random.ts";

const syllables = "ba be bo da de do ka ke ko la le lo ma me mo".split(" ");
const speakers = ["ARLO", "BESS", "First Guard", "Duke of Ro"];

/** Speeches of one to three lines, about as many characters as asked for. */
export function play(characters: number): string {
  const random = new CounterRandom(1, Purpose.sample);
  let draws = 0;
  const below = (count: number) => random.below(count, draws++, 0);
  // Frequent words and rare ones, 200 in all.
  const word = () => {
    const rank = Math.min(below(200), below(200));
    const [a, b, c] = [rank % 15, Math.floor(rank / 15), rank % 7];
    return [a, b, ...rank % 3 === 0 ? [c] : []]
      .map((place) => syllables[place]).join("");
  };
  const line = () => Array.from({ length: 4 + below(4) }, word).join(" ");
  const speeches: string[] = [];
  for (let length = 0; length < characters;) {
    const lines = Array.from({ length: 1 + below(3) }, line);
    const speech = `${speakers[below(4)]}:\n${lines.join("\n")}\n\n`;
    speeches.push(speech);
    length += speech.length;
  }
  return speeches.join("").slice(0, characters);
}
