/** Converts models in the older format: names of parameters and fields, the order of rows, the optimizer. */

import type { Safetensors, TensorData } from "../../lib/formats/safetensors.ts";
import {
  expect,
  type Fields,
  type OlderFile,
  recordingOf,
  refuseOthers,
  type Tensors,
} from "./older_file.ts";
import { refuse } from "./recording.ts";

/** Converts a model: a recording for each precision and mask, for full passes over generated text, and for constants. */
export function convertModel(file: OlderFile, isSeed: boolean): Safetensors[] {
  const { batches, generation, sequence } = takeIds(file);
  const lengths = [...batches.values(), sequence]
    .flatMap((tensor) => tensor?.shape[2] ?? []);
  if (lengths.length === 0) {
    refuse("tensor tokens is missing, and so is prompt");
  }
  const length = Math.max(...lengths);
  const { config, headFirst } = convertConfig(file, { isSeed, length });
  expect("metadata bug", file.text("bug", ZEROED), ZEROED);
  const constants = takeConstants(file, Number(config["nHead"]));
  numbersToTensors(file);
  normsToTensors(file);
  const parameters: Tensors = new Map();
  const isMatrix = new Map<string, boolean>(); // by the file's names of parameters
  const groups = new Map<string, Tensors>([["", new Map()]]);
  for (const [name, tensor] of file.takeAll(/(?:)/)) {
    const [, prefix = "", per = "", last = ""] = quantity.exec(name)!;
    const parameter = parameterName(last, isSeed);
    const numbers = headFirst && parameter?.includes("c_attn")
      ? partFirst(tensor, config)
      : tensor;
    if (parameter !== undefined && prefix + per === "") {
      parameters.set(parameter, numbers);
      isMatrix.set(name, tensor.shape.length >= 2);
      continue;
    }
    const isFull = last === "full_logits";
    const group = isFull ? `${prefix}full ` : prefix;
    groups.set(group, groups.get(group) ?? new Map());
    const ours = isFull ? "logits" : per + (parameter ?? last);
    groups.get(group)!.set(ours, numbers);
  }
  const recordings = [...groups].map(([key, group]) => {
    const has = (name: RegExp) => [...group.keys()].some((n) => name.test(n));
    const isFull = key.endsWith("full ");
    const tensors: Tensors = new Map([
      ...parameters,
      ...(isFull && sequence ? [["tokens", sequence] as const] : batches),
      ...(key === "" || has(/^(step_logits|cache\.)/) ? generation : []),
      ...group,
    ]);
    const computed = key.startsWith("ref64.") ? "float64" : "float32";
    return recordingOf("model", { computed, source: key }, tensors, {
      config: { ...config, ...(key.includes("bug.") && { mask: "zeroed" }) },
      ...(has(/^(losses|grad_norms|step\d+\.)/) && {
        training: { step: 0, config: convertOptimizer(file, isSeed, isMatrix) },
      }),
      ...(has(/^leak$/) && { leakShift: leakShift(file) }),
    });
  });
  for (const key of ["optimizer", "leak_replacement"]) file.text(key);
  return [...recordings, ...constants];
}

/** The seed's mask bug in the words of its recording: our `mask: "zeroed"`. */
const ZEROED =
  "softmax((q @ k^T) * mask / sqrt(head_dim)) @ v, mask 1 at or below the diagonal, 0 above";

/** A tensor: float64 or float32, with one of two masks; a parameter's gradient, norm or value after a step, or what its name says. */
const quantity =
  /^((?:ref64\.)?(?:correct\.|bug\.)?)(grad\.|grad_norm\.|step\d+\.)?(.*)$/s;

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

/** Returns our name of a parameter; undefined if it is not a parameter. */
function parameterName(name: string, isSeed: boolean): string | undefined {
  if (isSeed) {
    const part = seedParts.find(([seed]) => seed.test(name));
    return part && name.replace(...part);
  }
  return /^(transformer\.|lm_head\.)/.test(name)
    ? name.replace(/^transformer\./, "")
    : undefined;
}

/** Reorders rows recorded as (head, part, d) to our order (part, head, d), where part is q, k or v. */
function partFirst(tensor: TensorData, { nEmbd, nHead }: Fields): TensorData {
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
function takeIds(file: OlderFile) {
  expect(
    "metadata cache_layout",
    file.text("cache_layout", "[B, head, T, head_dim]"),
    "[B, head, T, head_dim]",
  );
  const batches: Tensors = new Map();
  for (const name of ["tokens", "targets"]) {
    const first = file.take(name);
    const all = file.take(`batch.${name}`) ??
      (first && { ...first, shape: [1, ...first.shape] } as TensorData);
    if (all !== undefined) batches.set(name, all);
    if (first?.data.some((id, i) => id !== all!.data[i])) {
      refuse(`tensor ${name} is not the first of batch.${name}`);
    }
  }
  const generation = file.takeAll(/^(prompt|generated)$/);
  const [prompt, text] = ["prompt", "generated"].map((name) =>
    generation.get(name)
  );
  const recorded = file.take("sequence");
  if (generation.size === 1) refuse("tensor prompt or generated is missing");
  const [B = 0, P = 0] = prompt?.shape ?? [];
  const G = text?.shape[1] ?? 0;
  const ids = Int32Array.from({ length: B * (P + G) }, (_, i) => {
    const [b, t] = [Math.floor(i / (P + G)), i % (P + G)];
    return Number(t < P ? prompt!.data[b * P + t] : text!.data[b * G + t - P]);
  });
  if (recorded !== undefined && recorded.data.join() !== ids.join()) {
    refuse("tensor sequence is not prompt and generated, one after the other");
  }
  const sequence = prompt &&
    { dtype: "I32", shape: [1, B, P + G], data: ids } as const;
  return { batches, generation, sequence };
}

const packings = {
  "[head, (q,k,v), head_dim]": true,
  "[(q,k,v), head, head_dim]": false,
  "[q heads, k heads, v heads] of head_dim rows": false,
};

/**
 * Translates the architecture: `n_embd` is our `nEmbd`, and so on; our own checks refuse what they do not know.
 *
 * @param options.length the longest sequence in the file: the context, where the config names none
 * @returns our fields, and whether the rows of `c_attn` are packed by head first
 */
function convertConfig(
  file: OlderFile,
  { isSeed, length }: { isSeed: boolean; length: number },
): { config: Fields; headFirst: boolean } {
  const usual = isSeed
    ? { position: "none", tiedHead: false, headBias: true }
    : { position: "learned", tiedHead: true, headBias: false };
  const known = Object.keys(packings) as (keyof typeof packings)[];
  const {
    "qkv_layout": layout = known[isSeed ? 0 : 1],
    "layernorm_eps": eps = 1e-5,
    "block_size": context,
    "mlp_dim": hidden,
    gelu,
    dropout = 0,
    ...others
  } = file.fields("config");
  const headFirst = packings[expect("config.qkv_layout", layout, ...known)];
  expect("config.layernorm_eps", eps, 1e-5);
  const form = expect("config.gelu", gelu, "erf", "tanh", undefined) ??
    (isSeed ? "tanh" : "erf");
  const config: Record<string, unknown> = {
    ...usual,
    mlp: form === "erf" ? "gelu" : "geluTanh",
    dropout: isSeed ? 0 : dropout, // the seed's code never applies it
    ...(hidden !== undefined && { nHidden: hidden }),
  };
  const { mlp } = others;
  if (
    gelu !== undefined && /^gelu/.test(String(mlp)) && mlp !== config["mlp"]
  ) {
    refuse(`config.gelu is "${gelu}", and mlp "${mlp}"`);
  }
  for (const [key, value] of Object.entries(others)) {
    const ours = key.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());
    config[ours] = value === "rope-interleaved" ? "rope" : value;
  }
  // Only a learned table has a size of its own; others need be no longer than the sequences.
  const blockSize = Number(context ?? length);
  config["blockSize"] = config["position"] === "learned"
    ? blockSize
    : Math.min(blockSize, length);
  return { config, headFirst };
}

/**
 * Translates the optimizer.
 *
 * @param isMatrix whether each parameter, by its name in the file, is a matrix
 */
function convertOptimizer(
  file: OlderFile,
  isSeed: boolean,
  isMatrix: ReadonlyMap<string, boolean>,
): Fields {
  const all = [...isMatrix.keys()];
  const text = file.metadata.get("optimizer");
  const {
    type = "AdamW",
    lr,
    betas,
    eps = 1e-8,
    "weight_decay": weightDecay,
    "clip_norm": gradClip,
    "clip_eps": clipEps = 1e-6,
    "decay_params": decayed = all.filter((name) =>
      isSeed || isMatrix.get(name)
    ),
    "no_decay_params": others,
    ...rest
  } = file.fields("optimizer");
  if (text !== undefined) file.metadata.set("optimizer", text); // several recordings need it
  expect("optimizer.type", type, "AdamW");
  expect("optimizer.clip_eps", clipEps, 1e-6);
  refuseOthers("optimizer", rest);
  const [beta1, beta2] = Array.isArray(betas) && betas.length === 2
    ? betas
    : [];
  if (beta2 === undefined || lr === undefined || weightDecay === undefined) {
    refuse("optimizer lacks lr, weight_decay or two betas");
  }
  const names = [
    decayed,
    others ?? all.filter((n) => ![decayed].flat().includes(n)),
  ];
  if (names.flat().toSorted().join() !== all.toSorted().join()) {
    refuse(
      "optimizer: decay_params and no_decay_params are not all parameters, each once",
    );
  }
  const config = {
    ...{ learningRate: lr, beta1, beta2, eps, weightDecay },
    gradClip: gradClip ?? 0, // null: no clipping
  };
  const decays = (name: string) => (decayed as string[]).includes(name);
  if (all.every(decays)) return { ...config, decay: "all" };
  if (!all.some(decays)) return { ...config, weightDecay: 0 };
  const odd = all.find((name) => decays(name) !== isMatrix.get(name));
  if (odd === undefined || weightDecay === 0) return config;
  refuse(
    `optimizer.decay_params ${
      decays(odd) ? "holds" : "leaves out"
    } ${odd}, and this optimizer decays all parameters or the matrices`,
  );
}

/** Takes `pe`, `bias`, `slopes` and `slopes.nN`, which were computed in float64 and rounded. */
function takeConstants(file: OlderFile, nHead: number): Safetensors[] {
  const ours: Readonly<Record<string, string>> = {
    pe: "sinusoidal",
    bias: `bias.n${nHead}`,
    slopes: `slopes.n${nHead}`,
  };
  const twice = file.tensors.get(ours["slopes"]!);
  const slopes = file.tensors.get("slopes");
  if (twice && slopes && twice.data.join() !== slopes.data.join()) {
    refuse(`tensor slopes is not ${ours["slopes"]}`);
  }
  const tensors = file.takeAll(
    /^(pe|bias|slopes(\.n\d+)?)$/,
    (name) => ours[name] ?? name,
  );
  const origin = { computed: "float64", source: "" } as const;
  return tensors.size > 0 ? [recordingOf("constants", origin, tensors)] : [];
}

/** Makes tensors of numbers in metadata, which are not rounded; a tensor of the same name must be the same number, rounded. */
function numbersToTensors(file: OlderFile): void {
  for (const key of [...file.metadata.keys()]) {
    if (!/^(ref64\.)?(correct\.|bug\.)?(loss|grad_norm)(es|s)?$/.test(key)) {
      continue;
    }
    const values = [file.json(key)].flat();
    if (!values.every((value) => typeof value === "number")) {
      refuse(`metadata ${key} is not numbers`);
    }
    const rounded = Float32Array.from(values);
    const tensor = file.tensors.get(key);
    if (tensor !== undefined && tensor.data.join() !== rounded.join()) {
      refuse(`tensor ${key} is ${tensor.data}, and metadata ${key} ${rounded}`);
    }
    const shape = [values.length];
    file.tensors.set(
      key,
      key.startsWith("ref64.")
        ? { dtype: "F64", shape, data: Float64Array.from(values) }
        : { dtype: "F32", shape, data: rounded },
    );
  }
}

/** Splits `grad_norms_per_param`, in the order of metadata `param_order`, into `grad_norm.NAME`. */
function normsToTensors(file: OlderFile): void {
  const order = file.json("param_order");
  for (const [name, norms] of file.takeAll(/grad_norms_per_param$/)) {
    if (!Array.isArray(order) || order.length !== norms.data.length) {
      refuse(
        `metadata param_order is missing or not ${norms.data.length} names, and ${name} is in its order`,
      );
    }
    for (const [i, parameter] of order.entries()) {
      const data = norms.data.slice(i, i + 1);
      file.tensors.set(
        name.replace("grad_norms_per_param", `grad_norm.${parameter}`),
        { ...norms, shape: [1], data } as TensorData,
      );
    }
  }
}

/** Returns the amount by which the recording of leaks shifts a token. */
function leakShift(file: OlderFile): number {
  const text = file.metadata.get("leak_replacement") ??
    "token j -> (token + 17) mod vocab_size";
  const [, shift] =
    /^token j -> \(token \+ (\d+)\) mod vocab_size(?:, in every row of the batch)?$/
      .exec(text) ?? [];
  return shift === undefined
    ? refuse(
      `metadata leak_replacement is ${
        JSON.stringify(text)
      }, not "token j -> (token + N) mod vocab_size"`,
    )
    : Number(shift);
}
