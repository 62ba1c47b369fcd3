/** Refusals of what is sound but too large. */

/** Thrown where a text or a table is larger than what is computed here; the message has both numbers. */
export class TooLargeError extends RangeError {
  /** The class's name. */
  override readonly name = "TooLargeError";
}
