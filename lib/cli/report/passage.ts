/** A passage of the text, each token shaded by how little the model expected it. */

import { tokenText } from "../../text/token_text.ts";
import type { Tokenizer } from "../../text/tokenizer.ts";
import { escapeHtml, Markup, markup } from "../../report/markup.ts";
import { visible } from "../terminal/terminal.ts";
import type { ReadToken } from "./measurement.ts";

/** Number of shades, and the loss in nats at which the last one begins. */
const SHADES = 10;
const MOST = 5;

/** Draws the passage, and explains its shades. */
export function passageMarkup(
  passage: readonly ReadToken[],
  tokenizer: Tokenizer,
): Markup {
  const mean = passage.reduce((sum, { loss }) => sum + loss, 0) /
    passage.length;
  const keys = [0, 1, 2, 3, 4, 5].map((loss) =>
    markup`<span><i class="swatch l${shadeOf(loss)}"></i>${loss}${
      loss === MOST && " or more"
    }</span>`
  );
  const tokens = passage.map((token) => tokenSpan(token, tokenizer)).join("");
  return markup`<div class="legend">${keys}<span>nats; this passage: ${
    mean.toFixed(2)
  } on average</span></div>
<p class="passage" translate="no">${new Markup(tokens)}</p>
<output class="readout">Point at a token: its loss, and what was expected in its place.</output>`;
}

function shadeOf(loss: number): number {
  return Math.min(SHADES, Math.round(loss * SHADES / MOST));
}

function tokenSpan(
  { id, loss, guesses }: ReadToken,
  tokenizer: Tokenizer,
): string {
  const label = tokenLabel(tokenizer, id);
  const percent = (probability: number) =>
    `${(100 * probability).toFixed(probability < 0.1 ? 1 : 0)} %`;
  const expected = guesses.map(({ id, probability }) =>
    `${tokenLabel(tokenizer, id)} ${percent(probability)}`
  ).join("  ");
  const title = escapeHtml(
    `${label}  ${loss.toFixed(2)} nats, ${
      percent(Math.exp(-loss))
    }; expected: ${expected}`,
  );
  const text = escapeHtml(shown(tokenText(tokenizer, id), inText));
  return `<span class="l${shadeOf(loss)}" title="${title}">${text}</span>`;
}

/** Characters in place of those that are not seen: by themselves, and in a text. */
const alone: Readonly<Record<string, string>> = {
  "\n": "⏎",
  "\t": "⇥",
  " ": "␣",
};
const inText = { ...alone, "\n": "⏎\n", " ": " " };

/** Returns a token's label, in which white space is visible. */
export function tokenLabel(tokenizer: Tokenizer, id: number): string {
  return shown(tokenText(tokenizer, id), alone);
}

function shown(text: string, pictures: typeof alone): string {
  return visible(text).replace(/[\n\t ]/g, (char) => pictures[char]!);
}
