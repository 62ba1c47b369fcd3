/** Documents: cuts the text of a source into them as it arrives. The caller adds `<|endoftext|>` after each. */

import { commandError } from "../command/errors.ts";
import { withPlainLineEnds } from "../../text/line_ends.ts";

/**
 * Rule that cuts a source into documents: `whole`, one document; `lines`, JSON lines with a field `text`; or at a separator, which is part
 * of no document.
 */
export type DocumentForm = "whole" | "lines" | { readonly separator: string };

/** Receives the documents of a source. */
export interface DocumentSink {
  /** Takes the next part of a document. */
  onText(text: string, where: string): void;
  /** Ends a document that has text. */
  onEnd(where: string): void;
}

/** Cuts the text of one source. Documents without text are left out. */
export class DocumentCutter {
  readonly #name: string;
  readonly #form: DocumentForm;
  readonly #sink: DocumentSink;
  /** The beginning of a line, or what may be the beginning of a separator. */
  #held = "";
  /** Lines or documents so far. */
  #count = 0;
  #isEmpty = true;

  /** @param name the source in messages */
  constructor(name: string, form: DocumentForm, sink: DocumentSink) {
    this.#name = name;
    this.#form = form;
    this.#sink = sink;
  }

  /**
   * Takes the next text of the source.
   *
   * @throws {CommandError} if a line has no text
   */
  push(text: string): void {
    const form = this.#form;
    if (form === "whole") return this.#text(text, this.#name);
    const separator = form === "lines" ? "\n" : form.separator;
    const all = this.#held + text;
    let from = 0;
    for (
      let end;
      (end = all.indexOf(separator, from)) >= 0;
      from = end + separator.length
    ) this.#part(all.slice(from, end));
    const rest = all.slice(from);
    const sure = form === "lines" ? 0 : rest.length - separator.length + 1;
    if (sure > 0) this.#text(rest.slice(0, sure), this.#document);
    this.#held = sure > 0 ? rest.slice(sure) : rest;
  }

  /** Ends the source. */
  end(): void {
    if (this.#form === "whole") this.#end(this.#name);
    else this.#part(this.#held);
    this.#held = "";
  }

  get #document(): string {
    return `document ${this.#count + 1} of ${this.#name}`;
  }

  /** Takes a line, or the end of a document. */
  #part(part: string): void {
    if (this.#form === "lines") this.#line(part);
    else {
      this.#text(part, this.#document);
      this.#end(this.#document);
      this.#count++;
    }
  }

  #line(line: string): void {
    this.#count++;
    if (line.trim() === "") return;
    const where = `line ${this.#count} of ${this.#name}`;
    let text: unknown;
    try {
      text = Object(JSON.parse(line))["text"];
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      throw commandError(`read ${where}`, "it is not JSON", LINES);
    }
    if (typeof text !== "string") {
      throw commandError(`read ${where}`, "it has no text", LINES);
    }
    if (!text.isWellFormed()) {
      const reason = "its text has half a surrogate pair";
      throw commandError(`read ${where}`, reason);
    }
    this.#text(withPlainLineEnds(text), where);
    this.#end(where);
  }

  #text(text: string, where: string): void {
    if (text === "") return;
    this.#isEmpty = false;
    this.#sink.onText(text, where);
  }

  #end(where: string): void {
    if (!this.#isEmpty) this.#sink.onEnd(where);
    this.#isEmpty = true;
  }
}

const LINES =
  'a .jsonl file has a document a line: {"text": "Once upon a time ..."}';

/** Returns the separator that a flag gives, in which `\n`, `\t`, `\r` and `\\` have their usual meaning. */
export function readSeparator(text: string): string {
  const meanings: Readonly<Record<string, string>> = {
    n: "\n",
    t: "\t",
    r: "\r",
    "\\": "\\",
  };
  const plain = text.replace(/\\(.)/g, (all, char) => meanings[char] ?? all);
  return withPlainLineEnds(plain);
}
