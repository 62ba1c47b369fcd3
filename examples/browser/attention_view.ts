/// <reference lib="dom" />

/** Attention: a picture of each head, and one row of the chosen head on the text itself. */

import type { Attention } from "@lm/core/worker";
import { percent } from "./candidates_view.ts";
import { make } from "./elements.ts";
import { TokenStrip, visibleText } from "./token_strip.ts";

/** One head: probabilities (rows, T); a row is a token looking at all tokens. */
interface Head {
  readonly name: string;
  readonly map: Float32Array;
}

/** Attention of all tokens of a text, or of some that follow each other. */
interface Rows extends Attention {
  /** The first token whose attention is known; 0 by default. */
  readonly first?: number;
  /** Number of tokens whose attention is known; all by default. */
  readonly rows?: number;
}

/** Shows the attention of every head. */
export class AttentionView {
  readonly #heads: HTMLElement;
  readonly #strip: TokenStrip;
  readonly #look: HTMLElement;
  readonly #onUnknown: (index: number) => void;
  #tokens: readonly string[] = [];
  #first = 0;
  #rows = 0;
  #shown: Head[] = [];
  #chosen = 0;

  /**
   * Takes over three empty elements.
   *
   * @param parts.heads shows a picture of each head
   * @param parts.text shows the text
   * @param parts.look says what the selected token looks at
   * @param onUnknown called with the index of a token that the reader selects and whose attention is not known
   */
  constructor(
    { heads, text, look }: {
      readonly heads: HTMLElement;
      readonly text: HTMLElement;
      readonly look: HTMLElement;
    },
    onUnknown: (index: number) => void = () => {},
  ) {
    this.#heads = heads;
    this.#look = look;
    this.#onUnknown = onUnknown;
    this.#strip = new TokenStrip(text, () => this.#showRow());
    heads.addEventListener("keydown", (event) => this.#move(event));
  }

  /** Shows the attention to a text; the chosen head and token stay chosen. */
  show({ tokens, layers, first = 0, rows = tokens.length }: Rows): void {
    const T = tokens.length;
    this.#shown = layers.flatMap((maps, layer) =>
      headsOf(maps, { layer, size: rows * T })
    );
    [this.#first, this.#rows] = [first, rows];
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
      draw(canvas as HTMLCanvasElement, map, T);
    });
    if (!this.#isKnown(this.#strip.selected)) {
      this.#strip.select(first + rows - 1);
    }
    this.#choose(this.#chosen);
  }

  /** Removes everything. */
  clear(): void {
    this.#heads.replaceChildren();
    this.#tokens = [];
    this.#strip.cut(0);
    this.#look.textContent = "";
  }

  #isKnown(index: number): boolean {
    return index >= this.#first && index < this.#first + this.#rows;
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
    if (!this.#isKnown(row)) return this.#onUnknown(row);
    const T = this.#tokens.length;
    const at = (row - this.#first) * T;
    const shares = head.map.subarray(at, at + T);
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

/** Cuts the probabilities of a layer, (NH, rows, T), into those of its heads, each of `size` numbers. */
function headsOf(
  maps: Float32Array,
  { layer, size }: { readonly layer: number; readonly size: number },
): Head[] {
  return Array.from({ length: maps.length / size }, (_, head) => ({
    name: `layer ${layer + 1}, head ${head + 1}`,
    map: maps.subarray(head * size, (head + 1) * size),
  }));
}

/** Draws probabilities as a picture with a pixel for each; a single row begins and ends with what is looked at. */
function draw(canvas: HTMLCanvasElement, map: Float32Array, T: number): void {
  const isRow = map.length === T;
  const begin = isRow ? Math.max(0, map.findIndex((share) => share > 0)) : 0;
  const end = isRow ? map.findLastIndex((share) => share > 0) + 1 : T;
  canvas.width = Math.max(1, end - begin); // which empties it, too
  canvas.height = map.length / T;
  const context = canvas.getContext("2d")!;
  context.fillStyle = getComputedStyle(canvas).color;
  map.forEach((share, at) => {
    context.globalAlpha = Math.sqrt(share);
    context.fillRect(at % T - begin, Math.floor(at / T), 1, 1);
  });
}
