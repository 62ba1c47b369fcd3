/** A text that small models learn in a second what can be learned of it: words of random syllables. */

import { CounterRandom, Purpose } from "../../kernels/random.ts";

const consonants = "bdklmnrst";
const vowels = "aeiou";

/** At least so many characters: about 1.8 nats each, as nobody knows which syllable comes next. */
export function syllables(length: number): string {
  const random = new CounterRandom(1, Purpose.batch);
  const one = (letters: string, ...place: [number, number]) =>
    letters[random.below(letters.length, ...place)]!;
  let text = "";
  for (let word = 0; text.length < length; word++) {
    const count = 1 + random.below(3, word, 0);
    for (let i = 1; i <= count; i++) {
      text += one(consonants, word, 2 * i) + one(vowels, word, 2 * i + 1);
    }
    text += random.below(8, word, 1) === 0 ? ".\n" : " ";
  }
  return text;
}
