/** Each exhibit of the museum: the mistake shows its symptom, and the checks ring at it and at nothing else. */

import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertGreater,
  assertLess,
} from "@std/assert";
import { openBackend } from "../../lib/backends/open.ts";
import { openReference } from "../../lib/backends/reference.ts";
import {
  compareWithDifferences,
  TrainingLoss,
} from "../../lib/checks/gradients.ts";
import { plant } from "../../lib/checks/mistakes.ts";
import { variant } from "../../lib/checks/variants.ts";
import { type Finding, notices } from "../../lib/lab/museum/exhibit.ts";
import { exhibits } from "../../lib/lab/museum/exhibits.ts";
import { lateMask } from "../../lib/lab/museum/masks.ts";
import { exhibitSection } from "../../lib/lab/museum/document.ts";
import { Room } from "../../lib/lab/museum/room.ts";
import { markdownSection } from "../../lib/report/markdown.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";
import { syllables } from "./museum_text.ts";

/** The numbers of a figure, by how its name begins. */
type Values = (figure: string) => number[];

/** What must be seen of each mistake, by the exhibit's name. */
const symptoms: Readonly<Record<string, (values: Values) => void>> = {
  "zero-mask": looksBetterAndWritesWorse,
  "no-mask": looksBetterAndWritesWorse,
  "finite-mask": (values) => {
    // So short a training begins to use -2, and -5 is as good as infinite for its loss.
    const [right, mistake, five] = values("validation loss, as reported");
    assertLess(mistake!, right! - 0.001);
    assertAlmostEquals(five!, right!, 1e-3);
  },
  "late-mask": (values) => {
    const [right, mistake] = values("validation loss, as reported");
    assertLess(mistake!, right! - 0.1);
    const [, alone] = values("validation loss, one token at a time");
    assertGreater(alone!, right! + 0.1);
  },
  "same-targets": (values) => {
    const [right, mistake] = values("validation loss, as reported");
    assertLess(mistake!, 0.1);
    const [, alone] = values("validation loss, one token at a time");
    assertGreater(alone!, right! + 3);
  },
  "far-targets": (values) => {
    const [right, mistake] = values("validation loss, as reported");
    assertGreater(mistake!, right! + 0.1);
    const [, written] = values("its text");
    assertGreater(written!, values("its text")[0]! + 3);
  },
  "seen-text": (values) => {
    const [right, mistake] = values("validation loss, as reported");
    assertLess(mistake!, right! - 0.5);
    const [loss, same] = values("training loss");
    assertEquals(loss, same, "the training is the same");
  },
  "rope-pairs": (values) => {
    const [right, mistake, permuted] = values("validation loss, measured");
    assertGreater(mistake!, right! + 0.01);
    assertAlmostEquals(permuted!, right!, 1e-5);
  },
  "dropout-never": (values) => {
    for (const loss of ["training loss", "validation loss, as reported"]) {
      const [right, mistake, none] = values(loss);
      // Training without dropout sums a batch's gradients in groups, in another order.
      assertAlmostEquals(mistake!, none!, 1e-5, loss);
      assertGreater(Math.abs(mistake! - right!), 1e-3, loss);
    }
    const [right, mistake] = values("validation loss, as reported");
    assertGreater(mistake!, right!);
  },
  "dropout-always": (values) => {
    const [right, mistake] = values("validation loss, as reported");
    assertGreater(mistake!, right! + 0.005);
  },
  "clipped-norm": (values) => {
    const [right, mistake] = values("gradient norm in the log, largest");
    assertGreater(right!, 1.2);
    assertLess(mistake!, 1.0001);
    const [clipped, none] = values("steps with a clipped gradient");
    assertGreater(clipped!, 0);
    assertEquals(none, 0);
    assertEquals(values("weights that differ"), [0, 0]);
  },
  "half-tied": (values) => {
    const [right, mistake] = values("validation loss, as reported");
    assertGreater(mistake!, right! + 0.05);
  },
  "zero-top-k": (values) => {
    const [right, mistake] = values("drawn tokens");
    assertEquals(right, 0);
    assertGreater(mistake!, 1);
    const [text, worse] = values("its text");
    assertGreater(worse!, text! + 0.1);
  },
  "unmasked-padding": (values) => {
    const [right, mistake] = values("loss of the 8 tokens after");
    assertGreater(mistake!, right!);
    const [same, change] = values("largest change of logits");
    assertEquals(same, 0);
    assertGreater(change!, 0.1);
  },
};

function looksBetterAndWritesWorse(values: Values): void {
  for (const loss of ["training loss", "validation loss, as reported"]) {
    const [right, mistake] = values(loss);
    assertLess(mistake!, right! - 0.1, loss);
  }
  const [right, mistake] = values("its text");
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

/** Exhibits whose trainings told the same, or that train nothing of their own. */
const sameTraining = [
  ...["seen-text", "rope-pairs", "dropout-always", "zero-top-k"],
  "unmasked-padding",
];

/** The curve is there where trainings differ, and its means are those of the steps. */
function checkCurve(name: string, { curve, columns }: Finding): void {
  assertEquals(curve === undefined, sameTraining.includes(name), name);
  if (curve === undefined) return;
  assertEquals(curve.values.length, columns.length);
  assertEquals(curve.values.map(({ length }) => length), columns.map(() => 75));
  const [right, mistake] = curve.values;
  if (name === "clipped-norm") {
    assertGreater(Math.max(...right!), 1);
    assertLess(Math.max(...mistake!), 1.0001);
  }
  if (name === "zero-mask") {
    assertGreater(right![0]!, right!.at(-1)! + 0.5);
    assertLess(mistake!.at(-1)!, right!.at(-1)!);
  }
}

Deno.test("Museum", async (t) => {
  const text = syllables(30_000);
  const tokenizer = Tokenizer.chars(text);
  await using backend = await openBackend("wasm", { threads: 1, blas: "off" });
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
    const { name, noticedBy } = exhibit;
    await t.step(`${name} shows its symptom, and its checks ring`, async () => {
      const finding = await exhibit.run(room);
      const section = markdownSection(exhibitSection({ exhibit, finding }));
      symptoms[name]!(valuesOf(finding));
      const { bells } = finding;
      const noticing = bells.filter(notices).map(({ check }) => check);
      for (const check of noticedBy) assert(noticing.includes(check), section);
      checkCurve(name, finding);
    });
  }
});

Deno.test("A mask after the softmax has the gradient of what it computes", async () => {
  const { config } = variant("1 key head for 4, rope");
  await using backend = plant(lateMask, openReference());
  await using trainingLoss = await TrainingLoss.prepare(config, { backend });
  const { worst, at } = await compareWithDifferences(trainingLoss);
  assertLess(worst, 1, at);
});
