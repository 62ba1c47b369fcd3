/** `sample`: prints text from a trained model as it is generated. */

import { generateText } from "../../model/generate.ts";
import { Model } from "../../model/model.ts";
import { Sampler, type SamplerOptions } from "../../text/sampler.ts";
import type { Tokenizer } from "../../text/tokenizer.ts";
import { type Arguments, given } from "../command/arguments.ts";
import { deviceName } from "./device_name.ts";
import { checkUsage, exitCode, usageError } from "../command/errors.ts";
import { Interrupt } from "../terminal/interrupt.ts";
import { opening } from "../../text/opening.ts";
import { withPlainLineEnds } from "../text/plain_text.ts";
import { placement } from "./placement.ts";
import { readText, STDIN } from "../text/text_source.ts";
import { forOutput, writeError, writeOutput } from "../terminal/terminal.ts";
import { readTrainedModel, tokenizerOf } from "./trained_model.ts";
import type { SampleFlags } from "./flags.ts";

/** Writes text; returns the exit code. */
export async function sample(
  { flags, operand }: Arguments<SampleFlags>,
): Promise<number> {
  using interrupt = new Interrupt();
  const { signal } = interrupt;
  const { numSamples = 1, json = false } = flags;
  const choice = checkFlags(flags);
  const trained = await readTrainedModel(operand, { best: flags.best });
  const tokenizer = tokenizerOf(trained);
  const given = await promptOf(flags, signal);
  const prompt = given ?? opening(tokenizer);
  tokenizer.encode(prompt); // An unknown character needs no device to be refused.
  await using model = await Model.load(
    trained.checkpoint,
    placement(flags),
  );
  const where = deviceName(model.backend);
  writeError(`${trained.path} on ${where}, seed ${choice.seed}\n`);
  const { tokens = 500 } = flags;
  const stop = (flags.stop ?? []).map(withPlainLineEnds);
  const writer = new Writer({
    model,
    tokenizer,
    prompt,
    echo: given !== undefined,
    maxNewTokens: tokens,
    stop,
    choice,
    signal,
  });
  for (let index = 0; index < numSamples && !signal.aborted; index++) {
    if (json) await writer.writeJson(index);
    else await writer.write(index);
  }
  return signal.aborted ? interrupt.exitCode : exitCode.ok;
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

/** Options of the sampler, and its seed. */
type Choice = SamplerOptions & { readonly seed: number };

function checkFlags(flags: Partial<SampleFlags>): Choice {
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

/** The text that a {@linkcode Writer} is to generate. */
interface Request {
  readonly model: Model;
  readonly tokenizer: Tokenizer;
  readonly prompt: string;
  /** True if the prompt is written too. */
  readonly echo: boolean;
  readonly maxNewTokens: number;
  readonly stop: readonly string[];
  readonly choice: Choice;
  readonly signal: AbortSignal;
}

/** Writes texts of one request; the i-th, from 0, has the seed plus i. */
class Writer {
  readonly #request: Request;
  #slid = false;
  #noted = false;

  constructor(request: Request) {
    this.#request = request;
  }

  /** Streams a text; each ends with a line end, and a line of dashes separates two. */
  async write(index: number): Promise<void> {
    const { prompt, echo } = this.#request;
    if (index > 0) await writeOutput("---\n");
    let last = "";
    const put = async (piece: string) => {
      if (piece === "") return;
      last = piece;
      await writeOutput(forOutput(piece));
    };
    if (echo) await put(prompt);
    for await (const piece of this.#pieces(index)) await put(piece);
    if (!last.endsWith("\n")) await writeOutput("\n");
    this.#noteSlide();
  }

  /** Writes a text as one JSON event. */
  async writeJson(index: number): Promise<void> {
    const { prompt } = this.#request;
    let text = "";
    for await (const piece of this.#pieces(index)) text += piece;
    const event = { event: "sample", prompt, text, seed: this.#seed(index) };
    await writeOutput(`${JSON.stringify(event)}\n`);
    this.#noteSlide();
  }

  #seed(index: number): number {
    return (this.#request.choice.seed + index) % 2 ** 32;
  }

  #pieces(index: number): AsyncGenerator<string, void> {
    const { model, tokenizer, prompt, choice } = this.#request;
    const { maxNewTokens, stop, signal } = this.#request;
    return generateText(model, tokenizer, prompt, {
      maxNewTokens,
      stop,
      signal,
      sampler: new Sampler({ ...choice, seed: this.#seed(index) }),
      onSlide: () => this.#slid = true,
    });
  }

  /** Prints a message once, and not in the middle of a text. */
  #noteSlide(): void {
    if (!this.#slid || this.#noted) return;
    this.#noted = true;
    const { blockSize } = this.#request.model.config;
    writeError(
      `note: the text outgrew the model's context of ${blockSize} tokens; later tokens were chosen without its beginning\n`,
    );
  }
}
