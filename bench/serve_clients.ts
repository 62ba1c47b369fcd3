// deno-lint-ignore-file camelcase -- OpenAI's names

/**
 * Clients of `lm serve`: patient ones, slow ones, some that leave and some that send rubbish. `serve.ts` measures with
 * them, a test runs them for some seconds.
 */

import { assertEquals } from "@std/assert";

/** A text that a client asks for. */
interface Question {
  readonly prompt: string;
  readonly max_tokens: number;
  readonly seed: number;
  readonly stream?: boolean;
}

/** Results of all clients. */
export interface Load {
  /** Answers, by kind of client. */
  readonly counts: Readonly<Record<Kind, number>>;
  /** Errors that are not the clients' own. */
  readonly faults: readonly string[];
}

type Kind = "whole" | "stream" | "slow" | "leave" | "rubbish";

/** Kinds of clients, by turns. */
const kinds: readonly Kind[] = [
  ...["whole", "stream", "leave", "rubbish"] as const,
  ...["whole", "slow", "leave", "stream"] as const,
];

/** Different texts that the clients ask for. */
const SEEDS = 16;

/** Bodies that are refused, with the status. */
const rubbish: readonly (readonly [body: string, status: number])[] = [
  ["{", 400],
  ["\u0000\u0001", 400],
  ["[1, 2]", 400],
  ['{"max_tokens": "many"}', 400],
  ['{"prompt": [-1]}', 400],
  ['{"model": "other"}', 404],
  [`{"prompt": "${"t".repeat(2 ** 20)}"}`, 413],
];

/** Clients of a server. */
export class Clients {
  readonly #url: string;
  /** Text of each seed, as one client alone gets it. */
  readonly #alone: string[] = [];
  readonly #maxTokens: number;

  private constructor(url: string, maxTokens: number) {
    this.#url = url;
    this.#maxTokens = maxTokens;
  }

  /**
   * Asks for each text alone, to compare with later.
   *
   * @param options.maxTokens tokens of a text
   */
  static async meet(
    url: string,
    { maxTokens }: { readonly maxTokens: number },
  ): Promise<Clients> {
    const clients = new Clients(url, maxTokens);
    for (let seed = 0; seed < SEEDS; seed++) {
      const response = await clients.#post(clients.#question(seed));
      assertEquals(response.status, 200);
      clients.#alone.push(await wholeText(response));
    }
    return clients;
  }

  /** Returns tokens per second of patient clients that ask for one text after the other. */
  async throughput(
    { clients, seconds }: {
      readonly clients: number;
      readonly seconds: number;
    },
  ): Promise<number> {
    const begun = performance.now();
    const end = begun + 1000 * seconds;
    let texts = 0;
    await Promise.all(Array.from({ length: clients }, async (_, i) => {
      for (let seed = i; performance.now() < end; seed++) {
        await wholeText(await this.#post(this.#question(seed)));
        texts++;
      }
    }));
    return 1000 * texts * this.#maxTokens / (performance.now() - begun);
  }

  /** Asks as all kinds of clients do. */
  async load(
    { clients, seconds }: {
      readonly clients: number;
      readonly seconds: number;
    },
  ): Promise<Load> {
    const counts = { whole: 0, stream: 0, slow: 0, leave: 0, rubbish: 0 };
    const faults: string[] = [];
    const end = performance.now() + 1000 * seconds;
    await Promise.all(Array.from({ length: clients }, async (_, i) => {
      for (let turn = i; performance.now() < end; turn += 1) {
        const kind = kinds[(i + turn) % kinds.length]!;
        try {
          await this.#ask(kind, turn);
          counts[kind]++;
        } catch (error) {
          faults.push(`${kind}: ${(error as Error).message}`);
          if (faults.length > 20) return;
        }
      }
    }));
    return { counts, faults };
  }

  /** Throws if the server does anything else than it should. */
  async #ask(kind: Kind, turn: number): Promise<void> {
    const seed = turn % SEEDS;
    switch (kind) {
      case "rubbish": {
        const [body, status] = rubbish[turn % rubbish.length]!;
        const response = await this.#post(body);
        await response.body!.cancel();
        return assertEquals(response.status, status);
      }
      case "leave":
        return await this.#leave(seed, { isWhole: turn % 3 === 0 });
      case "whole": {
        const response = await this.#post(this.#question(seed));
        assertEquals(response.status, 200);
        return assertEquals(await wholeText(response), this.#alone[seed]);
      }
      default: {
        const question = { ...this.#question(seed), stream: true };
        const response = await this.#post(question);
        assertEquals(response.status, 200);
        const pause = kind === "slow" ? 20 : 0;
        const text = await streamedText(response, pause);
        return assertEquals(text, this.#alone[seed]);
      }
    }
  }

  /** Asks for a long text and leaves in its middle. */
  async #leave(
    seed: number,
    { isWhole }: { readonly isWhole: boolean },
  ): Promise<void> {
    const long = { ...this.#question(seed), max_tokens: 2000 };
    if (!isWhole) {
      const response = await this.#post({ ...long, stream: true });
      assertEquals(response.status, 200);
      const reader = response.body!.getReader();
      for (let i = 0; i < 3; i++) await reader.read();
      return await reader.cancel();
    }
    const signal = AbortSignal.timeout(20 + seed);
    try {
      const response = await this.#post(long, { signal });
      await response.body!.cancel();
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  #question(seed: number): Question {
    const prompt = "the cat sat on the mat ".slice(0, 4 + seed % 19);
    return { prompt, max_tokens: this.#maxTokens, seed: seed % SEEDS };
  }

  #post(body: Question | string, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.#url}/v1/completions`, {
      method: "POST",
      body: typeof body === "string" ? body : JSON.stringify(body),
      ...init,
    });
  }
}

async function wholeText(response: Response): Promise<string> {
  return (await response.json()).choices[0].text;
}

/** Reads a stream, with a pause of some milliseconds after each of its first pieces. */
async function streamedText(
  response: Response,
  pause: number,
): Promise<string> {
  let events = "";
  let pieces = 0;
  const body = response.body!.pipeThrough(new TextDecoderStream());
  for await (const piece of body) {
    events += piece;
    if (pause > 0 && pieces++ < 50) {
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
  const data = events.split("\n\n").slice(0, -2);
  assertEquals(events.endsWith("data: [DONE]\n\n"), true);
  return data.map((event) =>
    JSON.parse(event.slice("data: ".length)).choices[0].text
  ).join("");
}

/** Waits until a server generates nothing, and returns its numbers. */
export async function quiet(url: string): Promise<string> {
  for (let wait = 0; wait < 250; wait++) {
    const metrics = await (await fetch(`${url}/metrics`)).text();
    const isQuiet = ["running", "waiting"]
      .every((word) => metrics.includes(`\nlm_texts_${word} 0\n`));
    if (isQuiet) return metrics;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error("The server still generates texts that nobody waits for");
}
