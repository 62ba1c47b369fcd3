/** llama.cpp in a process of its own, and the answers that the reference backend gives to the same questions. */

import type { Checkpoint } from "../../lib/formats/checkpoint.ts";
import { Model } from "../../lib/model/model.ts";
import { Sampler } from "../../lib/text/sampler.ts";
import { runScript } from "./programs.ts";

/** Questions to llama.cpp about a file. */
export interface Job {
  readonly file: string;
  readonly tokens: readonly number[];
  /** Number of ids to choose greedily after the tokens. */
  readonly count: number;
  readonly texts: readonly string[];
}

/** Answers of llama.cpp. */
export interface Answer {
  /** Logits after each token, (T, V). */
  readonly logits: readonly (readonly number[])[];
  readonly chosen: readonly number[];
  /** Ids of each text, and the texts of these ids. */
  readonly ids: readonly (readonly number[])[];
  readonly texts: readonly string[];
  /** Ids that end a text. */
  readonly ends: readonly number[];
}

/** Runs llama.cpp. */
export async function run(jobs: readonly Job[]): Promise<Answer[]> {
  const answers = await runScript("llama_cpp.mjs", { input: jobs });
  return (answers as (Answer | { readonly error: string })[]).map((answer) => {
    if ("error" in answer) throw new Error(answer.error);
    return answer;
  });
}

/** Returns the ids that the reference backend chooses after tokens. */
export async function greedy(
  checkpoint: Checkpoint,
  tokens: readonly number[],
  maxNewTokens: number,
): Promise<number[]> {
  await using model = await Model.load(checkpoint, { device: "reference" });
  const sampler = new Sampler({ temperature: 0 });
  const options = { sampler, maxNewTokens };
  return await Array.fromAsync(model.generate(tokens, options));
}
