/** Exhibits of dropout that is never on, and of dropout that is never off. */

import { checkDropout } from "../../checks/dropout.ts";
import { type Mistake, plant } from "../../checks/mistakes.ts";
import type { CheckGroup } from "../../checks/verdict.ts";
import type { BufferSpec, Dispatch, Operand, Plan } from "../../graph/plan.ts";
import { Model } from "../../model/model.ts";
import { checkRows, compareTrained } from "./compare.ts";
import type { Exhibit } from "./exhibit.ts";
import type { Room } from "./room.ts";
import { littleText } from "./targets.ts";

const RATE = 0.2;

function dropoutOf(room: Room, model: Model): CheckGroup {
  return {
    name: "dropout",
    meaning: "it acts in training, and nowhere else.",
    run: () => checkDropout(model, { beside: room.backend }),
  };
}

/** The mistake that turns off every dropout of a plan. */
const neverDrops: Mistake = {
  dispatch: (dispatch) => {
    if (dispatch.kernel === "dropout") {
      return { ...dispatch, dims: { ...dispatch.dims, rate: 0 } };
    }
    if (
      (dispatch.kernel === "attention" ||
        dispatch.kernel === "attentionBackward") && dispatch.dims.dropout > 0
    ) {
      const inputs = dispatch.inputs.slice(0, -1); // The key is the last.
      return { ...dispatch, inputs, dims: { ...dispatch.dims, dropout: 0 } };
    }
    return dispatch;
  },
};

const never: Exhibit = {
  name: "dropout-never",
  title: "Dropout is never applied",
  claim: "the rate is a field of the configuration that nothing reads",
  see:
    "A lower training loss than dropout should allow, and a higher validation loss. The run is that of rate 0 (third column), to the last digit.",
  deceives:
    "The configuration says 0.2, and so does every record of the run. Training gets better, and nothing fails.",
  catches:
    "The check `in training`: two masks for one batch give the same loss. With dropout they give two.",
  repair: "`--dropout 0.2`, and a test that it changes a loss.",
  source:
    "the study that this project grew from, which stores its dropout and never applies it",
  noticedBy: ["dropout: in training"],
  run: async (room) => {
    // With so little text, training needs dropout.
    const changes = { model: { dropout: RATE }, dataset: littleText };
    const right = await room.train("little text, dropout", changes);
    const mistake = await room.train("dropout-never", {
      ...changes,
      mistake: neverDrops,
    });
    const none = await room.train("little text", { dataset: littleText });
    const rows = await checkRows(
      [right, mistake].map(({ model }) => dropoutOf(room, model)),
    );
    return await compareTrained(
      room,
      [["right", right], ["mistake", mistake], ["rate 0", none]],
      rows,
    );
  },
};

/** The name of the input that adds a key for the dropout masks to a plan. */
const KEY = "dropout key";

/**
 * Returns the mistake that makes evaluation and generation drop as training does: after the
 * embedding, on attention probabilities (except those over a cache), and after both projections,
 * with another mask each run.
 */
function alwaysDrops(rate: number): Mistake {
  let runs = 0;
  return {
    plan: (plan) => plan.name === "train" ? plan : withMasks(plan, rate),
    run: (program) => {
      if (program.plan.name === "train") return;
      program.buffer(KEY).write([1, runs++, 0, 0]);
    },
  };
}

function withMasks(plan: Plan, rate: number): Plan {
  const buffers: BufferSpec[] = [...plan.buffers];
  const add = (spec: Omit<BufferSpec, "name">, name = `${buffers.length}`) => {
    const { length } = spec;
    const buffer = buffers.push({ ...spec, name }) - 1;
    return { buffer, offset: 0, length } satisfies Operand;
  };
  const key = add({ kind: "input", dtype: "i32", length: 4 }, KEY);
  const fresh = ({ length }: Operand) =>
    add({ kind: "slot", dtype: "f32", length });
  let site = 0;
  const drop = (inputs: Operand[], y: Operand, label: string): Dispatch => ({
    kernel: "dropout",
    outputs: [y],
    inputs,
    dims: { n: y.length, rate, site: site++, residual: inputs.length === 3 },
    label,
  });
  const dispatches = plan.dispatches.flatMap((dispatch): Dispatch[] => {
    const { kernel, label, outputs: [y] } = dispatch;
    if (kernel === "embedding") {
      const x = fresh(y!);
      return [{ ...dispatch, outputs: [x] }, drop([x, key], y!, label)];
    }
    if (kernel === "attention") {
      const dims = { ...dispatch.dims, dropout: rate, site: site++ };
      return [{ ...dispatch, inputs: [...dispatch.inputs, key], dims }];
    }
    if (kernel === "matmul" && dispatch.dims.residual) {
      const x = fresh(y!);
      const dims = { ...dispatch.dims, residual: false };
      const residual = dispatch.inputs.at(-1)!;
      return [
        {
          ...dispatch,
          outputs: [x],
          inputs: dispatch.inputs.slice(0, -1),
          dims,
        },
        drop([x, key, residual], y!, label),
      ];
    }
    return [dispatch];
  });
  const whole = [0, dispatches.length] as const;
  const phases = Object.fromEntries(
    Object.keys(plan.phases).map((name) => [name, whole]),
  );
  return { ...plan, buffers, dispatches, phases };
}

const always: Exhibit = {
  name: "dropout-always",
  title: "Dropout is left on when evaluating and generating",
  claim: "the model is never switched from training to evaluation",
  see:
    "A validation loss that is higher than it should be, near the training loss or above it, and texts with more slips. The weights are those of the right run.",
  deceives:
    "The gap between training and validation vanishes, as both drop: the model seems not to overfit at all. Each evaluation gives another number, which looks like noise.",
  catches:
    "The check `in evaluation`: the logits are not those of the same weights with rate 0. `full pass` fails too: each pass draws new masks.",
  repair:
    "`model.eval()` in PyTorch. Here evaluation, prefill and decoding have plans of their own, without dropout.",
  noticedBy: ["dropout: in evaluation", "the future: full pass"],
  run: async (room) => {
    const right = await room.train("dropout", { model: { dropout: RATE } });
    const { config } = right.model;
    await using model = await Model.create(config, {
      backend: plant(alwaysDrops(RATE), room.backend),
    });
    model.setParameters(await right.model.parameters());
    const evaluate = (split: "train" | "val") =>
      model.evaluate(right.dataset.evalBatches(split, { maxBatches: 16 }));
    const mistake = {
      ...right,
      model,
      trainLoss: await evaluate("train"),
      valLoss: await model.evaluate(right.dataset.evalBatches("val")),
    };
    const rows = await checkRows(
      [right.model, model].map((model) => dropoutOf(room, model)),
    );
    return await compareTrained(
      room,
      [["right", right], ["mistake", mistake]],
      rows,
    );
  },
};

/** The exhibits, in the order of the list. */
export const dropoutExhibits: readonly Exhibit[] = [never, always];
