import { assert, assertEquals, assertThrows } from "@std/assert";
import { isRefusal, type Refusal, refusal } from "../lib/refusal.ts";
import { modelConfig, modelFields } from "../lib/config/model.ts";
import { trainConfig, trainFields } from "../lib/config/train.ts";
import { Sampler } from "../lib/text/sampler.ts";
import { Tokenizer } from "../lib/text/tokenizer.ts";
import {
  explain,
  usageError,
  withFlagNames,
} from "../lib/cli/command/errors.ts";
import { NoAdapterError } from "../lib/backends/backend.ts";

function partsOf(action: () => unknown): RangeError & Refusal {
  const error = assertThrows(action, RangeError);
  assert(isRefusal(error));
  return error as RangeError & Refusal;
}

Deno.test("A refusal is an error of its class whose message is made of its parts", () => {
  const error = refusal(TypeError, "open door", "it is locked", {
    hint: "key",
  });
  assert(error instanceof TypeError);
  assertEquals(error.message, "Cannot open door: it is locked\nhint: key");
  assert(isRefusal(error));
  assert(!isRefusal(new RangeError("Cannot open door: it is locked")));
});

Deno.test("A refused configuration gives all fields that its reason names", () => {
  const size = { vocabSize: 5, blockSize: 8 };
  const rules = [
    () => modelConfig({ ...size, nEmbd: 7, nHead: 2 }),
    () => modelConfig({ ...size, nEmbd: 8, nHead: 4, nKvHead: 3 }),
    () => modelConfig({ ...size, nEmbd: 6, nHead: 2, position: "rope" }),
    () => modelConfig({ ...size, nEmbd: 7, nHead: 1, position: "sinusoidal" }),
    () => modelConfig({ ...size, blockSize: 2 ** 24, position: "rope" }),
    () => modelConfig({ ...size, attention: false, mlp: "none" }),
    () => trainConfig({ optimizer: "muon", learningRate: 0 }),
    ...[...modelFields.keys()].map((name) => () =>
      modelConfig({ ...size, [name]: "?" })
    ),
    ...[...trainFields.keys()].map((name) => () =>
      trainConfig({ [name]: "?" })
    ),
  ];
  const names = [...modelFields.keys(), ...trainFields.keys()] as string[];
  for (const rule of rules) {
    const { fields, reason } = partsOf(rule);
    // Values and words of prose stand in quotes or after the first field's complaint.
    const plain = reason.replace(/"[^"]*"/g, "").replace(/is none of .*/, "");
    const named = names.filter((name) =>
      new RegExp(`\\b${name}\\b`).test(plain)
    );
    assert(named.length > 0, reason);
    assertEquals([...fields].sort(), named.sort(), reason);
  }
});

Deno.test("Refused choices of tokens and characters have their hint beside the reason", () => {
  const choice = partsOf(() => new Sampler({ topK: 0 }));
  assertEquals([choice.reason, choice.hint, choice.fields], [
    "topK (0) is not an integer of at least 1",
    "leave it out to keep all tokens",
    ["topK"],
  ]);
  const text = partsOf(() => Tokenizer.ascii().encode("é"));
  assertEquals(text.action, "encode text");
  assertEquals(text.hint, "the tokenizers chars and bytes accept it");
});

Deno.test("The command line names flags and devices from an error's parts, and prints a hint once", () => {
  const error = partsOf(() => new Sampler({ topK: 0 }));
  const wanted = "--top-k (0) is not an integer of at least 1";
  assertEquals(withFlagNames(error), {
    action: "create Sampler",
    reason: wanted,
  });
  assertEquals(
    explain(error).text,
    "error: Cannot create Sampler: topK (0) is not an integer of at least 1\n" +
      "hint: leave it out to keep all tokens",
  );
  // A word that is also a field's stays as it is where no field is meant.
  const file = refusal(RangeError, "read bias.txt", "its position is unknown");
  assertEquals(withFlagNames(file).action, "read bias.txt");
  const adapter = new NoAdapterError(
    "open WebGPU",
    "there is no adapter",
    (device) => `${device("wasm")} computes on the CPU.`,
  );
  assertEquals(adapter.hint, 'The device "wasm" computes on the CPU.');
  assertEquals(
    explain(adapter).text,
    `error: ${adapter.message}\nhint: --device wasm computes on the CPU.`,
  );
  assertEquals(explain(usageError("x", "y", "z")).code, 2);
});
