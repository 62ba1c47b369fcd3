/** Each exhibit of the museum: the mistake shows its symptom, and the checks ring at it and at nothing else. */

import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { openBackend } from "../../lib/backends/open.ts";
import { type Finding, rang } from "../../lib/lab/museum/exhibit.ts";
import { exhibits } from "../../lib/lab/museum/exhibits.ts";
import { exhibitSection } from "../../lib/lab/museum/report.ts";
import { Room } from "../../lib/lab/museum/room.ts";
import { Tokenizer } from "../../lib/tokenizer.ts";
import { syllables } from "./museum_text.ts";

/** The numbers of a figure, by how its name begins. */
type Values = (figure: string) => number[];

/** What must be seen of each mistake, by the exhibit's name. */
const symptoms: Readonly<Record<string, (values: Values) => void>> = {
  "zero-mask": looksBetterAndWritesWorse,
};

function looksBetterAndWritesWorse(values: Values): void {
  for (const loss of ["training loss", "validation loss, as told"]) {
    const [right, mistake] = values(loss);
    assertLess(mistake!, right! - 0.1, loss);
  }
  const [right, mistake] = values("what it writes");
  assertGreater(mistake!, right! + 1);
}

function valuesOf({ figures, columns }: Finding): Values {
  return (name) => {
    const figure = figures.find(({ what }) => what.startsWith(name));
    assert(figure !== undefined, `no figure is called ${name}`);
    assertEquals(figure.values.length, columns.length);
    return figure.values.map((value) => value ?? NaN);
  };
}

Deno.test("Museum", async (t) => {
  const text = syllables(30_000);
  const tokenizer = Tokenizer.chars(text);
  await using backend = await openBackend("wasm");
  await using room = new Room({
    ...{ backend, tokenizer },
    tokens: tokenizer.encode(text),
    model: { nLayer: 1, nEmbd: 32, blockSize: 16 },
    steps: 150,
    written: 1500,
    seed: 1,
  });
  assertEquals(
    exhibits.map(({ name }) => name).sort(),
    Object.keys(symptoms).sort(),
  );
  for (const exhibit of exhibits) {
    const { name, rings } = exhibit;
    await t.step(`${name} shows its symptom, and its checks ring`, async () => {
      const finding = await exhibit.run(room);
      const section = exhibitSection({ exhibit, finding });
      symptoms[name]!(valuesOf(finding));
      const { bells } = finding;
      const rung = bells.filter(rang).map(({ check }) => check);
      for (const check of rings) assert(rung.includes(check), section);
    });
  }
});
