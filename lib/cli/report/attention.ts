/**
 * Attention as a table of small pictures, a row for each layer. This file draws them itself
 * instead of using the plotting library: one path for all cells of a shade takes a tenth of the
 * size of one rectangle per cell.
 */

import { Markup, markup } from "../../report/markup.ts";
import { sideways } from "../../report/html.ts";

/**
 * Shades of a cell, darkest last. They grow with the square root of the probability, so that small
 * ones stay visible.
 */
const SHADES = 14;
/** Pixels of a cell, and of the labels before the first. */
const CELL = 10;
const GUTTER = 13;

/**
 * Draws all heads of all layers.
 *
 * @param maps for each layer (NH, T, T)
 * @param labels those of the T tokens
 */
export function attentionMarkup(
  maps: readonly Float64Array[],
  labels: readonly string[],
): Markup {
  const T = labels.length;
  const size = GUTTER + T * CELL + 1;
  const figure = (head: Float64Array, name: string, words: string) => {
    const what = habit(head, T);
    return markup`<figure data-p="${bytesOf(head)}" data-t="${T}">
<svg viewBox="0 0 ${size} ${size}" role="img" aria-label="${words}: ${what}">
<rect class="ground" x="${GUTTER}" y="${GUTTER}" width="${T * CELL}" height="${
      T * CELL
    }"/>${shades(head, T)}<use href="#tokens"/></svg>
<figcaption><b>${name}</b> ${what}</figcaption></figure>
`;
  };
  return markup`<svg class="defs" width="0" height="0" aria-hidden="true"><defs>
<g id="tokens" class="tokens">${labels.map(tokenAt)}</g></defs></svg>
<div class="legend">${[0.01, 0.05, 0.2, 0.5, 1].map(shadeKey)}</div>
${
    maps.map((map, i) => {
      const layer = i + 1;
      return markup`<h3>Layer ${layer}</h3>
${sideways}<div class="heads" role="group" tabindex="0" aria-label="Heads of layer ${layer}">${
        headsOf(map, T).map((head, h) =>
          figure(head, `${layer}.${h + 1}`, `Layer ${layer}, head ${h + 1}`)
        )
      }</div>
`;
    })
  }<output class="readout" data-tokens="${
    JSON.stringify(labels)
  }">Point at a cell: the row is the token that looks, the column the one that is looked at.</output>`;
}

/** Draws a token's label at its row and its column. */
function tokenAt(label: string, i: number): Markup {
  const at = GUTTER + (i + 0.5) * CELL;
  const size = label.length > 1 && markup` font-size="6"`;
  return markup`<text x="${GUTTER / 2}" y="${at}"${size}>${label}</text>
<text x="${at}" y="${GUTTER / 2}"${size}>${label}</text>
`;
}

function headsOf(map: Float64Array, T: number): Float64Array[] {
  const area = T * T;
  return Array.from(
    { length: map.length / area },
    (_, h) => map.subarray(h * area, (h + 1) * area),
  );
}

/** Returns the shade of a probability; shade 0 is not drawn. */
function shadeOf(probability: number): number {
  return Math.round(Math.sqrt(probability) * SHADES);
}

function shades(head: Float64Array, T: number): Markup {
  const paths = Array.from({ length: SHADES + 1 }, () => "");
  head.forEach((probability, at) => {
    const x = GUTTER + (at % T) * CELL;
    const y = GUTTER + Math.floor(at / T) * CELL;
    paths[shadeOf(probability)] += `M${x} ${y}h${CELL}v${CELL}h-${CELL}z`;
  });
  const drawn = paths.map((d, shade) =>
    shade > 0 && d !== "" ? `<path class="s${shade}" d="${d}"/>` : ""
  );
  return new Markup(drawn.join(""));
}

function shadeKey(probability: number): Markup {
  return markup`<span><svg class="swatch" viewBox="0 0 10 10" aria-hidden="true"><path class="s${
    shadeOf(probability)
  }" d="M0 0h10v10H0z"/></svg>${Math.round(100 * probability)} %</span>`;
}

/** Encodes the probabilities in 256 shades, as base64. */
function bytesOf(head: Float64Array): string {
  return Uint8Array.from(head, (p) => Math.round(255 * p)).toBase64();
}

/** Describes a head's strongest pattern in words: shares of attention, the mean over all positions but the first. */
export function habit(head: Float64Array, T: number): string {
  if (T < 2) return "one token";
  let [self, previous, first, distance] = [0, 0, 0, 0];
  for (let i = 1; i < T; i++) {
    self += head[i * T + i]!;
    previous += head[i * T + i - 1]!;
    if (i > 1) first += head[i * T]!;
    for (let j = 0; j < T; j++) distance += Math.abs(i - j) * head[i * T + j]!;
  }
  const shares: [name: string, share: number][] = [
    ["itself", self / (T - 1)],
    ["the token before", previous / (T - 1)],
    ["the first token", first / Math.max(1, T - 2)],
  ];
  const [name, share] = shares.toSorted(([, a], [, b]) => b - a)[0]!;
  return share >= 0.35
    ? `${Math.round(100 * share)} % to ${name}`
    : `${(distance / (T - 1)).toFixed(1)} tokens away on average`;
}
