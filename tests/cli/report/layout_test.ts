/** Pages as a browser lays them out, on a phone and on a desk, light, dark and on paper. */

import { assertEquals } from "@std/assert";
import { modelFields } from "../../../lib/config/model.ts";
import { trainFields } from "../../../lib/config/train.ts";
import { pageOf as documentPage } from "../../../lib/cli/report/page.ts";
import { studyDocument } from "../../../lib/lab/document.ts";
import { minimalDocument } from "../../../lib/lab/minimal/document.ts";
import { answerTo } from "../../../lib/lab/minimal/search.ts";
import type { Outcome } from "../../../lib/lab/outcome.ts";
import type { Plan } from "../../../lib/lab/plan.ts";
import { CounterRandom, Purpose } from "../../../kernels/random.ts";
import { outcomeOf } from "../../lab/outcomes.ts";
import { browserTest, faultsOf, type Showing } from "./browser.ts";
import {
  comparisonOf,
  pageOf,
  searchOptions,
  studyPages,
  syntheticMeasurement,
} from "./pages.ts";

/** Asserts that pages have no faults, on screens and on paper. */
async function assertSound(
  pages: Readonly<Record<string, string>>,
): Promise<void> {
  const found = await faultsOf(pages);
  assertEquals(found.length, 6 * Object.keys(pages).length);
  assertEquals(found.filter(({ faults }) => faults.length > 0), []);
}

browserTest("Faults of layout are found, each by its name", async () => {
  const faulty = {
    overlap: [
      `<svg class="plot" width="300" height="40"><text x="10" y="20">one</text><text x="14" y="22">two</text></svg>`,
      `"one" lies on "two"`,
    ],
    point: [
      `<svg class="plot" width="300" height="40"><g aria-label="dot"><circle cx="20" cy="16" r="5"/></g><text x="10" y="20">label</text></svg>`,
      `"label" lies on 1 points`,
    ],
    line: [
      `<svg class="plot" width="300" height="40"><g aria-label="line"><path d="M0 16H200" stroke="#000"/></g><text x="10" y="20">label</text></svg>`,
      `"label" lies on a line`,
    ],
    cut: [
      `<div style="width:40px;overflow:hidden;white-space:nowrap">a text that is longer</div>`,
      "is cut by what is around it",
    ],
    outside: [
      `<div style="position:absolute;left:-20px">far left</div>`,
      `"far left" is outside of the page`,
    ],
    wide: [`<div style="width:2000px">x</div>`, "the page is 20"],
    silent: [
      `<div class="scroll" style="overflow-x:auto" aria-label="T"><div style="width:3000px">x</div></div>`,
      `"T" scrolls and nothing says so`,
    ],
    lying: [
      `<p class="sideways">scroll</p><div class="scroll" style="overflow-x:auto" aria-label="T">x</div>`,
      `"T" does not scroll as is said`,
    ],
    faint: [`<p style="color:#888">grey</p>`, `"grey" has a contrast of 3.5`],
    faintLine: [
      `<svg class="plot" width="300" height="40"><g aria-label="line"><path d="M0 16H200" stroke="#ccc"/></g></svg>`,
      "a line of rgb(204, 204, 204) has a contrast of 1.6",
    ],
    faintKey: [
      `<div class="legend"><span><svg class="pen" style="color:#ccc"></svg>val</span></div>`,
      `the key of "val" has a contrast of 1.6`,
    ],
    texts: [
      `<p>above</p><p style="margin-top:-30px">below</p>`,
      `"above" lies on "below"`,
    ],
    column: [
      `<p class="sideways">scroll</p><div class="scroll" style="overflow-x:auto" aria-label="T"><table><thead><tr><th style="min-width:900px">name</th><th>loss</th></tr></thead></table></div>`,
      `the column "loss" scrolls away`,
    ],
    twice: [`<i id="a"></i><b id="a"></b>`, "the id a is given twice"],
    nowhere: [`<a href="#gone">link</a>`, "#gone leads nowhere"],
  } as const;
  const pages = Object.fromEntries(
    Object.entries(faulty).map(([name, [html]]) => [
      name,
      `<!doctype html><style>a{color:#000}</style><main style="background:#fff;color:#000">${html}</main>`,
    ]),
  );
  const way: Showing = { width: 390, scheme: "light", medium: "screen" };
  const found = await faultsOf({ sound: "<main>Sound.</main>", ...pages }, [
    way,
  ]);
  const missed = found.filter(({ page, faults }) =>
    page === "sound"
      ? faults.length > 0
      : !faults.join().includes(faulty[page as keyof typeof faulty][1])
  );
  assertEquals(missed, []);
  const [paper] = await faultsOf({
    dark:
      `<style>@media print{body{background:#000}}</style><main style="color:#fff"><p style="position:sticky">Stuck.</p></main>`,
  }, [{ ...way, medium: "print" }]);
  assertEquals(paper!.faults, [
    "the paper is dark",
    "page: <p> sticks or scrolls on paper",
  ]);
});

browserTest("Pages of runs are laid out without faults", async () => {
  await assertSound({
    "a small run": await pageOf({}, syntheticMeasurement()),
    "a large run": await pageOf(
      {
        ...{ steps: 3000, evals: 60, samples: 20, layers: 6 },
        train: { optimizer: "muon", muonLearningRate: 0.02 },
      },
      syntheticMeasurement({ layers: 6, heads: 6 }),
    ),
    "a run of a few steps": await pageOf({ steps: 3, evals: 1, samples: 0 }),
    "a run without evaluations": await pageOf({ evals: 0, samples: 0 }),
    "a run whose loss is below what counting reaches": await pageOf(
      { model: { mask: "none" }, floor: 0.05 },
      syntheticMeasurement({ layers: 1, heads: 1 }),
    ),
  });
});

browserTest("Pages of odd runs are laid out without faults", async () => {
  const near = [4.17, 1.502, 1.501, 1.5, 1.499].map((loss, i) => ({
    ...{
      name: ["uniform", "unigram", "bigram", "trigram", "5-gram"][i]!,
      loss,
    },
  }));
  const unbroken = "W".repeat(90);
  const manyFields = Object.fromEntries(
    [...modelFields.keys(), ...trainFields.keys()].slice(0, 24)
      .map((name, i) => [name, 1e4 + i / 7]),
  );
  await assertSound({
    "yardsticks that are nearly the same": await pageOf({}, {
      ...syntheticMeasurement(),
      yardsticks: near,
    }),
    "many layers and heads": await pageOf(
      { layers: 24, steps: 100 },
      syntheticMeasurement({ layers: 24, heads: 16, T: 8 }),
    ),
    "long words": await pageOf({
      ...{ data: { name: `${unbroken}.txt` }, sample: unbroken },
      command: ["train", "--data", `/${unbroken}/${unbroken}.txt`],
    }),
    "losses in thousands": await pageOf({ floor: 123_456, steps: 2000 }),
    "losses near 0": await pageOf({ floor: 1e-6 }),
    "one step": await pageOf({ steps: 1, evals: 1 }),
    "a part of the split": await pageOf({ measured: [1024, 9_111_488] }),
    "many runs of long words": await comparisonOf(Object.fromEntries(
      Array.from({ length: 60 }, (_, i) => [
        `${unbroken}-${i}`,
        { ...{ steps: 30, floor: 1 + i % 2, seed: i + 1 }, sample: unbroken },
      ]),
    )),
    "runs that end at the same loss": await comparisonOf({
      ...{ a: {}, b: {}, c: {}, d: {}, e: { steps: 100 }, "عربي": {} },
      "👩‍👩‍👧 family": { evals: 0 },
    }),
    "runs that differ in 24 fields": await comparisonOf({
      a: {},
      b: { model: manyFields, train: manyFields },
    }),
    "losses of runs in thousands": await comparisonOf({
      ...{ a: { floor: 123_456 }, b: { floor: 1_123_456 } },
    }),
    "runs without evaluations": await comparisonOf({
      ...{ a: { evals: 0, samples: 0 }, b: { evals: 0, samples: 0 } },
    }),
  });
});

browserTest("Comparisons are laid out without faults", async () => {
  const nine = Array.from({ length: 9 }, (_, i) => {
    const optimizer = ["adamw", "muon", "sgd"][i % 3];
    const learningRate = 0.001 * (i + 1);
    return [
      `nEmbd=${
        32 * (1 + i % 3)
      }+optimizer=${optimizer}+learningRate=${learningRate}-tinyshakespeare`,
      {
        ...{ seed: i + 1, floor: 1.2 + 0.01 * i },
        ...{ train: { optimizer, learningRate } },
        model: { mask: i === 3 ? "none" : "causal" },
      },
    ];
  });
  const forty = Array.from({ length: 40 }, (_, i) => [
    `run-${i}`,
    { seed: i + 1, steps: 40 },
  ]);
  const data = { name: "moby-dick", sha256: "aa" };
  await assertSound({
    two: await comparisonOf({ a: {}, b: { seed: 2, floor: 1.7 } }),
    nine: await comparisonOf(Object.fromEntries(nine)),
    forty: await comparisonOf(Object.fromEntries(forty)),
    "two texts": await comparisonOf({
      ...{ a: {}, b: { seed: 2 }, c: { data } },
      d: { data, tokenizer: { kind: "bytes", vocabSize: 256 } },
    }),
  });
});

browserTest("Pages of studies are laid out without faults", async () => {
  await assertSound(await studyPages());
});

browserTest(
  "Pages of studies with odd names, without losses and with models that see the future are laid out without faults",
  async () => {
    const pageOf = (
      cells: Plan["cells"],
      loss: (place: number) => number | null,
      changes: Partial<Plan> = {},
    ) =>
      documentPage(studyDocument({
        plan: {
          ...{ study: "A study", about: "Of odd names.", data: "text.txt" },
          ...{ tokenizer: "chars", base: {}, seeds: [1, 2], cells },
          ...changes,
        },
        outcomes: cells.flatMap(({ name, model = {} }, place) =>
          [1, 2].map((seed): Outcome => {
            const valLoss = loss(place);
            const outcome = outcomeOf(name, {
              ...{ parameters: 1000 * (place + 1), seed },
              valLoss: valLoss && valLoss + seed / 100,
            });
            const { setting } = outcome;
            return {
              ...{ ...outcome, setting: { ...setting, model } },
              ...valLoss === null && { diverged: { step: 9, message: "NaN" } },
            };
          })
        ),
        rungs: [],
      }));
    const long = Array.from({ length: 30 }, (_, i) => ({
      name: `${"long-name+".repeat(7)}last=${i}`.slice(-80),
      ...i % 7 === 3 && { model: { mask: "zeroed" as const } },
    }));
    const words = Array.from({ length: 9 }, (_, i) => ({
      name: `${"W".repeat(70)}${i}`,
    }));
    await assertSound({
      long: await pageOf(long, (place) => 2 + place / 10),
      "words that cannot be broken": await pageOf(words, (place) => 2 - place),
      "one cell": await pageOf([{ name: "base" }], () => 2),
      "all diverged": await pageOf(long, () => null),
      scaling: await pageOf(long, () => 2, { experiment: "scaling" }),
    });
  },
);

browserTest(
  "Searches for the smallest model are laid out without faults, wherever their points lie",
  async () => {
    const pageOf = async (count: number, seed: number) => {
      const random = new CounterRandom(seed, Purpose.init);
      const round = (steps: number, kept: number) =>
        Array.from({ length: kept }, (_, i) => {
          const size = random.uniform(i, steps);
          return outcomeOf(`L1-C${i}`, {
            parameters: Math.round(1000 * 100 ** size),
            valLoss: 3 - size + random.uniform(i, steps + 1) / 2 - steps / 4e4,
            ...{ seed, steps, flops: 1e10 * steps * (1 + size) },
          });
        });
      const rounds = [
        round(1500, 4 * count),
        round(3000, 2 * count),
        round(6000, count),
      ];
      const again = [11, 12, 13].flatMap((seed) =>
        rounds[2]!.slice(0, 3).map((outcome) => ({ ...outcome, seed }))
      );
      const search = { cells: [], rounds, confirmed: again };
      const targets = [2.6, 2.59, 2.58, 2.4, 2.2];
      return await documentPage(minimalDocument({
        ...{ ...search, options: searchOptions, own: search },
        ...{ others: [], rungs: [] },
        answers: targets.map((target) => answerTo(target, search)),
        known: [
          {
            name: "another model of the same text",
            parameters: 9000,
            loss: 2.4,
          },
          { name: "one beside it", parameters: 9500, loss: 2.41 },
        ],
      }));
    };
    await assertSound({
      few: await pageOf(1, 1),
      some: await pageOf(8, 2),
      many: await pageOf(20, 3),
    });
  },
);
