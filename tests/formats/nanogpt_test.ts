/**
 * nanoGPT's checkpoints. `golden/nanogpt/` has files that its own code wrote, with its logits and moments
 * (`bench/peers/nanogpt.py`). `bench/peers/nanogpt.ts` lets that code read exported files.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { variants } from "../../lib/checks/variants.ts";
import { type ModelConfig, modelConfig } from "../../lib/config/model.ts";
import { trainConfig } from "../../lib/config/train.ts";
import type { Checkpoint } from "../../lib/formats/checkpoint.ts";
import { crc32 } from "../../lib/formats/digest.ts";
import {
  exportCheckpoint,
  type ExportFormatName,
} from "../../lib/export/exports.ts";
import { importNanogpt } from "../../lib/formats/nanogpt_import.ts";
import {
  decodeSafetensors,
  type TensorData,
} from "../../lib/formats/safetensors.ts";
import { Model } from "../../lib/model/model.ts";
import { isRefusal } from "../../lib/refusal.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";
import { bytesOf, folderOf } from "../fixtures/exported_files.ts";

const golden = new URL("../golden/nanogpt/", import.meta.url);
const recorded = new Map(
  Array.from(Deno.readDirSync(golden), ({ name }) => [
    name,
    Deno.readFileSync(new URL(name, golden)),
  ]),
);
const { tensors: answers, metadata } = decodeSafetensors(
  recorded.get("answers.safetensors")!,
);

for (const name of ["ckpt", "compiled"]) {
  Deno.test(`nanoGPT's ${name}.pt has its logits, settings, step and moments`, async () => {
    const { checkpoint, notes } = await importNanogpt(folderOf(recorded), {
      file: `${name}.pt`,
    });
    const { config, training, tokenizer, tensors } = checkpoint;
    assertEquals(notes, []);
    assertEquals(config.bias, name === "ckpt");
    assertEquals(tokenizer!.decode([11, 12, 9, 0]), "abA\n");
    await using model = await Model.load(checkpoint, { device: "reference" });
    const tokens = answers.get("tokens")!.data as Int32Array;
    const wanted = answers.get(`logits.${name}`)!.data as Float32Array;
    const found = await model.forward(tokens, { B: 1, T: tokens.length });
    // Logits of order 3, recorded in float32.
    wanted.forEach((value, i) => assert(Math.abs(value - found[i]!) < 5e-7));
    assertEquals(training, {
      step: 3,
      config: trainConfig({
        ...{ batchSize: 4, maxSteps: 20, warmupSteps: 2, evalInterval: 5 },
        ...{ decaySteps: 20, learningRate: 0.01, minLearningRate: 0.001 },
        ...{ weightDecay: 0.1, beta2: 0.99, schedule: "cosine" },
      }),
    });
    const names: string[] = JSON.parse(metadata["names"]!)[name];
    assertEquals(
      names.toSorted(),
      [...(await model.parameters()).keys()].sort(),
    );
    const moments = names.flatMap((parameter) =>
      ["m", "v"].map((moment) => {
        const tensor = tensors.get(`optimizer.${moment}.${parameter}`)!;
        assertEquals(tensor.shape, tensors.get(parameter)!.shape);
        return tensor.data[0];
      })
    );
    assertEquals(moments, [...answers.get(`moments.${name}`)!.data]);
  });
}

/** A model with a training: numbers that are all different. */
async function checkpointOf(
  config: ModelConfig,
  optimizer: "adamw" | "muon" = "adamw",
): Promise<Checkpoint> {
  await using model = await Model.create(config, { device: "reference" });
  const tensors = new Map<string, TensorData>();
  let next = 1;
  for (const prefix of ["", "optimizer.m.", "optimizer.v."]) {
    for (const [name, { shape, data }] of await model.parameters()) {
      const floats = Float32Array.from(
        data as Float64Array,
        () => next++ / 7919,
      );
      tensors.set(prefix + name, { dtype: "F32", shape, data: floats });
    }
  }
  const training = {
    step: 17,
    config: trainConfig({
      ...{ optimizer, schedule: "cosine", decaySteps: 900, maxSteps: 1000 },
      ...{ batchSize: 3, gradAccumulation: 2, weightDecay: 0.25, eps: 1e-7 },
    }),
  };
  return { config, tensors, training };
}

const models: Readonly<Record<string, ModelConfig>> = {
  "with biases": modelConfig({
    ...{ vocabSize: 13, blockSize: 5, nLayer: 2, nHead: 3, nEmbd: 9 },
    ...{ position: "learned", mlp: "gelu", tiedHead: true, dropout: 0.1 },
  }),
  "without biases": modelConfig({
    ...{ vocabSize: 13, blockSize: 5, nLayer: 1, nHead: 1, nEmbd: 4 },
    ...{ position: "learned", mlp: "gelu", tiedHead: true, bias: false },
  }),
};

for (const [name, config] of Object.entries(models)) {
  for (const format of ["nanogpt", "nanogpt-torch1"] as ExportFormatName[]) {
    Deno.test(`A model ${name} comes back from ${format} with all numbers and its training`, async () => {
      const tokenizer = Tokenizer.chars("\n\0aé🎭bcdefgh", {
        endOfText: true,
      });
      const checkpoint = { ...await checkpointOf(config), tokenizer };
      const files = bytesOf(exportCheckpoint(format, checkpoint));
      const { checkpoint: back, notes } = await importNanogpt(folderOf(files));
      assertEquals(notes, []);
      assertEquals(back.config, config);
      assertEquals(back.training, checkpoint.training);
      assertEquals(back.tokenizer!.toJSON(), tokenizer.toJSON());
      assertEquals(
        new Map([...back.tensors].toSorted()),
        new Map([...checkpoint.tensors].toSorted()),
      );
    });
  }
}

Deno.test("Settings for nanoGPT's train.py are lines of Python", async () => {
  const files = exportCheckpoint(
    "nanogpt",
    await checkpointOf(models["with biases"]!),
  );
  const text = new TextDecoder().decode(bytesOf(files).get("settings.py"));
  for (
    const line of [
      'init_from = "resume"',
      "block_size = 5",
      "batch_size = 3",
      "gradient_accumulation_steps = 2",
      "weight_decay = 0.25",
      "decay_lr = True",
      "lr_decay_iters = 900",
      "dropout = 0.1",
    ]
  ) {
    assert(text.includes(`\n${line}\n`), text);
  }
});

Deno.test("PyTorch 1 gets masks, PyTorch 2 none", async () => {
  const checkpoint = await checkpointOf(models["with biases"]!);
  const text = (format: ExportFormatName) =>
    new TextDecoder("latin1").decode(
      bytesOf(exportCheckpoint(format, checkpoint)).get("ckpt.pt"),
    );
  const mask = "transformer.h.1.attn.bias";
  assert(text("nanogpt-torch1").includes(mask));
  assert(!text("nanogpt").includes(mask));
});

Deno.test("Moments are left out, with a note, if the step is not the optimizer's", async () => {
  const checkpoint = await checkpointOf(models["with biases"]!);
  const files = bytesOf(exportCheckpoint("nanogpt", checkpoint));
  const whole = files.get("ckpt.pt")!;
  const other = replaced(whole, "iter_numJ\x11", "iter_numJ\x12");
  const { checkpoint: back, notes } = await importNanogpt(
    folderOf(new Map([["ckpt.pt", other]])),
  );
  assertEquals(notes, [
    "left out the optimizer's moments: it took 17 steps, and iter_num is 18",
  ]);
  assertEquals(back.training, undefined);
});

Deno.test("Weight decay of all parameters comes back", async () => {
  const checkpoint = await checkpointOf(models["with biases"]!);
  const { step, config } = checkpoint.training!;
  const training = { step, config: { ...config, decay: "all" } as const };
  const files = bytesOf(
    exportCheckpoint("nanogpt", { ...checkpoint, training }),
  );
  const { checkpoint: back } = await importNanogpt(folderOf(files));
  assertEquals(back.training, training);
});

Deno.test("Moments of another optimizer than AdamW stay here", async () => {
  const checkpoint = await checkpointOf(models["with biases"]!, "muon");
  const files = bytesOf(exportCheckpoint("nanogpt", checkpoint));
  const { checkpoint: back } = await importNanogpt(folderOf(files));
  assertEquals(back.training, undefined);
  assert(![...back.tensors.keys()].some((name) => name.startsWith("opt")));
});

Deno.test("Models that nanoGPT cannot have are refused by their fields", async () => {
  let fits = 0;
  for (const { name, config } of variants) {
    const checkpoint = await checkpointOf(config);
    try {
      exportCheckpoint("nanogpt", checkpoint);
      fits++;
    } catch (error) {
      assert(isRefusal(error) && error.fields.length > 0, name);
      assert(error.hint?.includes("nano-cpu"), error.hint);
    }
  }
  // nHidden of all variants is odd.
  assertEquals(fits, 0);
});

async function refuses(
  files: Map<string, Uint8Array>,
  message: string,
): Promise<void> {
  await assertRejects(
    () => importNanogpt(folderOf(files)),
    SyntaxError,
    message,
  );
}

Deno.test("A checkpoint that lacks something, or whose optimizer is another, is refused by name", async () => {
  await refuses(new Map(), "there is no ckpt.pt");
  const whole = recorded.get("ckpt.pt")!;
  const changed = (from: string, to: string) =>
    new Map([["ckpt.pt", replaced(whole, from, to)]]);
  for (
    const [from, to, message] of [
      ["model_args", "model_argz", 'the item "model_args" holds no dict'],
      ["vocab_size", "vocab_sizf", "model_args: vocab_size is missing"],
      [
        "transformer.ln_f.bias",
        "transformer.ln_f.biaz",
        'the tensor "transformer.ln_f.bias" is missing',
      ],
      [
        "param_groups",
        "param_groupz",
        "the optimizer has groups of  parameters",
      ],
      ["exp_avg_sq", "exp_avg_sr", 'the tensor "exp_avg_sq" is missing'],
      ["collections", "subprocesss", '"subprocesss.OrderedDict"; this program'],
    ] as const
  ) {
    await refuses(changed(from, to), message);
  }
});

/** Returns an archive with a text of its pickle replaced everywhere, and the pickle's checksum corrected. */
function replaced(archive: Uint8Array, from: string, to: string): Uint8Array {
  assertEquals(from.length, to.length);
  const bytes = archive.slice();
  const latin = new TextDecoder("latin1").decode(bytes);
  for (
    let at = latin.indexOf(from);
    at >= 0;
    at = latin.indexOf(from, at + 1)
  ) {
    bytes.set(new TextEncoder().encode(to), at);
  }
  // The pickle is the first file, and the first of the directory.
  const view = new DataView(bytes.buffer);
  const begin = 30 + view.getUint16(26, true) + view.getUint16(28, true);
  const central = latin.indexOf("PK\u0001\u0002");
  const size = view.getUint32(central + 24, true);
  const sum = crc32(bytes.subarray(begin, begin + size));
  view.setUint32(central + 16, sum, true);
  return bytes;
}
