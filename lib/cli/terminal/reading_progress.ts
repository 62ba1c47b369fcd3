/** The progress line shown while a long text is read. */

import { duration } from "../../report/numbers.ts";
import { canRedraw, StatusLine, writeError } from "./terminal.ts";
import type { TextSource } from "../text/text_source.ts";

/** Shows how long reading will take, if it takes long. */
export class ReadingProgress implements Disposable {
  readonly #name: string;
  readonly #total: number;
  readonly #status = new StatusLine();
  readonly #begun = performance.now();
  #done = 0;
  #said = false;

  constructor(name: string, sources: readonly TextSource[]) {
    this.#name = name;
    // Each source is read twice.
    this.#total = 2 * sources.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  add(bytes: number): void {
    this.#done += bytes;
    const seconds = (performance.now() - this.#begun) / 1000;
    if (seconds < 1) return;
    const share = Math.min(1, this.#done / this.#total);
    const left = duration(seconds / share - seconds);
    const percent = Math.floor(100 * share);
    const line = `reading ${this.#name}: ${percent} %, ${left} left`;
    this.#status.show(() => line);
    if (canRedraw() || this.#said || seconds < 3) return;
    this.#said = true;
    writeError(`${line}\n`);
  }

  clear(): void {
    this.#status.clear();
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}
