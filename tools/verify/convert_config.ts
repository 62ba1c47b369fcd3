/** Converts the configuration and the optimizer of a model in the older format. */

import type { Report } from "./comparison.ts";
import { isNames, type Source } from "./foreign_file.ts";
import { NotUnderstoodError } from "./recording.ts";

/** The origin of a model, which determines its names and the fields that its config leaves out. */
export type Family = "seed" | "nanogpt" | "own";

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
export function convertConfig(
  source: Source,
  report: Report,
  { family, length }: { family: Family; length: number },
): { config: Record<string, unknown>; headFirst: boolean } {
  const isSeed = family === "seed";
  const fields = source.fields("config");
  const usual = isSeed
    ? { position: "none", tiedHead: false, headBias: true }
    : { position: "learned", tiedHead: true, headBias: false };
  const [seedPacking, packing] = Object.keys(packings);
  const layout = fields.expect(
    "qkv_layout",
    Object.keys(packings),
    isSeed ? seedPacking : packing,
  ) as keyof typeof packings;
  fields.expect("layernorm_eps", [1e-5], 1e-5);
  const hasGelu = fields.rest.has("gelu");
  const gelu = fields.expect("gelu", ["erf", "tanh"], isSeed ? "tanh" : "erf");
  const form = gelu === "erf" ? "gelu" : "geluTanh";
  const mlp = String(fields.take("mlp", form));
  if (hasGelu && mlp !== form) {
    if (mlp.startsWith("gelu")) {
      throw new NotUnderstoodError(
        `config.gelu is "${gelu}", and mlp "${mlp}"`,
      );
    }
    report.remark(`config.gelu: the mlp is ${mlp}`);
  }
  const dropout = fields.take("dropout", 0);
  if (isSeed && dropout !== 0) {
    report.remark(
      `config.dropout is ${dropout}: the seed's code never applies it`,
    );
  }
  const hidden = fields.take("mlp_dim");
  if (hidden !== undefined) fields.expect("n_hidden", [hidden], hidden);
  const context = Number(fields.take("block_size", length));
  const config: Record<string, unknown> = {
    ...usual,
    mlp,
    dropout: isSeed ? 0 : dropout,
    ...(hidden !== undefined && { nHidden: hidden }),
  };
  for (const [key, value] of fields.rest) {
    const ours = key.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());
    config[ours] = value === "rope-interleaved" ? "rope" : value;
  }
  // Only a learned table has a size of its own; others need be no longer than the sequences.
  config["blockSize"] = config["position"] === "learned"
    ? context
    : Math.min(context, length);
  const { nKvHead, nHead } = config;
  const headFirst = packings[layout];
  if (headFirst && nKvHead !== undefined && nKvHead !== nHead) {
    throw new NotUnderstoodError(
      `config.qkv_layout has as many keys as queries, but n_kv_head is ${nKvHead} and n_head ${nHead}`,
    );
  }
  return { config, headFirst };
}

/**
 * Translates the optimizer.
 *
 * @param isMatrix whether each parameter, by its name in the file, is a matrix
 */
export function convertOptimizer(
  source: Source,
  family: Family,
  isMatrix: ReadonlyMap<string, boolean>,
): Record<string, unknown> {
  const fields = source.fields("optimizer");
  fields.expect("type", ["AdamW"], "AdamW");
  fields.expect("clip_eps", [1e-6], 1e-6);
  const [beta1, beta2, ...others] = [fields.take("betas")].flat();
  const gradClip = fields.take("clip_norm", 0); // null: no clipping
  const all = [...isMatrix.keys()];
  const matrices = all.filter((name) => isMatrix.get(name));
  const decaying = fields.take(
    "decay_params",
    family === "seed" ? all : matrices,
  );
  const rest = all.filter((name) => ![decaying].flat().includes(name));
  const named = fields.take("no_decay_params", rest);
  const config = {
    learningRate: fields.take("lr"),
    ...{ beta1, beta2, gradClip },
    eps: fields.take("eps", 1e-8),
    weightDecay: fields.take("weight_decay"),
  };
  fields.finish();
  if (beta2 === undefined || others.length > 0) {
    throw new NotUnderstoodError("optimizer.betas is not two numbers");
  }
  if (
    !isNames(decaying) || !isNames(named) ||
    [...decaying, ...named].toSorted().join() !== all.toSorted().join()
  ) {
    throw new NotUnderstoodError(
      "optimizer: decay_params and no_decay_params are not all parameters, each once",
    );
  }
  if (decaying.length === all.length) return { ...config, decay: "all" };
  if (decaying.length === 0) return { ...config, weightDecay: 0 };
  const odd = all.find((name) =>
    decaying.includes(name) !== isMatrix.get(name)
  );
  if (odd === undefined || config.weightDecay === 0) return config;
  throw new NotUnderstoodError(
    `optimizer.decay_params ${
      decaying.includes(odd) ? "holds" : "leaves out"
    } ${odd}, and this optimizer decays all parameters or the matrices`,
  );
}
