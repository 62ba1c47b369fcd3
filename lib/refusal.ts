/**
 * Errors whose message comes in parts, so that programs that say it in words of their own need not take it apart:
 * the command line names flags in place of fields, and files in place of texts.
 */

/** The parts of the message `Cannot ACTION: REASON`, and of a line `hint: HINT` below it. */
export interface Refusal {
  /** The action that failed, e.g. `create Model`. */
  readonly action: string;
  /** Why not, with the numbers. */
  readonly reason: string;
  /** Advice on how to avoid the error. */
  readonly hint: string | undefined;
  /** The configuration fields that the action and the reason name. */
  readonly fields: readonly string[];
}

/**
 * Makes an error that has its message in parts.
 *
 * @param Kind the error's class
 * @param more.cause the error that led to this one
 */
export function refusal<Kind extends Error>(
  Kind: new (message: string, options?: ErrorOptions) => Kind,
  action: string,
  reason: string,
  { hint, fields = [], cause }: Partial<Refusal> & ErrorOptions = {},
): Kind & Refusal {
  const help = hint === undefined ? "" : `\nhint: ${hint}`;
  const error = new Kind(
    `Cannot ${action}: ${reason}${help}`,
    cause === undefined ? undefined : { cause },
  );
  return Object.assign(error, { action, reason, hint, fields });
}

/** Returns a function that makes refusals of one class and action from a reason. */
export function refuser<Kind extends Error>(
  Kind: new (message: string, options?: ErrorOptions) => Kind,
  action: string,
): (reason: string, more?: Partial<Refusal> & ErrorOptions) => Kind & Refusal {
  return (reason, more) => refusal(Kind, action, reason, more);
}

/** Returns whether an error has its message in parts. */
export function isRefusal(error: unknown): error is Error & Refusal {
  return error instanceof Error && "action" in error && "reason" in error;
}

/** Returns the reason of a refusal, and the message of any other error. */
export function reasonGiven(error: unknown): string {
  return isRefusal(error) ? error.reason : (error as Error).message;
}

/** Returns an error's message, but for the hint of a refusal. */
export function withoutHint(error: Error): string {
  return isRefusal(error)
    ? `Cannot ${error.action}: ${error.reason}`
    : error.message;
}

/** Error thrown if a text or a table exceeds a limit; the message names the size and the limit. */
export class TooLargeError extends RangeError {
  /** Name of the class. */
  override readonly name = "TooLargeError";
}
