/// <reference lib="dom" />

/** The parts of the page that write: prompt, text with its candidates, attention to the text. */

import type { SessionClient, TokenEvent } from "@lm/core/worker";
import { AttentionView } from "./attention_view.ts";
import { CandidatesView } from "./candidates_view.ts";
import { byId } from "./elements.ts";
import { attempt } from "./status.ts";

/** Tokens that a click on Write adds. */
const NEW_TOKENS = 200;

/** Writes with the model of a session. */
export class Writer {
  readonly #session: () => SessionClient;
  readonly #prompt = byId("prompt", HTMLInputElement);
  readonly #temperature = byId("temperature", HTMLInputElement);
  readonly #topK = byId("topK", HTMLInputElement);
  readonly #go = byId("go", HTMLButtonElement);
  readonly #stop = byId("stop", HTMLButtonElement);
  readonly #candidates = new CandidatesView({
    text: byId("written", HTMLElement),
    list: byId("candidates", HTMLElement),
  }, { onContinue: (ids) => attempt(() => this.#write(ids)) });
  readonly #attention = new AttentionView({
    heads: byId("heads", HTMLElement),
    text: byId("attended", HTMLElement),
    look: byId("look", HTMLElement),
  });
  /** The writing that goes on. */
  #writing: Promise<void> = Promise.resolve();
  /** True if it continues tokens that are shown already. */
  #isContinuing = false;

  /** @param session returns the open session */
  constructor(session: () => SessionClient) {
    this.#session = session;
    byId("write", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      attempt(() => this.writePrompt());
    });
    this.#stop.addEventListener("click", () => session().call("stopWriting"));
  }

  /** True if there is no text yet. */
  get isEmpty(): boolean {
    return this.#candidates.ids.length === 0;
  }

  /** Allows to write, or not. */
  enable(isOpen: boolean): void {
    this.#go.disabled = !isOpen;
  }

  /** Replaces a prompt that has characters which a text does not have, by the beginning of the text. */
  fitPrompt(text: string): void {
    const known = new Set(text);
    if (Array.from(this.#prompt.value).every((one) => known.has(one))) return;
    this.#prompt.value = text.trimStart().split("\n")[0]!.slice(0, 16);
  }

  /** Continues the prompt. */
  writePrompt(): Promise<void> {
    return this.#write(this.#prompt.value);
  }

  /** Takes a token that the session has read or written. */
  take(token: TokenEvent): void {
    // The prompt of a continued text is on the page already.
    if (this.#isContinuing && token.probability === undefined) return;
    this.#candidates.add(token);
  }

  /** Shows the attention to the end of the text, if there is one. */
  async attend(): Promise<void> {
    const { ids } = this.#candidates;
    if (ids.length === 0) return;
    this.#attention.show(await this.#session().call("attention", ids));
  }

  /** Removes the text. */
  clear(): void {
    this.#candidates.clear();
    this.#attention.clear();
  }

  /** Continues a new text, or tokens that are shown. */
  async #write(prompt: string | readonly number[]): Promise<void> {
    const session = this.#session();
    session.call("stopWriting");
    await this.#writing;
    this.#isContinuing = typeof prompt !== "string";
    if (!this.#isContinuing) this.#candidates.clear();
    this.#stop.disabled = false;
    const done = session.call("write", {
      prompt,
      maxNewTokens: NEW_TOKENS,
      temperature: Number(this.#temperature.value),
      topK: Number(this.#topK.value),
      seed: Math.floor(2 ** 32 * Math.random()),
    }).finally(() => this.#stop.disabled = true);
    this.#writing = done.catch(() => {}); // the next text does not mind
    await done;
    await this.attend();
  }
}
