// deno-lint-ignore-file camelcase -- OpenAI's names

/// <reference lib="dom" />
/// <reference lib="dom.iterable" />

/** Asks the server of the page: OpenAI's API, and the server's own additions to it. */

/** Settings of a text; the server's defaults stand in for those left out. */
export interface Settings {
  readonly temperature?: number | undefined;
  readonly top_k?: number | undefined;
  readonly top_p?: number | undefined;
  readonly max_tokens?: number | undefined;
  readonly seed?: number | undefined;
  readonly stop?: string | undefined;
}

/** A token by its id, with the natural logarithm of its probability; null if nothing precedes it. */
export interface ServedCandidate {
  readonly id: number;
  readonly text: string;
  readonly logprob: number | null;
}

/** A token that the server read or wrote, with the other candidates. */
export interface ServedToken extends ServedCandidate {
  /** Entropy of the distribution that the model gave, in nats. */
  readonly entropy: number | null;
  readonly top: readonly ServedCandidate[];
}

/** Attention of the last token of a text. */
export interface ServedAttention {
  /** Number of tokens at the beginning that the model did not see. */
  readonly from: number;
  /** Probabilities by layer, head and token. */
  readonly weights: readonly (readonly (readonly number[])[])[];
}

/** An error that the server gave. */
export class ServerError extends Error {
  /** HTTP status. */
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** A server, and the secret that it may want. */
export class ServerClient {
  /** Secret that is sent with every request. */
  token = "";

  /** Returns the names of the models. */
  async models(): Promise<string[]> {
    const response = await this.#ask("v1/models");
    const { data } = await response.json();
    return data.map(({ id }: { readonly id: string }) => id);
  }

  /** Continues a prompt and yields tokens as they arrive; those of a prompt that is a text come first. */
  async *write(
    { model, prompt, candidates, signal, ...settings }: Settings & {
      readonly model: string;
      readonly prompt: string | readonly number[];
      /** Most candidates of a token. */
      readonly candidates: number;
      readonly signal: AbortSignal;
    },
  ): AsyncGenerator<
    { readonly tokens: ServedToken[]; readonly isGiven: boolean },
    void
  > {
    const isText = typeof prompt === "string";
    const response = await this.#ask("v1/completions", {
      ...{ model, stream: true, logprobs: candidates, lm_tokens: true },
      // An empty prompt is the server's own: a line end.
      ...{ prompt: prompt === "" ? undefined : prompt, echo: isText },
      ...settings,
    }, signal);
    let isGiven = isText;
    for await (const { choices, error } of eventsOf(response)) {
      if (error !== undefined) throw new ServerError(200, error.message);
      for (const { lm_tokens: tokens } of choices) yield { tokens, isGiven };
      isGiven = false;
    }
  }

  /** Returns the attention of the last token. */
  async attention(
    model: string,
    ids: readonly number[],
    signal: AbortSignal,
  ): Promise<ServedAttention> {
    const body = { model, prompt: ids };
    return (await this.#ask("lm/attention", body, signal)).json();
  }

  async #ask(
    path: string,
    body?: unknown,
    signal: AbortSignal | null = null,
  ): Promise<Response> {
    const headers: HeadersInit = this.token === ""
      ? {}
      : { authorization: `Bearer ${this.token}` };
    const response = await fetch(path, {
      headers,
      signal,
      ...(body === undefined
        ? {}
        : { method: "POST", body: JSON.stringify(body) }),
    });
    if (response.ok) return response;
    const text = await response.text();
    throw new ServerError(response.status, messageIn(text, response.status));
  }
}

/** Returns the message in the body of an error; a proxy may have written a body of another form. */
function messageIn(text: string, status: number): string {
  try {
    return JSON.parse(text).error.message;
  } catch {
    return `The server answered with status ${status}`;
  }
}

/** An event of a stream. */
interface Event {
  readonly choices: readonly { readonly lm_tokens: ServedToken[] }[];
  readonly error?: { readonly message: string };
}

/** Yields the events of a stream up to its end. */
async function* eventsOf(response: Response): AsyncGenerator<Event, void> {
  const reader = response.body!.pipeThrough(new TextDecoderStream())
    .getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new ServerError(200, "The server ended in the middle");
    const events = (held + value).split("\n\n");
    held = events.pop()!;
    for (const event of events) {
      const data = event.slice("data: ".length);
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}
