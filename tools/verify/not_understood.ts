/** A file, or a part of one, that the checker cannot judge. The message says which part and why. */
export class NotUnderstoodError extends Error {
  override readonly name = "NotUnderstoodError";
}
