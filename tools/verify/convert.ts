/**
 * Converts a file in the older format (tools/record/README.md), which has other programs' names for parameters
 * and fields, to recordings: one for each model, precision or rotation that the file mixes.
 */

import type { Safetensors } from "../../lib/formats/safetensors.ts";
import type { Report } from "./comparison.ts";
import { convertModel } from "./convert_model.ts";
import { Fields, recordingOf, Source } from "./foreign_file.ts";
import { NotUnderstoodError } from "./recording.ts";
import type { Setting } from "./sampling.ts";

/** Metadata that describes how a file was made, or follows from its tensors. */
const descriptions =
  /^(case|init|source|changed|measured|rows|vocab|layout|zero_grad_by_symmetry|max_abs_cache_vs_full|min_top1_top2_margin|(correct|bug)\.(max|min)_leak_from_future)$/;

/**
 * Converts a file.
 *
 * @param report gets the comparisons of what a file says twice, and a remark for each fact that nothing depends on
 * @throws {NotUnderstoodError} naming the field or tensor
 */
export function convert(file: Safetensors, report: Report): Safetensors[] {
  const odd = [...file.tensors].find(([, { dtype }]) =>
    dtype !== "F32" && dtype !== "I32"
  );
  if (odd !== undefined) {
    throw new NotUnderstoodError(
      `tensor ${odd[0]} is ${odd[1].dtype}, and only F32 and I32 are known`,
    );
  }
  const source = new Source(file);
  const recordings = convertByModel(source, report);
  // Unknown tensors keep their names, so that the checks refuse them.
  for (const [name, tensor] of source.rest) {
    recordings[0]?.tensors.set(name, tensor);
  }
  const reasons = Map.groupBy(
    source.unread,
    (key) =>
      descriptions.test(key)
        ? "says how it was recorded"
        : "nothing that is recorded depends on it, or it is not known",
  );
  for (const [reason, keys] of reasons) {
    report.remark(`metadata ${keys.join(", ")}: ${reason}`);
  }
  return recordings;
}

function convertByModel(source: Source, report: Report): Safetensors[] {
  const model = source.text("model");
  switch (model) {
    case "seed":
    case "nanogpt":
    case "own":
      return convertModel(source, report, model);
    case "equation":
      return convertRotation(source);
    case "definition":
      return convertSampler(source, report);
    default:
      throw new NotUnderstoodError(
        model === undefined
          ? "metadata model is missing"
          : `metadata model is ${
            JSON.stringify(model)
          }, known are seed, nanogpt, own, equation, definition`,
      );
  }
}

/** Converts the rotations, one for each form and offset: `FORM.q_out.offsetN` and the like. */
function convertRotation(source: Source): Safetensors[] {
  source.expect("layout", "[B, H, T, head_dim]");
  const inputs = source.take(["q", "k", "dq_out", "dk_out", "inv_freq"]);
  const [B = 0, H = 0, T = 0, D = 0] = inputs.get("q")?.shape ?? [];
  const fields = source.fields("config");
  const sizes = Object.entries({ B, H, T, "head_dim": D });
  for (const [key, size] of sizes) fields.expect(key, [size], size);
  const base = fields.take("base", 10000);
  const names =
    /^(positions|cos|sin|(?:interleaved|half)\.[a-z_]+)(?:\.offset(0|[1-9]\d*))?$/;
  const matches = [...source.rest.keys()].map((name) => names.exec(name))
    .filter((match) => match !== null);
  const offsets = new Set(matches.map(([, , offset]) => Number(offset ?? 0)));
  fields.expect("offset", [...offsets], [...offsets][0]);
  fields.finish();
  return [...offsets].flatMap((start) => {
    const own = matches.filter(([, , offset]) => Number(offset ?? 0) === start);
    const taken = source.take(
      own.map(([name, ours]) => [name, ours!] as const),
    );
    const positions = taken.get("positions")?.data.join();
    const expected = Array.from({ length: T }, (_, t) => start + t).join();
    if ((positions ?? expected) !== expected) {
      throw new NotUnderstoodError(
        `tensor positions is ${positions}, not ${expected}`,
      );
    }
    const tables = [...taken].filter(([name]) => /^(cos|sin)$/.test(name));
    return ["interleaved", "half"].map((form) => {
      const results = [...taken]
        .filter(([name]) => name.startsWith(`${form}.`))
        .map(([name, tensor]) =>
          [name.slice(form.length + 1), tensor] as const
        );
      const config = { interleaved: form === "interleaved", start, base };
      const tensors = new Map([...inputs, ...tables, ...results]);
      const origin = {
        computed: "float64",
        source: `${form} from ${start}: `,
      } as const;
      return recordingOf("rotation", origin, tensors, { config });
    });
  });
}

/** Converts softmax at `softmax.tTEMPERATURE`, and the distributions that metadata `topk` and `topp` list. */
function convertSampler(source: Source, report: Report): Safetensors[] {
  const tensors = source.take(["logits"]);
  const [rows = 0, V = 0] = tensors.get("logits")?.shape ?? [];
  const fields = source.fields("config");
  fields.expect("rows", [rows], rows);
  fields.expect("vocab_size", [V], V);
  fields.finish();
  const settings = [...source.rest.keys()]
    .filter((name) => name.startsWith("softmax.t"))
    .map((tensor): Setting => ({
      tensor,
      options: { temperature: Number(tensor.slice("softmax.t".length)) },
    }));
  const logits = tensors.get("logits")?.data as Float32Array;
  for (const kind of ["topk", "topp"] as const) {
    const entries = source.json(kind) ?? [];
    if (!Array.isArray(entries)) {
      throw new NotUnderstoodError(`metadata ${kind} is not a list`);
    }
    for (const [i, entry] of entries.entries()) {
      const fields = new Fields(`${kind}[${i}]`, entry);
      const tensor = String(fields.take("tensor"));
      const tieRows = fields.take("boundary_tie_rows", []) as number[];
      const temperature = Number(fields.take("temperature", 1));
      const topK = Number(fields.take("k"));
      const chosen = kind === "topk"
        ? { topK }
        : { topP: Number(fields.take("p")) };
      settings.push({ tensor, tieRows, options: { temperature, ...chosen } });
      const keepTies = fields.take("tensor_keepties");
      if (keepTies !== undefined) {
        const options = Array.from({ length: rows }, (_, row) => {
          const values = logits.subarray(row * V, (row + 1) * V);
          const last = values.toSorted().at(-Math.min(topK, V))!;
          return { temperature, topK: values.filter((x) => x >= last).length };
        });
        settings.push({ tensor: String(keepTies), options });
      }
      fields.finish();
      if (source.rest.delete(`${tensor}.margin`)) {
        report.remark(`tensor ${tensor}.margin: follows from softmax and p`);
      }
    }
  }
  const names = settings.flatMap(({ tensor }) => [tensor, `${tensor}.count`]);
  for (const [name, tensor] of source.take(names)) tensors.set(name, tensor);
  const origin = { computed: "float64", source: "" } as const;
  return [recordingOf("sampler", origin, tensors, { settings })];
}
