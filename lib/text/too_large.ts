/** The error for valid inputs that are too large. */

/** Error thrown if a text or a table exceeds a limit; the message names the size and the limit. */
export class TooLargeError extends RangeError {
  /** Name of the class. */
  override readonly name = "TooLargeError";
}
