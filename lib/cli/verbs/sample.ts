/** `sample`: prints text from a trained model as it is generated. */

import { textWork } from "../../checks/device_choice.ts";
import { generateText } from "../../model/generate.ts";
import { Sampler, type SamplerOptions } from "../../text/sampler.ts";
import { type Arguments, given } from "../command/arguments.ts";
import { deviceName } from "./device_name.ts";
import { checkUsage, exitCode, usageError } from "../command/errors.ts";
import { Interrupt } from "../terminal/interrupt.ts";
import { withPlainLineEnds } from "../../text/line_ends.ts";
import { opening, promptIds } from "../../text/opening.ts";
import { placementFor } from "./placement.ts";
import { readText, STDIN } from "../text/text_source.ts";
import { forOutput, writeError, writeOutput } from "../terminal/terminal.ts";
import { OpenedModel, tokenizerOf } from "./trained_model.ts";
import type { SampleFlags } from "./flags.ts";

/** Writes text; returns the exit code. */
export async function sample(
  { flags, operand }: Arguments<SampleFlags>,
): Promise<number> {
  using interrupt = new Interrupt();
  const { signal } = interrupt;
  const { numSamples = 1, tokens: maxNewTokens = 500 } = flags;
  const choice = checkFlags(flags);
  using trained = await OpenedModel.open(operand, { best: flags.best });
  const tokenizer = tokenizerOf(trained);
  const given = await promptOf(flags, signal);
  const { data } = trained;
  const documents = data === undefined || data.documents !== undefined;
  const prompt = given ?? opening(tokenizer, { documents });
  promptIds(tokenizer, prompt); // An unknown character needs no device to be refused.
  await using model = await trained.load(
    await placementFor(textWork(trained.checkpoint), flags),
  );
  const where = deviceName(model.backend);
  writeError(`${trained.path} on ${where}, seed ${choice.seed}\n`);
  const stop = (flags.stop ?? []).map(withPlainLineEnds);
  let slid = false;
  let noted = false;
  for (let index = 0; index < numSamples && !signal.aborted; index++) {
    const seed = (choice.seed + index) % 2 ** 32;
    const pieces = generateText(model, tokenizer, prompt, {
      ...{ maxNewTokens, stop, signal },
      sampler: new Sampler({ ...choice, seed }),
      onSlide: () => slid = true,
    });
    if (flags.json) {
      const text = (await Array.fromAsync(pieces)).join("");
      const event = { event: "sample", prompt, text, seed };
      await writeOutput(`${JSON.stringify(event)}\n`);
    } else {
      if (index > 0) await writeOutput("---\n");
      await writeText(given ?? "", pieces);
    }
    if (!slid || noted) continue;
    noted = true; // once, and not in the middle of a text
    const { blockSize } = model.config;
    writeError(
      `note: the text outgrew the model's context of ${blockSize} tokens; later tokens were chosen without its beginning\n`,
    );
  }
  return signal.aborted ? interrupt.exitCode : exitCode.ok;
}

/** Writes a prompt and its continuation as it is generated, with a line end at its end. */
async function writeText(
  prompt: string,
  pieces: AsyncIterable<string>,
): Promise<void> {
  let last = prompt;
  await writeOutput(forOutput(prompt));
  for await (const piece of pieces) {
    await writeOutput(forOutput(piece));
    last = piece || last;
  }
  if (!last.endsWith("\n")) await writeOutput("\n");
}

/** Returns the text to continue, with line ends as in training data; undefined if there is none. */
async function promptOf(
  { prompt, promptFile }: Partial<SampleFlags>,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (promptFile !== undefined) return await readText(promptFile, signal);
  if (prompt === STDIN) return await readText(STDIN, signal);
  return prompt && withPlainLineEnds(prompt);
}

/** Returns the options of the sampler, with its seed. */
function checkFlags(
  flags: Partial<SampleFlags>,
): SamplerOptions & { readonly seed: number } {
  if (flags.prompt !== undefined && flags.promptFile !== undefined) {
    throw usageError("sample", "both --prompt and --prompt-file were given");
  }
  if (flags.stop?.includes("")) {
    throw usageError("sample", "--stop is an empty text");
  }
  const choice = {
    temperature: flags.temperature ?? 0.8,
    seed: flags.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]!,
    ...given(flags, ["topK", "topP", "minP", "repetitionPenalty"]),
  };
  checkUsage(() => new Sampler(choice));
  return choice;
}
