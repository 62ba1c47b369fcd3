/// <reference lib="dom" />

/** Finds the elements of the page, and makes new ones. */

/**
 * Returns the element with an id.
 *
 * @param Kind its class
 */
export function byId<Kind extends Element>(
  id: string,
  Kind: new () => Kind,
): Kind {
  const element = document.getElementById(id);
  if (element instanceof Kind) return element;
  throw new Error(`Cannot find ${Kind.name} #${id}`);
}

/** Makes an element with properties and content. */
export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  properties: Partial<HTMLElementTagNameMap[Tag]> = {},
  ...content: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...content);
  return element;
}

/** Makes an element of a drawing. */
export function makeSvg(
  tag: string,
  attributes: Readonly<Record<string, string | number>>,
  text = "",
): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, String(value));
  }
  element.textContent = text;
  return element;
}

/** Offers bytes or a text as a download. */
export function download(name: string, content: BlobPart): void {
  const href = URL.createObjectURL(new Blob([content]));
  make("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}

/** Returns a function that calls `draw` once before the next frame, however often it is called. */
export function onNextFrame(draw: () => void): () => void {
  let isPlanned = false;
  return () => {
    if (isPlanned) return;
    isPlanned = true;
    requestAnimationFrame(() => {
      isPlanned = false;
      draw();
    });
  };
}
