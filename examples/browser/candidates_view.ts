/// <reference lib="dom" />

/** A written text; for the selected token, what else it could have been. */

import type { Candidate, TokenEvent } from "@lm/core/worker";
import { make } from "./elements.ts";
import { TokenStrip, visibleText } from "./token_strip.ts";

/** Loss in nats from which on a token has the darkest shade. */
const DARKEST = 5;

/** Shows tokens as they are written, with their candidates. */
export class CandidatesView {
  readonly #strip: TokenStrip;
  readonly #list: HTMLElement;
  readonly #onContinue: (ids: number[]) => void;
  #tokens: TokenEvent[] = [];

  /**
   * Takes over two empty elements.
   *
   * @param parts.text shows the text
   * @param parts.list shows the candidates
   * @param onContinue called with the ids to continue when the reader chooses a candidate
   */
  constructor(
    { text, list }: { readonly text: HTMLElement; readonly list: HTMLElement },
    onContinue: (ids: number[]) => void,
  ) {
    this.#strip = new TokenStrip(text, (index) => this.#show(index));
    this.#list = list;
    this.#onContinue = onContinue;
  }

  /** Ids of all tokens. */
  get ids(): number[] {
    return this.#tokens.map(({ id }) => id);
  }

  /** Removes all tokens. */
  clear(): void {
    this.#cut(0);
  }

  /** Adds a token at the end. */
  add(token: TokenEvent): void {
    const { text, probability } = token;
    this.#tokens.push(token);
    this.#strip.add(text, probability === undefined ? "given" : "");
    const loss = probability === undefined ? 0 : -Math.log(probability);
    this.#strip.shade(this.#strip.length - 1, Math.min(1, loss / DARKEST));
  }

  /** Shows the candidates of a token. */
  #show(index: number): void {
    const { id, candidates, probability } = this.#tokens[index]!;
    if (probability === undefined) {
      this.#list.replaceChildren("This character was given.");
      return;
    }
    this.#list.replaceChildren(
      ...candidates.map((candidate) => {
        const { text, probability } = candidate;
        const button = make(
          "button",
          { type: "button", onclick: () => this.#choose(index, candidate) },
          make("code", {}, visibleText(text)),
          percent(probability),
        );
        button.style.setProperty("--share", probability.toFixed(3));
        button.ariaCurrent = String(candidate.id === id);
        return button;
      }),
    );
  }

  #choose(index: number, candidate: Candidate): void {
    const { candidates } = this.#tokens[index]!;
    this.#cut(index);
    this.add({ kind: "token", ...candidate, candidates });
    this.#onContinue(this.ids);
  }

  #cut(length: number): void {
    this.#tokens.splice(length);
    this.#strip.cut(length);
    this.#list.replaceChildren();
  }
}

/** Formats a probability. */
export function percent(probability: number): string {
  return `${(100 * probability).toFixed(probability < 0.1 ? 1 : 0)} %`;
}
