/**
 * Errors of the program: a message, often a hint, and an exit code. A user's
 * mistake never shows a stack; a mistake of the program always does.
 */

import { NoAdapterError, OutOfMemoryError } from "../../backends/backend.ts";
import {
  isRefusal,
  type Refusal,
  refusal,
  withoutHint,
} from "../../refusal.ts";
import { flagName } from "./flag.ts";

/** The program's exit codes. */
export const exitCode = { ok: 0, failure: 1, usage: 2 } as const;

/** The exit code after each signal: 128 and its number, as shells have it. */
export const signalCode: Readonly<Record<string, number>> = {
  SIGHUP: 129,
  SIGINT: 130,
  SIGBREAK: 130,
  SIGTERM: 143,
};

/** An error that a user can understand and correct; {@linkcode commandError} makes it. */
export class CommandError extends Error {
  override readonly name: string = "CommandError";
}

/** An error in the arguments themselves, independent of files and devices; {@linkcode usageError} makes it. */
export class UsageError extends CommandError {
  override readonly name = "UsageError";
}

/** The error after the user asked to stop; it needs no further message. */
export class InterruptedError extends Error {
  override readonly name = "InterruptedError";
  /** The program's exit code. */
  readonly code: number;

  /** @param code the exit code, one of {@linkcode signalCode} */
  constructor(code: number) {
    super("Interrupted");
    this.code = code;
  }
}

/** The error when standard output was closed by its reader, as after `| head`. */
export class OutputClosedError extends Error {
  override readonly name = "OutputClosedError";
}

/** Returns the error that an action failed for a reason. */
export function commandError(
  action: string,
  reason: string,
  hint?: string,
): CommandError & Refusal {
  return refusal(CommandError, action, reason, { hint });
}

/** Returns the error that the arguments are wrong. */
export function usageError(
  action: string,
  reason: string,
  hint?: string,
): UsageError & Refusal {
  return refusal(UsageError, action, reason, { hint });
}

/** Explains any error in words for standard error, which are empty if there is nothing to say; gives the exit code. */
export function explain(
  error: unknown,
): { readonly text: string; readonly code: number } {
  if (error instanceof OutputClosedError) return { text: "", code: 0 };
  if (error instanceof InterruptedError) {
    return { text: "", code: error.code };
  }
  const code = error instanceof UsageError ? exitCode.usage : exitCode.failure;
  if (error instanceof Deno.errors.NotCapable) {
    const hint = "deno run -A grants what the program needs";
    const refused = commandError("continue", error.message, hint);
    return { text: `error: ${refused.message}`, code };
  }
  if (!isRefusal(error)) {
    const stack = error instanceof Error ? error.stack : String(error);
    return { text: `error: This should not have happened: ${stack}`, code };
  }
  const hint = hintOf(error);
  const help = hint ? `\nhint: ${hint}` : "";
  return { text: `error: ${withoutHint(error)}${help}`, code };
}

/** Returns an error's hint, with flags in place of the library's options. */
function hintOf(error: Error & Refusal): string | undefined {
  if (error instanceof NoAdapterError) {
    return error.hintFor((device) => `--device ${device}`);
  }
  if (error instanceof OutOfMemoryError) {
    return "another --device may have more memory";
  }
  return error.hint;
}

/**
 * Runs a check of the library on flags' values: its refusal becomes a usage
 * error in which configuration fields go by their flags.
 */
export function checkUsage<Value>(check: () => Value, hint?: string): Value {
  try {
    return check();
  } catch (error) {
    if (!isRefusal(error)) throw error;
    const { action, reason } = withFlagNames(error);
    throw usageError(action, reason, hint ?? hintOf(error));
  }
}

/** Returns a refusal's action and reason, with flags in place of the fields that they name: `--n-embd (100)`. */
export function withFlagNames(
  { action, reason, fields }: Refusal,
): { readonly action: string; readonly reason: string } {
  const named = (text: string) =>
    fields.reduce(
      (text, field) =>
        text.replace(new RegExp(`\\b${field}\\b`), `--${flagName(field)}`),
      text,
    );
  return { action: named(action), reason: named(reason) };
}

/** Returns the reason of a failed file operation, without the path, which the caller's message names. */
export function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file";
  if (error instanceof Deno.errors.IsADirectory) return "it is a directory";
  if (error instanceof Deno.errors.NotADirectory) {
    return "it is not a directory";
  }
  if (!(error instanceof Error)) return String(error);
  return error.message.replace(/: \w+ '[^]*$/, "")
    .replace(/ \(os error \d+\)$/, "");
}
