/// <reference lib="dom" />

/** Attention: a picture of each head, and one row of the chosen head on the text itself. */

import type { Attention } from "@lm/core/worker";
import { percent } from "./candidates_view.ts";
import { make } from "./elements.ts";
import { TokenStrip, visibleText } from "./token_strip.ts";

/** One head: probabilities (T, T), row i is token i looking at all tokens. */
interface Head {
  readonly name: string;
  readonly map: Float32Array;
}

/** Shows the attention of every head. */
export class AttentionView {
  readonly #heads: HTMLElement;
  readonly #strip: TokenStrip;
  readonly #look: HTMLElement;
  #tokens: readonly string[] = [];
  #shown: Head[] = [];
  #chosen = 0;

  /**
   * Takes over three empty elements.
   *
   * @param parts.heads shows a picture of each head
   * @param parts.text shows the text
   * @param parts.look says what the selected token looks at
   */
  constructor({ heads, text, look }: {
    readonly heads: HTMLElement;
    readonly text: HTMLElement;
    readonly look: HTMLElement;
  }) {
    this.#heads = heads;
    this.#look = look;
    this.#strip = new TokenStrip(text, () => this.#showRow());
    heads.addEventListener("keydown", (event) => this.#move(event));
  }

  /** Shows the attention to a text; the chosen head and token stay chosen. */
  show({ tokens, layers }: Attention): void {
    this.#shown = layers.flatMap((maps, layer) => headsOf(maps, layer, tokens));
    if (this.#heads.childElementCount !== this.#shown.length) {
      this.#chosen = 0;
      this.#heads.replaceChildren(
        ...this.#shown.map(({ name }, index) =>
          make(
            "button",
            {
              type: "button",
              role: "radio",
              onclick: () => this.#choose(index),
            },
            make("canvas"),
            name,
          )
        ),
      );
    }
    if (tokens.join() !== this.#tokens.join()) {
      this.#strip.cut(0);
      for (const token of tokens) this.#strip.add(token);
    }
    this.#tokens = tokens;
    this.#shown.forEach(({ map }, index) => {
      const [canvas] = this.#heads.children[index]!.children;
      draw(canvas as HTMLCanvasElement, map, tokens.length);
    });
    this.#choose(this.#chosen);
    if (this.#strip.selected < 0) this.#strip.select(tokens.length - 1);
  }

  /** Removes everything. */
  clear(): void {
    this.#heads.replaceChildren();
    this.#tokens = [];
    this.#strip.cut(0);
    this.#look.textContent = "";
  }

  #choose(index: number): void {
    this.#chosen = index;
    Array.from(this.#heads.children).forEach((button, i) => {
      button.setAttribute("aria-checked", String(i === index));
      (button as HTMLElement).tabIndex = i === index ? 0 : -1;
    });
    this.#showRow();
  }

  #move(event: KeyboardEvent): void {
    const by = new Map([
      ["ArrowLeft", -1],
      ["ArrowUp", -1],
      ["ArrowRight", 1],
      ["ArrowDown", 1],
    ]).get(event.key);
    if (by === undefined) return;
    event.preventDefault();
    const count = this.#shown.length;
    this.#choose((this.#chosen + by + count) % count);
    (this.#heads.children[this.#chosen] as HTMLElement).focus();
  }

  /** Draws the selected token's row on the text. */
  #showRow(): void {
    const row = this.#strip.selected;
    const head = this.#shown[this.#chosen];
    if (row < 0 || head === undefined) return;
    const T = this.#tokens.length;
    const shares = head.map.subarray(row * T, (row + 1) * T);
    shares.forEach((share, column) =>
      this.#strip.shade(column, Math.sqrt(share))
    );
    const most = shares.indexOf(Math.max(...shares));
    const away = row - most;
    const place = away === 0
      ? "itself"
      : `${Math.abs(away)} ${away > 0 ? "before" : "after"}`;
    this.#look.textContent = `${head.name}: ${
      visibleText(this.#tokens[row]!)
    } looks most at ${visibleText(this.#tokens[most]!)} (${place}), ${
      percent(shares[most]!)
    }`;
  }
}

/** Cuts the probabilities of a layer, (NH, T, T), into its heads. */
function headsOf(
  maps: Float32Array,
  layer: number,
  { length: T }: readonly string[],
): Head[] {
  return Array.from({ length: maps.length / (T * T) }, (_, head) => ({
    name: `layer ${layer + 1}, head ${head + 1}`,
    map: maps.subarray(head * T * T, (head + 1) * T * T),
  }));
}

/** Draws probabilities as a picture with a pixel for each. */
function draw(canvas: HTMLCanvasElement, map: Float32Array, T: number): void {
  canvas.width = canvas.height = T; // which empties it, too
  const context = canvas.getContext("2d")!;
  context.fillStyle = getComputedStyle(canvas).color;
  map.forEach((share, at) => {
    context.globalAlpha = Math.sqrt(share);
    context.fillRect(at % T, Math.floor(at / T), 1, 1);
  });
}
