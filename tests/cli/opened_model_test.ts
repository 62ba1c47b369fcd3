/** Checkpoints that are read into memory, with and without the optimizer's moments. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  OpenedModel,
  readTrainedModel,
} from "../../lib/cli/verbs/trained_model.ts";
import { SMALL, Workplace } from "./process.ts";

Deno.test("A checkpoint is read as a whole, or without the optimizer's moments", async () => {
  await using here = await Workplace.create();
  const { code, stderr } = await here.run(["train", ...SMALL, "--out", "run"]);
  assertEquals(code, 0, stderr);
  const path = here.file("run");
  const { checkpoint } = await readTrainedModel(path);
  using opened = await OpenedModel.open(path);
  const whole = await opened.read({ weightsOnly: false });
  assertEquals(whole.config, checkpoint.config);
  assertEquals(whole.training, checkpoint.training);
  assertEquals(
    new Map([...whole.tensors].sort()),
    new Map([...checkpoint.tensors].sort()),
  );
  const { tensors } = await opened.read({ weightsOnly: true });
  const weights = [...checkpoint.tensors.keys()]
    .filter((name) => !name.startsWith("optimizer."));
  assert(weights.length < checkpoint.tensors.size);
  assertEquals([...tensors.keys()].sort(), weights.sort());
  for (const [name, tensor] of tensors) {
    assertEquals(tensor, checkpoint.tensors.get(name));
  }

  // A damaged moment shows, even if it is left out.
  const file = here.file("run/checkpoint.safetensors");
  const bytes = await Deno.readFile(file);
  bytes[bytes.length - 1]! ^= 1;
  await Deno.writeFile(file, bytes);
  using damaged = await OpenedModel.open(path);
  await assertRejects(
    () => damaged.read({ weightsOnly: true }),
    Error,
    "Cannot read",
  );
});
