/** Errors in the shape of OpenAI's API. */

/** An error that a client caused or can wait out; the message names the parameter concerned. */
export class ApiError extends Error {
  /** Name of the class. */
  override readonly name = "ApiError";
  /** HTTP status. */
  readonly status: number;
  /** The request's parameter that the message is about. */
  readonly param: string | null;
  /** Word for programs, as `model_not_found`. */
  readonly code: string | null;

  /** Creates an error. */
  constructor(
    status: number,
    message: string,
    { param = null, code = null }: {
      readonly param?: string | null;
      readonly code?: string | null;
    } = {},
  ) {
    super(message);
    this.status = status;
    this.param = param;
    this.code = code;
  }
}

/** Returns the body of an error. Only an {@linkcode ApiError} gives its message: others are mistakes of the server. */
export function errorBody(error: unknown): {
  readonly error: Readonly<Record<"message" | "type", string>> & {
    readonly param: string | null;
    readonly code: string | null;
  };
} {
  if (!(error instanceof ApiError)) {
    const message = "The server failed to generate this text";
    return {
      error: { message, type: "server_error", param: null, code: null },
    };
  }
  const { message, status, param, code } = error;
  return { error: { message, type: typeOf(status), param, code } };
}

function typeOf(status: number): string {
  if (status === 401) return "authentication_error";
  if (status === 429) return "rate_limit_error";
  return status < 500 ? "invalid_request_error" : "server_error";
}
