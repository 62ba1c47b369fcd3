/** Reads the bodies of requests. */

import { ApiError } from "./api_error.ts";

/** Longest body of a request, in bytes. */
const MAX_BODY = 2 ** 20;

/** Longest time that a client may take to send a body, in milliseconds. */
const MAX_BODY_MS = 30_000;

/**
 * Reads the JSON of a request's body.
 *
 * @throws {ApiError} if the body is too long, arrives too slowly, or is not JSON
 */
export async function readJson(request: Request): Promise<unknown> {
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
