/** Converts models in the older format: the names of their tensors and the order of their rows. */

import type { Safetensors, TensorData } from "../../lib/formats/safetensors.ts";
import type { Report } from "./comparison.ts";
import {
  isNames,
  recordingOf,
  type Source,
  type Tensors,
} from "./foreign_file.ts";
import {
  convertConfig,
  convertOptimizer,
  type Family,
} from "./convert_config.ts";
import { NotUnderstoodError } from "./recording.ts";

/** The seed's mask bug in the words of its recording: our `mask: "zeroed"`. */
const ZEROED =
  "softmax((q @ k^T) * mask / sqrt(head_dim)) @ v, mask 1 at or below the diagonal, 0 above";

/** A tensor: float64 or float32; with one of two masks; a parameter's gradient or value after a step, or what `name` says. */
const quantity = /^(ref64\.)?(correct\.|bug\.)?(grad\.|step\d+\.)?(.*)$/s;

const known =
  /^(logits|last_logits|loss|losses|grad_norm|grad_norms|grad_norms_per_param|leak|full_logits|step_logits|cache\.\d+\.[kv])$/;

/** Converts a model to one recording for each precision and mask, one for passes over generated text, and one for constants. */
export function convertModel(
  source: Source,
  report: Report,
  family: Family,
): Safetensors[] {
  const { batches, generation, sequence, length } = takeIds(source, report);
  const { config, headFirst } = convertConfig(source, report, {
    family,
    length,
  });
  source.expect("bug", ZEROED);
  const constants = takeConstants(source, Number(config["nHead"]));
  const theirs = new Map<string, string>(); // our names of the parameters, by theirs
  const isMatrix = new Map<string, boolean>();
  const parameters: Tensors = new Map();
  const groups = new Map<string, Tensors>([["", new Map()]]);
  const put = (group: string, name: string, tensor: TensorData) =>
    groups.set(group, (groups.get(group) ?? new Map()).set(name, tensor));
  for (const name of [...source.rest.keys()]) {
    const [, ref64 = "", mask = "", per = "", last = ""] = quantity.exec(name)!;
    const parameter = parameterName(last, family);
    const isOurs = parameter === undefined
      ? per === "" && known.test(last)
      : per !== "" || ref64 + mask === "";
    if (!isOurs) continue;
    const ours = per + (parameter ?? last);
    let tensor = source.take([name]).get(name)!;
    if (headFirst && parameter?.includes("c_attn")) {
      tensor = partFirst(tensor, config);
    }
    if (parameter === undefined || per !== "") {
      put(ref64 + mask, ours, tensor);
      continue;
    }
    parameters.set(parameter, tensor);
    theirs.set(name, parameter);
    isMatrix.set(name, tensor.shape.length >= 2);
  }
  takeNumbers(source, groups, put);
  for (const group of groups.values()) splitNorms(source, group, theirs);
  const recordings: Safetensors[] = [];
  for (const [key, group] of groups) {
    const origin = {
      computed: key.startsWith("ref64.") ? "float64" : "float32",
      source: key,
    } as const;
    const mask = key.endsWith("bug.") ? { mask: "zeroed" } : {};
    const facts = { config: { ...config, ...mask } };
    const has = (name: RegExp) =>
      [...group.keys()].some((key) => name.test(key));
    const full = group.get("full_logits");
    if (full !== undefined && sequence !== undefined) {
      group.delete("full_logits");
      const tensors = new Map(parameters).set("tokens", sequence)
        .set("logits", full);
      recordings.push(
        recordingOf(
          "model",
          { ...origin, source: `${key}full ` },
          tensors,
          facts,
        ),
      );
    }
    const decodes = key === "" || has(/^(step_logits|cache\.)/);
    const tensors = new Map([
      ...parameters,
      ...batches,
      ...(decodes ? generation : []),
      ...group,
    ]);
    recordings.push(recordingOf("model", origin, tensors, {
      ...facts,
      ...(has(/^(losses|grad_norms|step\d+\.)/) && {
        training: {
          step: 0,
          config: convertOptimizer(source, family, isMatrix),
        },
      }),
      ...(has(/^leak$/) && { leakShift: readShift(source) }),
    }));
  }
  return [...recordings, ...constants];
}

const seedParts: readonly (readonly [seed: RegExp, ours: string])[] = [
  [/^_token_embedding\./, "wte."],
  [/^_transformer\._ln\./, "ln_f."],
  [/^_lm_head\./, "lm_head."],
  [/^_transformer\._blocks\.(\d+)\._attention\._qkv\./, "h.$1.attn.c_attn."],
  [/^_transformer\._blocks\.(\d+)\._attention\._proj\./, "h.$1.attn.c_proj."],
  [/^_transformer\._blocks\.(\d+)\._ffn\._linear1\./, "h.$1.mlp.c_fc."],
  [/^_transformer\._blocks\.(\d+)\._ffn\._linear2\./, "h.$1.mlp.c_proj."],
  [/^_transformer\._blocks\.(\d+)\._ln([12])\./, "h.$1.ln_$2."],
];

/** Returns our name of a parameter; undefined if it is none of this family's. */
function parameterName(name: string, family: Family): string | undefined {
  if (family === "seed") {
    const part = seedParts.find(([seed]) => seed.test(name));
    return part && name.replace(...part);
  }
  return /^(transformer\.|lm_head\.)/.test(name)
    ? name.replace(/^transformer\./, "")
    : undefined;
}

/** Reorders rows recorded as (head, part, d) to our order (part, head, d), where part is q, k or v. */
function partFirst(
  tensor: TensorData,
  { nEmbd, nHead }: Readonly<Record<string, unknown>>,
): TensorData {
  const { dtype, shape, data } = tensor;
  const [C, HS] = [Number(nEmbd), Number(nEmbd) / Number(nHead)];
  if (dtype !== "F32" || shape[0] !== 3 * C) return tensor; // for the checks to refuse
  const width = data.length / (3 * C);
  const ours = data.map((_, i) => {
    const [row, column] = [Math.floor(i / width), i % width];
    const [part, head] = [Math.floor(row / C), Math.floor(row % C / HS)];
    return data[((head * 3 + part) * HS + row % HS) * width + column]!;
  });
  return { dtype, shape, data: ours };
}

/** Takes token ids: batches as (batches, B, T); prompts with their texts, and both as one sequence (1, B, P + G). */
function takeIds(source: Source, report: Report) {
  const batches: Tensors = new Map();
  for (const name of ["tokens", "targets"]) {
    const taken = source.take([name, `batch.${name}`]);
    const first = taken.get(name);
    const all = taken.get(`batch.${name}`);
    if (all === undefined) {
      if (first === undefined) continue;
      const shape = [1, ...first.shape];
      batches.set(name, { ...first, shape } as TensorData);
      continue;
    }
    batches.set(name, all);
    compareIds(report, `batch.${name}[0] = ${name}`, first, {
      shape: all.shape.slice(1),
      data: all.data.slice(0, first?.data.length),
    });
  }
  const generation = source.take(["prompt", "generated"]);
  source.expect("cache_layout", "[B, head, T, head_dim]");
  const [prompt, text] = [
    generation.get("prompt"),
    generation.get("generated"),
  ];
  const [B = 0, P = 0] = prompt?.shape ?? [];
  const G = text?.shape[1] ?? 0;
  const recorded = source.take(["sequence"]).get("sequence");
  if (generation.size === 1) {
    throw new NotUnderstoodError("tensor prompt or generated is missing");
  }
  const sequence = prompt && {
    dtype: "I32",
    shape: [1, B, P + G],
    data: Int32Array.from({ length: B * (P + G) }, (_, i) => {
      const [b, t] = [Math.floor(i / (P + G)), i % (P + G)];
      return Number(t < P ? prompt.data[b * P + t] : text!.data[b * G + t - P]);
    }),
  } as const;
  compareIds(report, "sequence", recorded, {
    shape: sequence?.shape.slice(1),
    data: sequence?.data,
  });
  const newTokens = source.json("new_tokens") ?? G;
  if (newTokens !== G) {
    throw new NotUnderstoodError(
      `metadata new_tokens is ${newTokens}, and ${G} were generated`,
    );
  }
  const lengths = [batches.get("tokens"), sequence]
    .flatMap((tensor) => tensor?.shape[2] ?? []);
  if (lengths.length > 0) {
    return { batches, generation, sequence, length: Math.max(...lengths) };
  }
  throw new NotUnderstoodError(
    "tensor tokens is missing, and so are batch.tokens and prompt",
  );
}

/** Compares ids that a file holds twice. */
function compareIds(
  report: Report,
  name: string,
  recorded: TensorData | undefined,
  other: {
    readonly shape: readonly number[] | undefined;
    readonly data: TensorData["data"] | undefined;
  },
): void {
  if (recorded === undefined) return;
  if (recorded.shape.join() !== other.shape?.join()) {
    throw new NotUnderstoodError(
      `${name}: shapes are [${recorded.shape}] and [${other.shape}]`,
    );
  }
  report.compare(name, [{
    name,
    recorded: recorded.data as Int32Array,
    computed: other.data as Int32Array,
  }], { measure: "count", limit: 0 });
}

/** Takes `pe`, `bias`, `slopes` and `slopes.nN`, which were computed in float64 and rounded. */
function takeConstants(source: Source, nHead: number): Safetensors[] {
  const others = [...source.rest.keys()].filter((key) =>
    /^slopes\.n/.test(key)
  );
  const names = [["pe", "sinusoidal"], ["bias", `bias.n${nHead}`]] as const;
  return [
    source.take([...names, ...others]),
    source.take([["slopes", `slopes.n${nHead}`]]), // apart, for slopes.nN may be there, too
  ].filter(({ size }) => size > 0)
    .map((tensors) =>
      recordingOf("constants", { computed: "float64", source: "" }, tensors)
    );
}

/** Converts numbers in metadata to tensors; a tensor that exists already must be the same number, rounded. */
function takeNumbers(
  source: Source,
  groups: ReadonlyMap<string, Tensors>,
  put: (group: string, name: string, tensor: TensorData) => void,
): void {
  for (const key of source.keys) {
    const [, ref64 = "", mask = "", per, name = ""] = quantity.exec(key)!;
    if (per !== undefined || !known.test(name)) continue;
    const values = [source.json(key)].flat();
    if (!values.every((value) => typeof value === "number")) {
      throw new NotUnderstoodError(`metadata ${key} is not numbers`);
    }
    const rounded = Float32Array.from(values);
    const tensor = groups.get(ref64 + mask)?.get(name);
    if (tensor !== undefined && tensor.data.join() !== rounded.join()) {
      throw new NotUnderstoodError(
        `tensor ${key} is ${tensor.data}, and metadata ${key} ${rounded}`,
      );
    }
    const shape = [values.length];
    const numbers = ref64 === ""
      ? { dtype: "F32", shape, data: rounded } as const
      : { dtype: "F64", shape, data: Float64Array.from(values) } as const;
    put(ref64 + mask, name, numbers);
  }
}

/** Splits `grad_norms_per_param`, in the order of metadata `param_order`, into `grad_norm.NAME`. */
function splitNorms(
  source: Source,
  group: Tensors,
  parameters: ReadonlyMap<string, string>,
): void {
  const order = source.json("param_order");
  const norms = group.get("grad_norms_per_param");
  group.delete("grad_norms_per_param");
  if (norms === undefined) return;
  if (
    !isNames(order) || order.length !== norms.data.length ||
    !order.every((name) => parameters.has(name))
  ) {
    throw new NotUnderstoodError(
      `metadata param_order is missing or not ${norms.data.length} names of parameters, and grad_norms_per_param is in its order`,
    );
  }
  for (const [i, name] of order.entries()) {
    const data = norms.data.slice(i, i + 1);
    const tensor = { ...norms, shape: [1], data } as TensorData;
    group.set(`grad_norm.${parameters.get(name)}`, tensor);
  }
}

/** Returns the amount by which the recording of leaks shifts a token. */
function readShift(source: Source): number {
  const text = source.text("leak_replacement") ??
    "token j -> (token + 17) mod vocab_size";
  const [, shift] =
    /^token j -> \(token \+ (\d+)\) mod vocab_size(?:, in every row of the batch)?$/
      .exec(text) ?? [];
  if (shift !== undefined) return Number(shift);
  throw new NotUnderstoodError(
    `metadata leak_replacement is ${
      JSON.stringify(text)
    }, not "token j -> (token + N) mod vocab_size"`,
  );
}
