/// <reference lib="dom" />

/** A text as a row of tokens, one of which can be selected with the pointer or the arrow keys. */

import { make } from "./elements.ts";

/** Makes the white space of a token visible. */
export function visibleText(text: string): string {
  return text.replaceAll("\n", "⏎").replaceAll(" ", "␣").replaceAll("\t", "⇥");
}

/** A list box of tokens. */
export class TokenStrip {
  readonly #box: HTMLElement;
  readonly #onSelect: (index: number) => void;
  #tokens: HTMLElement[] = [];
  #selected = -1;
  /** True if the reader chose the selected token, which then stays selected when the pointer moves on. */
  #isPinned = false;

  /**
   * Takes over an empty element.
   *
   * @param onSelect called with the index of a token that the reader selects
   */
  constructor(box: HTMLElement, onSelect: (index: number) => void) {
    this.#box = box;
    this.#onSelect = onSelect;
    box.role = "listbox";
    box.tabIndex = 0;
    const indexOf = ({ target }: Event) =>
      this.#tokens.indexOf(target as HTMLElement);
    box.addEventListener("pointermove", (event) => {
      const index = indexOf(event);
      if (index >= 0 && !this.#isPinned) this.select(index);
    });
    box.addEventListener("click", (event) => this.#pin(indexOf(event)));
    box.addEventListener("keydown", (event) => this.#move(event));
  }

  /** Number of tokens. */
  get length(): number {
    return this.#tokens.length;
  }

  /** Index of the selected token; -1 if there is none. */
  get selected(): number {
    return this.#selected;
  }

  /** Keeps the first tokens and removes the others. */
  cut(length: number): void {
    for (const token of this.#tokens.splice(length)) token.remove();
    if (this.#selected < length) return;
    this.#selected = -1;
    this.#isPinned = false;
  }

  /** Adds a token at the end. */
  add(text: string, className = ""): void {
    const token = make("span", { role: "option", className });
    // A line end is a token to point at, and ends the line.
    token.textContent = text.replaceAll("\n", "⏎\n");
    token.id = `${this.#box.id}-${this.#tokens.length}`;
    this.#tokens.push(token);
    this.#box.append(token);
  }

  /** Shades a token, from 0 to 1. */
  shade(index: number, share: number): void {
    this.#tokens[index]!.style.setProperty("--share", share.toFixed(3));
  }

  /** Selects a token. */
  select(index: number): void {
    if (index === this.#selected) return;
    this.#tokens[this.#selected]?.setAttribute("aria-selected", "false");
    this.#selected = index;
    const token = this.#tokens[index]!;
    token.setAttribute("aria-selected", "true");
    this.#box.setAttribute("aria-activedescendant", token.id);
    this.#onSelect(index);
  }

  #pin(index: number): void {
    if (index < 0) return;
    this.#isPinned = true;
    this.select(index);
  }

  #move(event: KeyboardEvent): void {
    const last = this.#tokens.length - 1;
    const at = this.#selected;
    const next = new Map([
      ["ArrowLeft", at - 1],
      ["ArrowUp", at - 10],
      ["ArrowRight", at + 1],
      ["ArrowDown", at + 10],
      ["Home", 0],
      ["End", last],
    ]).get(event.key);
    if (next === undefined || last < 0) return;
    event.preventDefault();
    this.#pin(Math.min(last, Math.max(0, next)));
    this.#tokens[this.#selected]!.scrollIntoView({ block: "nearest" });
  }
}
