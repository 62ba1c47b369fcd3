/**
 * Converts a file in the older format (tools/record/README.md), which has other programs' names for parameters
 * and fields, to recordings: one for each model, precision or rotation that the file mixes.
 *
 * What is left over keeps its name, so that the checks refuse it: they refuse every tensor that they do not know.
 */

import type { Safetensors } from "../../lib/formats/safetensors.ts";
import type { Report } from "./comparison.ts";
import { convertModel } from "./convert_model.ts";
import { expect, OlderFile, recordingOf, refuseOthers } from "./older_file.ts";
import type { Setting } from "./sampling.ts";
import { refuse } from "./recording.ts";

/**
 * Converts a file.
 *
 * @param report gets a remark on the metadata that nothing depends on
 * @throws {NotUnderstoodError} naming the field or tensor
 */
export function convert(source: Safetensors, report: Report): Safetensors[] {
  const file = new OlderFile(source);
  const model = file.text("model");
  if (model === "") refuse("metadata model is missing");
  const family = expect(
    "metadata model",
    model,
    ...["seed", "nanogpt", "own", "equation", "definition"] as const,
  );
  const recordings = family === "equation"
    ? convertRotations(file)
    : family === "definition"
    ? convertSampler(file)
    : convertModel(file, family === "seed");
  for (const [name, tensor] of file.tensors) {
    recordings[0]?.tensors.set(name, tensor);
  }
  if (file.metadata.size > 0) {
    const keys = [...file.metadata.keys()].join(", ");
    report.remark(`metadata ${keys}: nothing that is recorded depends on it`);
  }
  return recordings;
}

/** Converts the rotations, one for each form and offset: `FORM.q_out.offsetN` and the like. */
function convertRotations(file: OlderFile): Safetensors[] {
  const layout = "[B, H, T, head_dim]";
  expect("metadata layout", file.text("layout", layout), layout);
  const {
    B: _B,
    H: _H,
    T: _T,
    "head_dim": _D,
    offset: _,
    base = 10000,
    ...rest
  } = file.fields("config");
  refuseOthers("config", rest);
  const inputs = file.takeAll(/^(q|k|dq_out|dk_out|inv_freq)$/);
  const T = inputs.get("q")?.shape[2] ?? 0;
  const starts = new Set(
    [...file.tensors.keys()].map((name) =>
      Number(/\.offset(\d+)$/.exec(name)?.[1] ?? 0)
    ),
  );
  return [...starts].flatMap((start) => {
    const end = start === 0 ? "" : `.offset${start}`;
    const positions = file.take(`positions${end}`)?.data.join();
    const expected = Array.from({ length: T }, (_, t) => start + t).join();
    expect("tensor positions", positions ?? expected, expected);
    const taken = (name: string, rename: string) =>
      file.takeAll(
        new RegExp(`^${name}${RegExp.escape(end)}$`),
        (name) => name.slice(rename.length, name.length - end.length),
      );
    const tables = taken("(cos|sin)", "");
    return ["interleaved", "half"].map((form) => {
      const results = taken(`${form}\\.[a-z_]+`, `${form}.`);
      const config = { interleaved: form === "interleaved", start, base };
      const tensors = new Map([...inputs, ...tables, ...results]);
      const source = `${form} from ${start}: `;
      return recordingOf("rotation", { computed: "float64", source }, tensors, {
        config,
      });
    });
  });
}

/** Converts softmax at `softmax.tTEMPERATURE`, and the distributions that metadata `topk` and `topp` list. */
function convertSampler(file: OlderFile): Safetensors[] {
  const [rows = 0, V = 0] = file.tensors.get("logits")?.shape ?? [];
  const logits = file.tensors.get("logits")?.data as Float32Array;
  const { rows: _, "vocab_size": _V, ...others } = file.fields("config");
  refuseOthers("config", others);
  const settings = [...file.tensors.keys()]
    .filter((name) => name.startsWith("softmax.t"))
    .map((tensor): Setting => ({
      tensor,
      options: { temperature: Number(tensor.slice("softmax.t".length)) },
    }));
  for (const kind of ["topk", "topp"] as const) {
    const entries = file.json(kind) ?? [];
    if (!Array.isArray(entries)) refuse(`metadata ${kind} is not a list`);
    for (const [i, entry] of entries.entries()) {
      const {
        tensor,
        temperature = 1,
        k,
        p,
        "boundary_tie_rows": tieRows = [],
        "tensor_keepties": keepTies,
        ...others
      } = Object(entry);
      refuseOthers(`${kind}[${i}]`, others);
      const chosen = kind === "topk" ? { topK: k } : { topP: p };
      settings.push({ tensor, tieRows, options: { temperature, ...chosen } });
      if (keepTies === undefined) continue;
      const options = Array.from({ length: rows }, (_, row) => {
        const values = logits.subarray(row * V, (row + 1) * V);
        const last = values.toSorted().at(-Math.min(k, V))!;
        return { temperature, topK: values.filter((x) => x >= last).length };
      });
      settings.push({ tensor: keepTies, options });
    }
  }
  file.takeAll(/\.margin$/); // follow from softmax and p
  const origin = { computed: "float64", source: "" } as const;
  const tensors = file.takeAll(/(?:)/);
  return [recordingOf("sampler", origin, tensors, { settings })];
}
