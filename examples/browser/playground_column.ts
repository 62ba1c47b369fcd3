/// <reference lib="dom" />
/// <reference lib="dom.iterable" />

/** One model of the playground: its text, the candidates of each token, and the attention of one. */

import type { Candidate } from "@lm/core/worker";
import { AttentionView } from "./attention_view.ts";
import { CandidatesView, percent, type ShownToken } from "./candidates_view.ts";
import { make } from "./elements.ts";
import type {
  ServedCandidate,
  ServedToken,
  ServerClient,
  Settings,
} from "./server_client.ts";
import { attempt } from "./status.ts";

/** The page around the columns. */
export interface Page {
  readonly client: ServerClient;
  /** Names of the models to choose from. */
  readonly models: readonly string[];
  /** Returns the settings of the page. */
  settings(): Settings;
  /** Does something that the reader can stop. */
  run(task: () => Promise<unknown>): Promise<void>;
}

/** Candidates of each token. */
const CANDIDATES = 10;

/** Milliseconds for which a token is selected before its attention is asked for. */
const PAUSE_MS = 150;

let columns = 0;

/** Writes with a model of the server. */
export class Column {
  /** The column on the page. */
  readonly element: HTMLElement;
  readonly #page: Page;
  readonly #model: HTMLSelectElement;
  readonly #numbers = make("p", { className: "numbers" });
  readonly #facts = make("p", { className: "numbers" });
  readonly #note = make("p", { className: "about" });
  readonly #candidates: CandidatesView;
  readonly #attention: AttentionView;
  #writing = new AbortController();
  #attending = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param model the model that is chosen at first */
  constructor(page: Page, model: string) {
    this.#page = page;
    this.#model = make(
      "select",
      {},
      ...page.models.map((name) => make("option", { value: name }, name)),
    );
    this.#model.value = model;
    // Another model has other tokens.
    this.#model.addEventListener("change", () => {
      this.stop();
      this.#clear();
    });
    const id = `column${++columns}`;
    const part = (name: string, label: string, className: string) =>
      make("div", { id: `${id}-${name}`, ariaLabel: label, className });
    const text = part("written", "Written text", "tokens written");
    const list = part("candidates", "Candidates", "candidates");
    const heads = part("heads", "Heads", "heads");
    const attended = part("attended", "Text that the head looks at", "tokens");
    const look = make("p", { className: "numbers" });
    list.role = "group";
    heads.role = "radiogroup";
    this.element = make(
      "section",
      { className: "column" },
      make("label", {}, "Model ", this.#model),
      ...[this.#numbers, text, this.#facts, list],
      make("h3", {}, "Attention"),
      ...[heads, attended, look, this.#note],
    );
    this.#candidates = new CandidatesView({ text, list }, {
      onContinue: (ids) => page.run(() => this.#write(ids, page.settings())),
      onSelect: (index) => this.#select(index),
    });
    this.#attention = new AttentionView(
      { heads, text: attended, look },
      (index) => this.#attendSoon(index),
    );
  }

  /** Continues a new text. */
  write(prompt: string, settings: Settings): Promise<void> {
    this.#clear();
    return this.#write(prompt, settings);
  }

  /** Ends the writing that goes on. */
  stop(): void {
    this.#writing.abort();
  }

  #clear(): void {
    clearTimeout(this.#timer);
    this.#attending.abort();
    this.#candidates.clear();
    this.#attention.clear();
    for (const line of [this.#numbers, this.#facts, this.#note]) {
      line.textContent = "";
    }
  }

  async #write(
    prompt: string | readonly number[],
    settings: Settings,
  ): Promise<void> {
    this.stop();
    this.#attending.abort();
    const { signal } = this.#writing = new AbortController();
    const begun = performance.now();
    let count = 0;
    const answer = this.#page.client.write({
      ...{ model: this.#model.value, prompt, candidates: CANDIDATES, signal },
      ...settings,
    });
    try {
      for await (const { tokens, isGiven } of answer) {
        for (const token of tokens) this.#candidates.add(shown(token, isGiven));
        if (!isGiven) count += tokens.length;
        const seconds = (performance.now() - begun) / 1000;
        this.#numbers.textContent = `${count} tokens in ${
          seconds.toFixed(1)
        } s, ${(count / seconds).toFixed(0)} tokens/s`;
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    const last = this.#candidates.tokens.length - 1;
    if (last >= 0 && signal === this.#writing.signal) await this.#attend(last);
  }

  /** Says how surprising a token was, and shows its attention. */
  #select(index: number): void {
    const { probability, entropy } = this.#candidates.tokens[index]!;
    this.#facts.textContent = probability === undefined
      ? ""
      : `${percent(probability)}, surprise ${
        Math.abs(Math.log(probability)).toFixed(2)
      } nats. Entropy ${entropy!.toFixed(2)} nats: as open as ${
        Math.exp(entropy!).toFixed(1)
      } equally likely tokens.`;
    this.#attendSoon(index);
  }

  #attendSoon(index: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => attempt(() => this.#attend(index)),
      PAUSE_MS,
    );
  }

  async #attend(index: number): Promise<void> {
    this.#attending.abort();
    const { signal } = this.#attending = new AbortController();
    const ids = this.#candidates.ids.slice(0, index + 1);
    const { from, weights } = await this.#page.client.attention(
      this.#model.value,
      ids,
      signal,
    );
    const tokens = this.#candidates.tokens.map(({ text }) => text);
    const T = tokens.length;
    const layers = weights.map((heads) => {
      const maps = new Float32Array(heads.length * T);
      heads.forEach((row, head) => maps.set(row, head * T + from));
      return maps;
    });
    this.#note.textContent = weights.length === 0
      ? "This model has no attention."
      : from === 0
      ? ""
      : `The model does not see the first ${from} tokens any more.`;
    this.#attention.show({ tokens, layers, first: index, rows: 1 });
  }
}

function shown(token: ServedToken, isGiven: boolean): ShownToken {
  const { id, text, logprob, entropy, top } = token;
  return {
    ...{ id, text, isGiven, entropy: entropy ?? undefined },
    probability: logprob === null ? undefined : Math.exp(logprob),
    candidates: top.map(candidate),
  };
}

function candidate({ id, text, logprob }: ServedCandidate): Candidate {
  return { id, text, probability: Math.exp(logprob!) };
}
