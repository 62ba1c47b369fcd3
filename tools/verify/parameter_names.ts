/** A recorded model's parameters and ours: which is which, and in which order their rows come. */

import type { ModelConfig } from "../../lib/config/model.ts";
import type { LayoutEntry, ParameterLayout } from "../../lib/graph/layout.ts";
import type { TensorData } from "../../lib/formats/safetensors.ts";
import type { Pair } from "./comparison.ts";
import type { RecordedNetwork } from "./configuration.ts";
import { isIndex } from "./fields.ts";
import { NotUnderstoodError } from "./not_understood.ts";
import type { Recording } from "./recording.ts";

/** One parameter of the model under both its names. */
export interface Parameter {
  /** The recording's name. */
  readonly recorded: string;
  /** Ours, with its place in the flat stores. */
  readonly entry: LayoutEntry;
  /** For each of our rows the recorded one; absent where they are the same. */
  readonly rows?: readonly number[];
}

/** The parameters of a recorded network, in our layout's order. */
export function nameParameters(
  { family, packing, config }: RecordedNetwork,
  { entries }: ParameterLayout,
): Parameter[] {
  return entries.map((entry) => {
    const recorded = family === "seed"
      ? seedName(entry.name)
      : nanoGptName(entry.name);
    return packing === "head first" && entry.name.includes("c_attn")
      ? { recorded, entry, rows: headFirstRows(config) }
      : { recorded, entry };
  });
}

function nanoGptName(name: string): string {
  return name.startsWith("lm_head.") ? name : `transformer.${name}`;
}

const seedParts: readonly (readonly [ours: RegExp, seed: string])[] = [
  [/^wte\./, "_token_embedding."],
  [/^ln_f\./, "_transformer._ln."],
  [/^lm_head\./, "_lm_head."],
  [/^h\.(\d+)\.attn\.c_attn\./, "_transformer._blocks.$1._attention._qkv."],
  [/^h\.(\d+)\.attn\.c_proj\./, "_transformer._blocks.$1._attention._proj."],
  [/^h\.(\d+)\.mlp\.c_fc\./, "_transformer._blocks.$1._ffn._linear1."],
  [/^h\.(\d+)\.mlp\.c_proj\./, "_transformer._blocks.$1._ffn._linear2."],
  [/^h\.(\d+)\.ln_([12])\./, "_transformer._blocks.$1._ln$2."],
];

function seedName(name: string): string {
  for (const [ours, seed] of seedParts) {
    if (ours.test(name)) return name.replace(ours, seed);
  }
  throw new NotUnderstoodError(
    `config: a seed model has no counterpart to ${name}`,
  );
}

/** Our row (part, head, d) is recorded as (head, part, d), part being q, k or v. */
function headFirstRows({ nHead, nEmbd }: ModelConfig): number[] {
  const HS = nEmbd / nHead;
  return Array.from({ length: 3 * nEmbd }, (_, row) => {
    const part = Math.floor(row / nEmbd);
    const head = Math.floor((row % nEmbd) / HS);
    return (head * 3 + part) * HS + row % HS;
  });
}

/** Recorded numbers in our order. */
function toOurs({ rows }: Parameter, recorded: Float32Array): Float32Array {
  if (rows === undefined) return recorded;
  const ours = new Float32Array(recorded.length);
  const width = recorded.length / rows.length;
  rows.forEach((from, to) =>
    ours.set(recorded.subarray(from * width, (from + 1) * width), to * width)
  );
  return ours;
}

/** Our numbers of one parameter, taken from a flat store, in the recorded order. */
export function toRecorded(
  { entry: { offset, length }, rows }: Parameter,
  flat: ArrayLike<number>,
): Float64Array {
  const ours = Float64Array.from(
    { length },
    (_, i) => flat[offset + i]!,
  );
  if (rows === undefined) return ours;
  const recorded = new Float64Array(length);
  const width = length / rows.length;
  rows.forEach((to, from) =>
    recorded.set(ours.subarray(from * width, (from + 1) * width), to * width)
  );
  return recorded;
}

/** The initial parameters of the recording, under our names. */
export function readParameters(
  recording: Recording,
  parameters: readonly Parameter[],
): Map<string, TensorData> {
  return new Map(parameters.map((parameter) => {
    const { name, shape } = parameter.entry;
    const data = toOurs(
      parameter,
      recording.floats(parameter.recorded, shape),
    );
    return [name, { dtype: "F32", shape, data }];
  }));
}

/** What a recording holds per parameter, e.g. `grad.NAME`, beside what is computed. */
export function pairParameters(
  recording: Recording,
  parameters: readonly Parameter[],
  { prefix, flat, only }: {
    prefix: string;
    flat: ArrayLike<number>;
    only?: (parameter: Parameter) => Pair["only"];
  },
): Pair[] {
  return parameters.filter(({ recorded }) => recording.has(prefix + recorded))
    .map((parameter) => ({
      name: prefix + parameter.recorded,
      recorded: recording.floats(
        prefix + parameter.recorded,
        parameter.entry.shape,
      ),
      computed: toRecorded(parameter, flat),
      only: only?.(parameter),
    }));
}

/**
 * Where gradients are 0 by symmetry, so that only noise is recorded: for each
 * recorded name the indices into the flattened tensor. Where the file does not
 * say, these are the key biases that the softmax ignores.
 */
export function zeroGradients(
  recording: Recording,
  parameters: readonly Parameter[],
  config: ModelConfig,
): Map<string, ReadonlySet<number>> {
  if (recording.text("zero_grad_by_symmetry") === undefined) {
    return ignoredKeyBiases(parameters, config);
  }
  const fields = recording.fields("zero_grad_by_symmetry");
  const zeros = parameters.map(({ recorded, entry }) => {
    const indices = fields.list(recorded, isIndex, []);
    const outside = indices.find((index) => index >= entry.length);
    if (outside !== undefined) {
      throw new NotUnderstoodError(
        `zero_grad_by_symmetry.${recorded} holds ${outside}, and there are ${entry.length} elements`,
      );
    }
    return [recorded, new Set(indices)] as const;
  });
  fields.finish();
  return new Map(zeros);
}

/** A softmax ignores what is the same for all keys of a query, unless keys are treated one by one. */
function ignoredKeyBiases(
  parameters: readonly Parameter[],
  { attention, qkNorm, position, mask, nEmbd, nHead, nKvHead }: ModelConfig,
): Map<string, ReadonlySet<number>> {
  const matters = qkNorm || position.startsWith("rope") || mask === "zeroed";
  if (!attention || matters) return new Map();
  const keys = Array.from(
    { length: nKvHead * nEmbd / nHead },
    (_, i) => nEmbd + i,
  );
  return new Map(
    parameters.filter(({ entry }) => entry.name.endsWith("c_attn.bias"))
      .map(({ recorded, rows }) => [
        recorded,
        new Set(keys.map((row) => rows?.[row] ?? row)),
      ]),
  );
}
