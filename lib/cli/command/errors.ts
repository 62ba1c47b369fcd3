/**
 * Errors of the program: a message, often a hint, and an exit code. A user's
 * mistake never shows a stack; a mistake of the program always does.
 */

import { NoAdapterError, OutOfMemoryError } from "../../backends/backend.ts";
import { isFailure, isRefusal, withoutHint } from "../../refusal.ts";
import { flagName } from "./flag.ts";

/** The program's exit codes. */
export const exitCode = {
  ok: 0,
  failure: 1,
  usage: 2,
} as const;

/** The exit code after each signal: 128 and its number, as shells have it. */
export const signalCode: Readonly<Record<string, number>> = {
  SIGHUP: 129,
  SIGINT: 130,
  SIGBREAK: 130,
  SIGTERM: 143,
};

/** An error that a user can understand and correct. */
export class CommandError extends Error {
  override readonly name: string = "CommandError";
  /** A remedy, in words or as a command. */
  readonly hint: string | undefined;

  /** @param hint what may help, in words or as a command */
  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

/** An error in the arguments themselves, independent of files and devices. */
export class UsageError extends CommandError {
  override readonly name = "UsageError";
}

/** The error after the user asked to stop; it needs no further message. */
export class InterruptedError extends Error {
  override readonly name = "InterruptedError";
  /** The program's exit code. */
  readonly code: number;

  /** @param code the exit code, one of {@linkcode signalCode} */
  constructor(message: string, code: number) {
    super(message);
    this.code = code;
  }
}

/** The error when standard output was closed by its reader, as after `| head`. */
export class OutputClosedError extends Error {
  override readonly name = "OutputClosedError";
}

/** The message about an error, and the program's exit code. */
export interface Explanation {
  /** Lines for standard error; empty if there is nothing to say. */
  readonly text: string;
  readonly code: number;
}

/** Explains any error in words. */
export function explain(error: unknown): Explanation {
  if (error instanceof OutputClosedError) return { text: "", code: 0 };
  if (error instanceof InterruptedError) {
    return { text: "", code: error.code };
  }
  if (error instanceof Deno.errors.NotCapable) {
    return {
      text: `error: Cannot go on: ${error.message}\n` +
        "hint: deno run -A grants what the program needs",
      code: exitCode.failure,
    };
  }
  if (!isFailure(error)) {
    const stack = error instanceof Error ? error.stack : String(error);
    return {
      text: `error: This should not have happened: ${stack}`,
      code: exitCode.failure,
    };
  }
  const hint = hintOf(error);
  return {
    text: `error: ${withoutHint(error)}${hint ? `\nhint: ${hint}` : ""}`,
    code: error instanceof UsageError ? exitCode.usage : exitCode.failure,
  };
}

/** Returns an error's hint, with flags in place of the library's options. */
export function hintOf(error: Error): string | undefined {
  if (error instanceof NoAdapterError) {
    return error.hintFor((device) => `--device ${device}`);
  }
  if (error instanceof OutOfMemoryError) {
    return "another --device may have more memory";
  }
  return "hint" in error && error.hint ? String(error.hint) : undefined;
}

/**
 * Runs a check of the library on flags' values: its RangeError becomes a usage
 * error in which configuration fields go by their flags.
 */
export function checkUsage<Value>(check: () => Value, hint?: string): Value {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new UsageError(withFlagNames(error), hint ?? hintOf(error));
  }
}

/**
 * Returns an error's message without its hint, with flags in place of the fields that it names: `--n-embd (100)`.
 *
 * @param action the action that failed, if the program has a better word for it
 */
export function withFlagNames(error: Error, action?: string): string {
  if (!isRefusal(error)) return error.message;
  const named = (text: string) =>
    error.fields.reduce(
      (text, field) =>
        text.replace(new RegExp(`\\b${field}\\b`), `--${flagName(field)}`),
      text,
    );
  return `Cannot ${action ?? named(error.action)}: ${named(error.reason)}`;
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
