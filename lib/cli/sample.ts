/** `sample`: text from a trained model, as it is written. */

import { generateText } from "../generate.ts";
import { Model } from "../language_model.ts";
import { Sampler, type SamplerOptions } from "../sampler.ts";
import type { Tokenizer } from "../tokenizer.ts";
import type { Arguments } from "./arguments.ts";
import { deviceName } from "./device_name.ts";
import { checkUsage, exitCode, UsageError } from "./errors.ts";
import { Interrupt } from "./interrupt.ts";
import { opening } from "./opening.ts";
import { forOutput, writeError, writeOutput } from "./terminal.ts";
import { readTrainedModel, tokenizerOf } from "./trained_model.ts";
import type { SampleFlags } from "./verbs.ts";

/** Writes text; gives the exit code. */
export async function sample(
  { flags, operand }: Arguments<SampleFlags>,
): Promise<number> {
  using interrupt = new Interrupt();
  const { numSamples = 1, device = "auto", json = false } = flags;
  const request = checkRequest(flags);
  const trained = await readTrainedModel(operand, { best: flags.best });
  const tokenizer = tokenizerOf(trained);
  const prompt = flags.prompt ?? opening(tokenizer);
  tokenizer.encode(prompt); // An unknown character needs no device to be refused.
  await using model = await Model.load(trained.checkpoint, { device });
  const where = deviceName(model.backend);
  writeError(`${trained.path} on ${where}, seed ${request.seed}\n`);
  const writer = new Writer(model, tokenizer, {
    ...request,
    prompt,
    echo: flags.prompt !== undefined,
    signal: interrupt.signal,
  });
  for (let index = 0; index < numSamples; index++) {
    if (interrupt.signal.aborted) break;
    if (json) await writer.writeJson(index);
    else await writer.write(index);
  }
  return interrupt.signal.aborted ? exitCode.interrupted : exitCode.ok;
}

/** How text is to be written. */
interface Request extends SamplerOptions {
  readonly seed: number;
  readonly maxNewTokens: number;
  readonly stop: readonly string[];
}

function checkRequest(flags: Partial<SampleFlags>): Request {
  const { tokens = 500, numSamples = 1, stop = [] } = flags;
  for (const [flag, value] of Object.entries({ tokens, numSamples })) {
    if (value >= 1) continue;
    const name = flag === "tokens" ? "--tokens" : "--num-samples";
    throw new UsageError(`Cannot sample: ${name} (${value}) is not at least 1`);
  }
  if (stop.includes("")) {
    throw new UsageError("Cannot sample: --stop is an empty text");
  }
  const request = {
    temperature: flags.temperature ?? 0.8,
    ...(flags.topK !== undefined && { topK: flags.topK }),
    ...(flags.topP !== undefined && { topP: flags.topP }),
    ...(flags.minP !== undefined && { minP: flags.minP }),
    ...(flags.repetitionPenalty !== undefined && {
      repetitionPenalty: flags.repetitionPenalty,
    }),
    seed: flags.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]!,
    maxNewTokens: tokens,
    stop,
  };
  checkUsage(() => new Sampler(request));
  return request;
}

/** Writes samples of one request; the i-th, from 0, has the seed plus i. */
class Writer {
  readonly #model: Model;
  readonly #tokenizer: Tokenizer;
  readonly #request: Request & {
    readonly prompt: string;
    readonly echo: boolean;
    readonly signal: AbortSignal;
  };
  #slid = false;

  constructor(
    model: Model,
    tokenizer: Tokenizer,
    request: Request & {
      readonly prompt: string;
      /** Whether the prompt is part of what is written. */
      readonly echo: boolean;
      readonly signal: AbortSignal;
    },
  ) {
    this.#model = model;
    this.#tokenizer = tokenizer;
    this.#request = request;
  }

  /** Streams a text; every text ends its line, and a line of dashes is between two. */
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
  }

  /** Writes a text as one JSON event. */
  async writeJson(index: number): Promise<void> {
    const { prompt } = this.#request;
    let text = "";
    for await (const piece of this.#pieces(index)) text += piece;
    const event = { event: "sample", prompt, text, seed: this.#seed(index) };
    await writeOutput(`${JSON.stringify(event)}\n`);
  }

  #seed(index: number): number {
    return (this.#request.seed + index) % 2 ** 32;
  }

  #pieces(index: number): AsyncGenerator<string, void> {
    const { prompt, maxNewTokens, stop, signal } = this.#request;
    return generateText(this.#model, this.#tokenizer, prompt, {
      sampler: new Sampler({ ...this.#request, seed: this.#seed(index) }),
      maxNewTokens,
      stop,
      signal,
      onSlide: () => this.#noteSlide(),
    });
  }

  #noteSlide(): void {
    if (this.#slid) return;
    this.#slid = true;
    const { blockSize } = this.#model.config;
    writeError(
      `note: the text outgrows the model's context of ${blockSize} tokens; the oldest are forgotten\n`,
    );
  }
}
