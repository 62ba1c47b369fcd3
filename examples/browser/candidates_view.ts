/// <reference lib="dom" />

/** A written text; for the selected token, what else it could have been. */

import type { Candidate, TokenEvent } from "@lm/core/worker";
import { make } from "./elements.ts";
import { TokenStrip, visibleText } from "./token_strip.ts";

/** Loss in nats from which on a token has the darkest shade. */
const DARKEST = 5;

/** A token to show. */
export interface ShownToken extends Omit<TokenEvent, "kind"> {
  /** True for a token of the prompt. */
  readonly isGiven?: boolean;
  /** Entropy of the distribution that the model gave, in nats. */
  readonly entropy?: number | undefined;
}

/** Callbacks for a reader's actions in a {@linkcode CandidatesView}. */
interface Handlers {
  /** Called with the ids to continue when the reader chooses a candidate. */
  readonly onContinue: (ids: number[]) => void;
  /** Called with the index of a token that the reader selects. */
  readonly onSelect?: (index: number) => void;
}

/** Shows tokens as they are written, with their candidates. */
export class CandidatesView {
  readonly #strip: TokenStrip;
  readonly #list: HTMLElement;
  readonly #handlers: Handlers;
  #tokens: ShownToken[] = [];

  /**
   * Takes over two empty elements.
   *
   * @param parts.text shows the text
   * @param parts.list shows the candidates
   */
  constructor(
    { text, list }: { readonly text: HTMLElement; readonly list: HTMLElement },
    handlers: Handlers,
  ) {
    this.#strip = new TokenStrip(text, (index) => this.#show(index));
    this.#list = list;
    this.#handlers = handlers;
  }

  /** All tokens. */
  get tokens(): readonly ShownToken[] {
    return this.#tokens;
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
  add(token: ShownToken): void {
    const { text, probability, isGiven = probability === undefined } = token;
    this.#tokens.push(token);
    this.#strip.add(text, isGiven ? "given" : "");
    const loss = probability === undefined ? 0 : -Math.log(probability);
    this.#strip.shade(this.#strip.length - 1, Math.min(1, loss / DARKEST));
  }

  /** Shows the candidates of a token. */
  #show(index: number): void {
    const { id, candidates } = this.#tokens[index]!;
    this.#handlers.onSelect?.(index);
    if (candidates.length === 0) {
      this.#list.replaceChildren("This token was given.");
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
    const token = this.#tokens[index]!;
    this.#cut(index);
    this.add({ ...token, ...candidate, isGiven: false });
    this.#handlers.onContinue(this.ids);
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
