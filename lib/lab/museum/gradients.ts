/** Exhibits of gradients: a norm that is logged too late, and a tied matrix that gets only half its gradient. */

import type { Backend } from "../../backends/backend.ts";
import { clip } from "../../../kernels/reference/optimizer.ts";
import { gradientChecks } from "../../checks/gradients.ts";
import { kernelVerdict } from "../../checks/kernels.ts";
import { type Mistake, plant } from "../../checks/mistakes.ts";
import type { Verdict } from "../../checks/verdict.ts";
import { METRIC_WIDTH } from "../../train/optimizer.ts";
import {
  checkRows,
  compareTrained,
  curveOf,
  endLosses,
  reportedLoss,
} from "./compare.ts";
import type { Exhibit } from "./exhibit.ts";
import type { Specimen } from "./room.ts";
import { internalsOf } from "../../model/internals.ts";

/** The mistake of logging the gradient norm after clipping. */
const clippedNorm: Mistake = {
  kernels: {
    clip: (
      outputs: Parameters<typeof clip>[0],
      inputs: Parameters<typeof clip>[1],
      dims,
    ) => {
      clip(outputs, inputs, dims);
      const [factor, metrics] = outputs;
      const norm = METRIC_WIDTH * inputs[1][2]! + 1;
      metrics[norm] = metrics[norm]! * factor[0]!;
    },
  },
};

/** A training in trouble: it has no normalization, and its learning rate is high. */
const TROUBLE = {
  model: { norm: "none", logitSoftcap: null, attentionScale: false },
  train: { optimizer: "adamw", learningRate: 0.01, gradClip: 1 },
} as const;

const norm: Exhibit = {
  name: "clipped-norm",
  title: "The gradient norm is logged after clipping",
  claim: "the log shows what clipping left, which is never more than its limit",
  see:
    "A calm log of a training whose gradients jump. No step is logged above the limit, and clipped steps look like steps that reach the limit by chance.",
  deceives:
    "The number that should show trouble cannot exceed the limit. Losses and weights equal those with the right log, bit for bit, so nothing else shows it.",
  catches:
    "The conformance of the kernel `clip`: the norm in its metrics is not that of the gradient.",
  repair:
    "Take the norm before it is used to clip, and log that: `gradNorm` of a step event is the norm before clipping. (PyTorch's clip_grad_norm_ returns it.)",
  source:
    "the study that this project grew from, which logs the norm after clipping",
  noticedBy: ["kernels: clip"],
  run: async (room) => {
    const right = await room.train("trouble", TROUBLE);
    const mistake = await room.train("clipped-norm", {
      ...TROUBLE,
      mistake: clippedNorm,
    });
    const columns = [right, mistake];
    const verdicts: Verdict[] = [];
    for (const backend of columns.map(({ model }) => model.backend)) {
      verdicts.push(await kernelVerdict(backend, "clip"));
    }
    return {
      ...curveOf(columns, {
        what: "gradient norm in the log",
        value: ({ norm }) => norm,
      }),
      setup: `${
        room.describe(right)
      }; no norm, AdamW with rate ${TROUBLE.train.learningRate}, clipped at ${TROUBLE.train.gradClip}`,
      columns: ["right", "mistake"],
      figures: [
        endLosses(columns),
        reportedLoss(columns.map(({ valLoss }) => valLoss)),
        {
          what: "gradient norm in the log, median",
          values: columns.map((specimen) => normAt(specimen, 0.5)),
          digits: 2,
        },
        {
          what: "gradient norm in the log, largest",
          values: columns.map((specimen) => normAt(specimen, 1)),
          digits: 2,
        },
        {
          what: "steps with a clipped gradient, according to the log",
          values: columns.map(({ steps }) =>
            steps.filter(({ norm }) => norm > TROUBLE.train.gradClip).length
          ),
          digits: 0,
        },
        {
          what: "weights that differ",
          values: [0, await differences(right, mistake)],
          digits: 0,
        },
      ],
      bells: [{ check: "kernels: clip", verdicts }],
    };
  },
};

/** Returns the norm that a given share of all norms is below. */
function normAt({ steps }: Specimen, share: number): number {
  const norms = Float64Array.from(steps, ({ norm }) => norm).sort();
  return norms[Math.round(share * (norms.length - 1))]!;
}

async function differences(a: Specimen, b: Specimen): Promise<number> {
  const [one, other] = await Promise.all(
    [a, b].map(({ model }) => internalsOf(model).stores.get("params")!.read()),
  );
  let count = 0;
  for (let i = 0; i < one!.length; i++) {
    if (!Object.is(one![i], other![i])) count++;
  }
  return count;
}

/**
 * Returns the mistake that withholds the head's or the embedding's gradient from a tied matrix.
 * Untied matrices get all of theirs.
 */
function halfTied(missing: "head" | "embedding"): Mistake {
  return {
    dispatch: (right, { dispatches }) => {
      const [head, embedding] = [
        dispatches.find((dispatch) =>
          dispatch.kernel === "matmul" && dispatch.label === "lm_head" &&
          dispatch.dims.form === "tn"
        ),
        dispatches.find(({ kernel }) => kernel === "embeddingBackward"),
      ];
      const [ofHead, ofEmbedding] = [head, embedding].map((dispatch) =>
        dispatch?.outputs[0]?.offset
      );
      const isTied = ofHead === ofEmbedding;
      const lost = missing === "head" ? head : embedding;
      return isTied && right === lost ? undefined : right;
    },
  };
}

const tied: Exhibit = {
  name: "half-tied",
  title: "A tied head whose gradient is counted once",
  claim:
    "one matrix is embedding and head; the gradient of the second to be computed takes the place of the first",
  see:
    "Both losses fall, but less than they should. The head's part is lost here, which is computed first; in the third column it is the embedding's.",
  deceives:
    "The matrix learns, as half of a gradient is a gradient. Nothing fails, nothing leaks, and there is no other loss to compare with.",
  catches:
    "The check `gradients`: the gradient of `wte.weight` is not the finite difference of the loss. The check of a model without a tied head (Llama) passes.",
  repair:
    "Gradients of parameters are added to what is there, never stored: `+=`; here `accumulate: true` for every parameter, so that `--tied-head` needs no rule of its own.",
  source:
    "tying is from Press and Wolf (arXiv 1608.05859); the mistake happens where derivatives are written by hand",
  noticedBy: ["gradients: nanoGPT"],
  run: async (room) => {
    const model = { tiedHead: true };
    const columns: [string, Specimen][] = [
      ["right", await room.train("tied", { model })],
    ];
    const backends: Backend[] = [room.backend];
    const halves = { mistake: "head", "the other half": "embedding" } as const;
    for (const [name, missing] of Object.entries(halves)) {
      const mistake = halfTied(missing);
      const specimen = room.train(`half-tied, no ${missing}`, {
        model,
        mistake,
      });
      columns.push([name, await specimen]);
      backends.push(plant(mistake, room.backend));
    }
    // The second check is of an untied head; one such is enough to show that the check passes.
    const rows = await checkRows(backends.map(gradientChecks), 2);
    return await compareTrained(room, columns, rows);
  },
};

/** The exhibits, in the order of the list. */
export const gradientExhibits: readonly Exhibit[] = [norm, tied];
