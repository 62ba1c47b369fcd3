/**
 * The server as a function from `Request` to `Response`: it checks who asks, limits what they may
 * take, and answers the routes of OpenAI's API. It opens no socket.
 */

import type { TokenGenerator } from "../model/generate.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { Answer } from "./answer.ts";
import { ApiError, errorBody } from "./api_error.ts";
import { Metrics } from "./metrics.ts";
import { readQuestion } from "./question.ts";

/** A generator that knows how busy it is; `RunningBatch` is one. */
export interface BusyGenerator extends TokenGenerator {
  readonly rows: number;
  /** Texts that are generated now. */
  readonly active: number;
  /** Texts that wait for a row. */
  readonly waiting: number;
}

/** Options of a {@linkcode Server}. */
export interface ServerOptions {
  /** Name of the model, which clients give as `model`. */
  readonly model: string;
  readonly generator: BusyGenerator;
  readonly tokenizer: Tokenizer;
  /** Most texts that wait for a row; a request that would need more gets status 429. */
  readonly queue: number;
  /** Most tokens of a text. */
  readonly maxTokens: number;
  /** Secret that a client sends as `Authorization: Bearer`; if undefined, everybody is answered. */
  readonly token?: string | undefined;
  /** Origins of pages that may use the server, as `http://localhost:3000`. */
  readonly origins?: readonly string[] | undefined;
  /** True if the server answers only requests whose `Host` is this machine's loopback address. */
  readonly loopbackOnly: boolean;
}

/** Longest body of a request, in bytes. */
const MAX_BODY = 2 ** 20;

/** Longest time that a client may take to send a body, in milliseconds. */
const MAX_BODY_MS = 30_000;

/** Longest time that a text which is complete waits for its reader, in milliseconds. */
const MAX_UNREAD_MS = 60_000;

/** Host headers of a client on the same machine. A page elsewhere can give its own name this machine's address. */
const loopback = /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/i;

/** A route: its method, and what answers it. */
interface Route {
  readonly method: "GET" | "POST";
  /** True if no token is needed. */
  readonly isOpen?: boolean;
  readonly answer: (request: Request) => Response | Promise<Response>;
}

/** Answers requests. */
export class Server {
  readonly #options: ServerOptions;
  readonly #metrics = new Metrics();
  readonly #created = Math.floor(Date.now() / 1000);
  readonly #routes: ReadonlyMap<string, Route>;
  readonly #stopping = new AbortController();
  #isClosing = false;

  /** Creates a server that waits for {@linkcode Server.answer}. */
  constructor(options: ServerOptions) {
    this.#options = options;
    const { model } = options;
    this.#routes = new Map<string, Route>([
      ["/health", {
        method: "GET",
        isOpen: true,
        answer: () => Response.json({ status: "ok" }),
      }],
      ["/metrics", { method: "GET", answer: () => this.#measure() }],
      ["/v1/models", {
        method: "GET",
        answer: () => Response.json({ object: "list", data: [this.#model()] }),
      }],
      [`/v1/models/${encodeURIComponent(model)}`, {
        method: "GET",
        answer: () => Response.json(this.#model()),
      }],
      ["/v1/completions", {
        method: "POST",
        answer: (request) => this.#write(request, false),
      }],
      ["/v1/chat/completions", {
        method: "POST",
        answer: (request) => this.#write(request, true),
      }],
    ]);
  }

  /** Answers a request; never rejects. */
  async answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    const route = this.#routes.get(pathname);
    let response: Response;
    try {
      this.#checkCaller(request);
      response = request.method === "OPTIONS"
        ? new Response(null, { status: 204 })
        : await this.#answerRoute(request, route, pathname);
    } catch (error) {
      response = errorResponse(error);
    }
    this.#allowOrigin(request, response);
    this.#metrics.add("lm_requests_total", 1, {
      route: route === undefined ? "other" : pathname,
      status: response.status,
    });
    return response;
  }

  /** Refuses new texts from now on; those under way go on. */
  close(): void {
    this.#isClosing = true;
  }

  /** Ends all texts under way. */
  abort(): void {
    this.close();
    const message = "The server stopped before the end of the text";
    this.#stopping.abort(new ApiError(503, message));
  }

  #checkCaller(request: Request): void {
    const { loopbackOnly } = this.#options;
    const host = request.headers.get("host") ?? new URL(request.url).host;
    if (loopbackOnly && !loopback.test(host)) {
      const message = `Host ${JSON.stringify(host)} is not this machine`;
      throw new ApiError(403, message, { code: "host_not_allowed" });
    }
    const origin = request.headers.get("origin");
    if (origin === null || origin === `http://${host}`) return;
    if (this.#options.origins?.includes(origin)) return;
    const message = `Pages of ${
      JSON.stringify(origin)
    } may not use this server`;
    throw new ApiError(403, message, { code: "origin_not_allowed" });
  }

  async #answerRoute(
    request: Request,
    route: Route | undefined,
    pathname: string,
  ): Promise<Response> {
    if (!route?.isOpen) this.#checkToken(request);
    if (route === undefined) {
      const message = `There is no ${pathname}`;
      throw new ApiError(404, message, { code: "unknown_url" });
    }
    if (request.method !== route.method) {
      const message =
        `${pathname} takes ${route.method}, not ${request.method}`;
      throw new ApiError(405, message, { code: "method_not_allowed" });
    }
    return await route.answer(request);
  }

  #checkToken(request: Request): void {
    const { token } = this.#options;
    if (token === undefined) return;
    const given = request.headers.get("authorization") ?? "";
    if (isSame(given, `Bearer ${token}`)) return;
    const message = given === ""
      ? "The header Authorization: Bearer TOKEN is missing"
      : "The token is wrong";
    throw new ApiError(401, message, { code: "invalid_api_key" });
  }

  /** Lets a page that is allowed to use the server read the response. */
  #allowOrigin(request: Request, { headers, status }: Response): void {
    headers.set("x-content-type-options", "nosniff");
    if (this.#options.origins === undefined) return;
    headers.set("vary", "origin");
    const origin = request.headers.get("origin");
    if (origin === null || !this.#options.origins.includes(origin)) return;
    headers.set("access-control-allow-origin", origin);
    if (status !== 204) return;
    headers.set("access-control-allow-methods", "GET, POST");
    headers.set(
      "access-control-allow-headers",
      request.headers.get("access-control-request-headers") ?? "",
    );
  }

  #model() {
    const { model } = this.#options;
    const created = this.#created;
    return { id: model, object: "model", created, owned_by: "lm" };
  }

  #measure(): Response {
    const { active, waiting, rows } = this.#options.generator;
    const text = this.#metrics.text({
      lm_texts_running: active,
      lm_texts_waiting: waiting,
      lm_rows: rows,
    });
    const type = "text/plain; version=0.0.4; charset=utf-8";
    return new Response(text, { headers: { "content-type": type } });
  }

  async #write(request: Request, chat: boolean): Promise<Response> {
    const began = performance.now();
    const { tokenizer, generator, queue, maxTokens, model } = this.#options;
    const json = await readJson(request);
    const maxTexts = generator.rows + queue;
    const { blockSize } = generator.config;
    const limits = { model, maxTokens, maxTexts, blockSize };
    const question = readQuestion(json, { chat, tokenizer, limits });
    const texts = question.prompts.length * question.n;
    if (this.#isClosing) throw new ApiError(503, "The server is stopping");
    if (generator.active + generator.waiting + texts > maxTexts) {
      const message =
        `${generator.waiting} texts already wait; try again later`;
      throw new ApiError(429, message, { code: "queue_full" });
    }
    const { prompts } = question;
    const promptTokens = prompts.reduce((sum, { ids }) => sum + ids.length, 0);
    this.#metrics.add("lm_prompt_tokens_total", promptTokens);
    const left = new AbortController();
    const signal = AbortSignal.any([left.signal, this.#stopping.signal]);
    let tokens = 0;
    const onToken = () => {
      this.#metrics.add("lm_generated_tokens_total");
      if (tokens++ > 0) return;
      const seconds = (performance.now() - began) / 1000;
      this.#metrics.add("lm_first_token_seconds_sum", seconds);
      this.#metrics.add("lm_first_token_seconds_count");
    };
    const from = { name: model, generator, tokenizer };
    const answer = new Answer(question, from, { signal, onToken });
    const leave = () => {
      // Nobody reads it; nginx counts such requests under this status.
      left.abort(new ApiError(499, "The client left"));
      this.#metrics.add("lm_aborted_total");
    };
    return question.stream
      ? streamed(answer, leave)
      : await whole(answer, request, leave);
  }
}

/** Returns an answer in one piece. */
async function whole(
  answer: Answer,
  request: Request,
  leave: () => void,
): Promise<Response> {
  // Only while the text is written: Deno also aborts this signal after the response was sent.
  if (request.signal.aborted) leave();
  request.signal.addEventListener("abort", leave);
  try {
    return Response.json(await answer.body());
  } finally {
    request.signal.removeEventListener("abort", leave);
  }
}

/**
 * Returns an answer as server-sent events. It is written as fast as the model can, however slowly it
 * is read; a reader that has not caught up a minute after the end is given up.
 */
function streamed(answer: Answer, leave: () => void): Response {
  const encoder = new TextEncoder();
  let [isLeft, isWritten] = [false, false];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      const send = (event: string) => {
        if (!isLeft) controller.enqueue(encoder.encode(event));
      };
      // Not awaited: a stream is read once it has started.
      void answer.stream(send).then(() => {
        if (isLeft) return;
        isWritten = true;
        if (controller.desiredSize! > 0) controller.close();
        else {
          timer = setTimeout(() => controller.error(), MAX_UNREAD_MS);
        }
      });
    },
    pull(controller) {
      if (!isWritten) return;
      clearTimeout(timer);
      controller.close();
    },
    cancel() {
      isLeft = true;
      clearTimeout(timer);
      leave();
    },
  });
  return new Response(body, {
    headers: {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
    },
  });
}

function errorResponse(error: unknown): Response {
  const status = error instanceof ApiError ? error.status : 500;
  const headers: HeadersInit = status === 429 ? { "retry-after": "1" } : {};
  return Response.json(errorBody(error), { status, headers });
}

/**
 * Reads the JSON of a request's body.
 *
 * @throws {ApiError} if it is too long, too slow, or no JSON
 */
async function readJson(request: Request): Promise<unknown> {
  const text = await readBody(request);
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new ApiError(400, "The body is not JSON");
  }
}

async function readBody(request: Request): Promise<string> {
  const tooLong = () =>
    new ApiError(413, `The body is longer than ${MAX_BODY} bytes`);
  if (Number(request.headers.get("content-length")) > MAX_BODY) throw tooLong();
  const reader = request.body?.getReader();
  if (reader === undefined) return "";
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    void reader.cancel();
  }, MAX_BODY_MS);
  const decoder = new TextDecoder();
  let text = "";
  let length = 0;
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      length += value.length;
      if (length > MAX_BODY) throw tooLong();
      text += decoder.decode(value, { stream: true });
    }
  } finally {
    clearTimeout(timer);
    if (length > MAX_BODY) void reader.cancel();
  }
  if (isLate) throw new ApiError(408, "The body took longer than 30 s");
  return text + decoder.decode();
}

/** Compares two texts in a time that does not tell where they differ. */
function isSame(a: string, b: string): boolean {
  let differences = a.length ^ b.length;
  for (let i = 0; i < b.length; i++) {
    differences |= a.charCodeAt(i) ^ b.charCodeAt(i);
  }
  return differences === 0;
}
