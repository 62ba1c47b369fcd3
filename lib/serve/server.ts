/**
 * The server as a function from `Request` to `Response`: it checks who asks, limits what they may
 * take, and answers the routes of OpenAI's API. It opens no socket.
 */

import type { TokenGenerator } from "../model/generate.ts";
import type { Model } from "../model/model.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { Answer } from "./answer.ts";
import { Attendant } from "./attendant.ts";
import { ApiError, errorBody } from "./api_error.ts";
import { Metrics } from "./metrics.ts";
import { playground } from "./playground.generated.ts";
import { chosenModel, readAttended, readQuestion } from "./question.ts";
import { readJson } from "./request_body.ts";

/** A generator that knows how busy it is; `RunningBatch` is one. */
export interface BusyGenerator extends TokenGenerator {
  readonly rows: number;
  /** Texts that are generated now. */
  readonly active: number;
  /** Texts that wait for a row. */
  readonly waiting: number;
}

/** A model that the server has. */
export interface ServedModel {
  /** Name that clients give as `model`. */
  readonly name: string;
  readonly model: Model;
  /** Generator of the model's texts. */
  readonly generator: BusyGenerator;
  readonly tokenizer: Tokenizer;
}

/** Options of a {@linkcode Server}. */
export interface ServerOptions {
  /** At least one model, with different names; the first answers requests that name no model. */
  readonly models: readonly ServedModel[];
  /** Most texts that wait for a row of a model; a request that would need more gets status 429. */
  readonly queue: number;
  /** Most tokens of a text. */
  readonly maxTokens: number;
  /** Secret that a client sends as `Authorization: Bearer`; if undefined, everybody is answered. */
  readonly token?: string | undefined;
  /** Origins of pages that may use the server, as `http://localhost:3000`. */
  readonly origins?: readonly string[] | undefined;
  /** True if the server answers only requests whose `Host` is this machine's loopback address. */
  readonly loopbackOnly: boolean;
  /** Called with each error that no request is to blame for; the client learns only that the server failed. */
  readonly onFailure?: ((error: unknown) => void) | undefined;
}

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
  readonly #attendant = new Attendant();
  #isClosing = false;

  /** Creates a server that waits for {@linkcode Server.answer}. */
  constructor(options: ServerOptions) {
    this.#options = options;
    this.#routes = new Map<string, Route>([
      ["/", { method: "GET", isOpen: true, answer: () => page() }],
      ["/health", {
        method: "GET",
        isOpen: true,
        answer: () => Response.json({ status: "ok" }),
      }],
      ["/metrics", { method: "GET", answer: () => this.#measure() }],
      ["/v1/models", {
        method: "GET",
        answer: () => Response.json({ object: "list", data: this.#models }),
      }],
      ...this.#models.map((model): [string, Route] => [
        `/v1/models/${encodeURIComponent(model.id)}`,
        { method: "GET", answer: () => Response.json(model) },
      ]),
      ["/v1/completions", {
        method: "POST",
        answer: (request) => this.#write(request, false),
      }],
      ["/v1/chat/completions", {
        method: "POST",
        answer: (request) => this.#write(request, true),
      }],
      ["/lm/attention", {
        method: "POST",
        answer: (request) => this.#attend(request),
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
      this.#report(error);
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

  #report(error: unknown): void {
    if (!(error instanceof ApiError)) this.#options.onFailure?.(error);
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

  get #models() {
    const created = this.#created;
    return this.#options.models.map(({ name }) => (
      { id: name, object: "model", created, owned_by: "lm" }
    ));
  }

  #measure(): Response {
    const sum = (key: "active" | "waiting" | "rows") =>
      this.#options.models.reduce((n, each) => n + each.generator[key], 0);
    const text = this.#metrics.text({
      lm_texts_running: sum("active"),
      lm_texts_waiting: sum("waiting"),
      lm_rows: sum("rows"),
    });
    const type = "text/plain; version=0.0.4; charset=utf-8";
    return new Response(text, { headers: { "content-type": type } });
  }

  async #write(request: Request, chat: boolean): Promise<Response> {
    const began = performance.now();
    const { models, queue, maxTokens } = this.#options;
    const json = await readJson(request);
    const from = chosenModel(json, models);
    const { tokenizer, generator } = from;
    const maxTexts = generator.rows + queue;
    const { blockSize } = generator.config;
    const limits = { maxTokens, maxTexts, blockSize };
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
    const onError = (error: unknown) => this.#report(error);
    const answer = new Answer(question, from, { signal, onToken, onError });
    const leave = () => {
      // Nobody reads it; nginx counts such requests under this status.
      left.abort(new ApiError(499, "The client left"));
      this.#metrics.add("lm_aborted_total");
    };
    return question.stream
      ? streamed(answer, leave)
      : await whole(answer, request, leave);
  }

  /** Answers with the attention of a text's last token. */
  async #attend(request: Request): Promise<Response> {
    const json = await readJson(request);
    const { name, model, tokenizer } = chosenModel(
      json,
      this.#options.models,
    );
    const ids = readAttended(json, tokenizer);
    if (this.#isClosing) throw new ApiError(503, "The server is stopping");
    const attention = await this.#attendant.attend(model, ids);
    return Response.json({ object: "lm.attention", model: name, ...attention });
  }
}

/** Returns the page that uses this server. */
function page(): Response {
  return new Response(playground.html, {
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": playground.policy,
      "cache-control": "no-cache",
      "referrer-policy": "no-referrer",
    },
  });
}

/** Returns an answer in one piece. */
async function whole(
  answer: Answer,
  request: Request,
  leave: () => void,
): Promise<Response> {
  // Only while the text is written: without `no-legacy-abort` Deno aborts this signal after each response, too.
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

/** Compares two texts in a time that does not tell where they differ. */
function isSame(a: string, b: string): boolean {
  let differences = a.length ^ b.length;
  for (let i = 0; i < b.length; i++) {
    differences |= a.charCodeAt(i) ^ b.charCodeAt(i);
  }
  return differences === 0;
}
