/**
 * Runs in a browser: the faults of layout in a page's document, in words.
 *
 * @param {Document} page laid out in a window of its own
 * @param {"screen" | "print"} medium
 * @returns {string[]}
 */
// deno-lint-ignore no-unused-vars -- the page around it calls it
function faultsIn(page, medium) {
  const view = page.defaultView;
  const width = view.innerWidth;
  const styleOf = (element) => view.getComputedStyle(element);

  const faults = [];
  const tell = (element, fault) => {
    const where = element.closest("section")?.id ?? "page";
    faults.push(`${where}: ${fault}`);
  };

  /** An element and those around it, from the inside out. */
  const around = (element) => {
    const chain = [];
    for (let at = element; at !== null; at = at.parentElement) chain.push(at);
    return chain;
  };
  const clips = (element) => styleOf(element).overflowX !== "visible";
  const isSticky = (element) =>
    around(element).some((each) => styleOf(each).position === "sticky");
  const isSeen = (element) =>
    around(element).every((each) => Number(styleOf(each).opacity) > 0) &&
    styleOf(element).visibility === "visible";

  // Texts, each with the boxes of its lines.
  const texts = [];
  const walker = page.createTreeWalker(page.body, view.NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    const element = node.parentElement;
    if (
      node.data.trim() === "" || element.closest("script, style, title, defs")
    ) {
      continue;
    }
    const range = page.createRange();
    range.selectNodeContents(node);
    const boxes = [...range.getClientRects()].filter((box) =>
      box.width > 0 && box.height > 0
    );
    if (boxes.length > 0 && isSeen(element)) {
      texts.push({ node, element, boxes });
    }
  }
  const named = ({ node }) =>
    JSON.stringify(node.data.trim().replace(/\s+/g, " ").slice(0, 60));

  // Wider than the window, and by what.
  const root = page.documentElement;
  if (root.scrollWidth > width) {
    const wide = [...page.querySelectorAll("main *")].findLast((element) =>
      element.getBoundingClientRect().right > width + 1 &&
      !around(element.parentElement).some(clips)
    );
    faults.push(
      `the page is ${root.scrollWidth} pixels wide: ${
        wide?.outerHTML.slice(0, 120)
      }`,
    );
  }

  // Cut texts. What scrolls may cut, if something shows that there is more.
  const scrolls = (element) => /auto|scroll/.test(styleOf(element).overflowX);
  const shown = [];
  for (const text of texts) {
    const clipping = around(text.element).filter(clips)
      .filter((element) => element !== root && element !== page.body);
    const frames = clipping.map((element) => element.getBoundingClientRect());
    for (const box of text.boxes) {
      let { left, right, top, bottom } = box;
      clipping.forEach((element, i) => {
        const frame = frames[i];
        const cut = left < frame.left - 1 || right > frame.right + 1 ||
          bottom > frame.bottom + 1 || top < frame.top - 1;
        if (cut && !scrolls(element)) {
          tell(text.element, `${named(text)} is cut by what is around it`);
        }
        left = Math.max(left, frame.left);
        right = Math.min(right, frame.right);
        top = Math.max(top, frame.top);
        bottom = Math.min(bottom, frame.bottom);
      });
      if (clipping.length === 0 && (left < -0.5 || right > width + 0.5)) {
        tell(text.element, `${named(text)} is outside of the page`);
      }
      if (right - left > 1 && bottom - top > 1) {
        shown.push({ text, box: { left, right, top, bottom } });
      }
    }
  }

  // Texts on each other. A box is a line high, letters fill less of it.
  const overlap = (a, b) =>
    Math.min(
      Math.min(a.right, b.right) - Math.max(a.left, b.left),
      Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top),
    );
  const LINE = 2.5;
  const ordered = shown.filter(({ text }) => !isSticky(text.element))
    .sort((a, b) => a.box.top - b.box.top);
  ordered.forEach((a, i) => {
    for (let k = i + 1; k < ordered.length; k++) {
      const b = ordered[k];
      if (b.box.top > a.box.bottom) break;
      const by = a.text === b.text ? 0 : overlap(a.box, b.box);
      if (by > LINE) {
        tell(
          a.text.element,
          `${named(a.text)} lies on ${named(b.text)} by ${by.toFixed(1)}`,
        );
      }
    }
  });

  // Texts of charts on points and lines, unless a margin around the letters keeps them apart.
  for (const svg of page.querySelectorAll("svg.plot")) {
    const labels = shown.filter(({ text: { element } }) =>
      element.closest("svg") === svg && !element.closest("[aria-label*=axis]")
    );
    if (labels.length === 0) continue;
    const points = [...svg.querySelectorAll("[aria-label=dot] > *")].filter(
      (element) => {
        const { fill, stroke, fillOpacity } = styleOf(element);
        return Number(fillOpacity) > 0 &&
          (fill !== "none" || stroke !== "none");
      },
    ).map((element) => element.getBoundingClientRect());
    const lines = [...svg.querySelectorAll("[aria-label=line] > path")]
      .filter((line) => line.getBoundingClientRect().width > 0)
      .flatMap((line) => {
        const matrix = line.getScreenCTM();
        const length = line.getTotalLength();
        return Array.from({ length: Math.ceil(length / 3) }, (_, i) => {
          const at = line.getPointAtLength(3 * i).matrixTransform(matrix);
          return {
            left: at.x - 3,
            right: at.x + 3,
            top: at.y - 3,
            bottom: at.y + 3,
          };
        });
      });
    for (const { text, box } of labels) {
      const on = points.filter((point) => overlap(box, point) > LINE).length;
      if (on > 0) tell(svg, `${named(text)} lies on ${on} points`);
      const hasMargin = parseFloat(styleOf(text.element).strokeWidth) >= 3 &&
        styleOf(text.element).stroke !== "none";
      const under = lines.filter((point) => overlap(box, point) > 4).length;
      if (under > 0 && !hasMargin) tell(svg, `${named(text)} lies on a line`);
    }
  }

  // Tables: what scrolls says so, and its name and its loss stay in view.
  for (const region of page.querySelectorAll(".scroll, .heads")) {
    if (region.clientWidth === 0) continue;
    const isWide = region.scrollWidth > region.clientWidth + 1;
    const words = region.previousElementSibling;
    const cued = words?.matches(".sideways") &&
      words.getBoundingClientRect().height > 0;
    if (isWide !== cued && clips(region)) {
      tell(
        region,
        `${JSON.stringify(region.ariaLabel)} ${
          isWide ? "scrolls and nothing says so" : "does not scroll as is said"
        }`,
      );
    }
    if (!isWide) continue;
    const head = [...region.querySelectorAll("thead th")];
    if (width > 640 || head.length === 0) continue;
    const loss = head.findIndex((cell) => /loss/.test(cell.textContent));
    for (const scrollLeft of [0, 1e6]) {
      region.scrollLeft = scrollLeft;
      const outer = region.getBoundingClientRect();
      for (const column of new Set([0, Math.max(loss, 0)])) {
        const box = head[column].getBoundingClientRect();
        if (box.left < outer.left - 1 || box.right > outer.right + 1) {
          tell(
            region,
            `the column ${
              JSON.stringify(head[column].textContent)
            } scrolls away`,
          );
        }
      }
    }
    region.scrollLeft = 0;
  }

  // Contrast (WCAG 2.2: 1.4.3 for texts, 1.4.11 for what is drawn), as a canvas mixes colours.
  const context = new OffscreenCanvas(1, 1).getContext("2d", {
    willReadFrequently: true,
  });
  const paint = (color, opacity = 1) => {
    context.globalAlpha = opacity;
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    context.globalAlpha = 1;
    return context.getImageData(0, 0, 1, 1).data;
  };
  const luminance = (rgb) => {
    const [r, g, b] = [...rgb].slice(0, 3).map((value) =>
      value / 255 <= 0.04045
        ? value / 255 / 12.92
        : ((value / 255 + 0.055) / 1.055) ** 2.4
    );
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrasts = new Map();
  const contrast = (element, color, opacity) => {
    const layers = around(element).map((each) => styleOf(each).backgroundColor);
    const key = JSON.stringify([layers, color, opacity]);
    if (!contrasts.has(key)) {
      paint("white");
      let ground;
      for (const layer of layers.toReversed()) ground = paint(layer);
      const [a, b] = [luminance(ground), luminance(paint(color, opacity))];
      contrasts.set(key, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
    }
    return contrasts.get(key);
  };
  const faint = new Set();
  const demand = (element, what, ratio, least) => {
    if (ratio >= least) return;
    const fault = `${what} has a contrast of ${ratio.toFixed(2)}, not ${least}`;
    if (!faint.has(fault)) tell(element, fault);
    faint.add(fault);
  };
  for (const { element, node } of texts) {
    const style = styleOf(element);
    const inSvg = element.closest("svg") !== null;
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 ||
      size >= 18.66 && Number(style.fontWeight) >= 700;
    const ratio = contrast(
      // The colour of a shade is told by its neighbours too, but letters must be read on each.
      element,
      inSvg ? style.fill : style.color,
      inSvg ? Number(style.fillOpacity) : 1,
    );
    demand(element, named({ node }), ratio, isLarge ? 3 : 4.5);
  }
  for (const key of page.querySelectorAll(".legend .pen")) {
    const name = JSON.stringify(key.parentElement.textContent.trim());
    const { color } = styleOf(key);
    demand(
      key,
      `the key of ${name}`,
      contrast(key.parentElement, color, 1),
      3,
    );
  }
  for (const line of page.querySelectorAll("[aria-label=line] > path")) {
    const { stroke, strokeOpacity } = styleOf(line);
    // A paler line lies under one that says the same.
    if (stroke === "none" || Number(strokeOpacity) < 1) continue;
    demand(line, `a line of ${stroke}`, contrast(line, stroke, 1), 3);
  }

  // Paper is light, and nothing on it moves.
  if (medium === "print") {
    paint("white");
    const ground = luminance(paint(styleOf(page.body).backgroundColor));
    if (ground < 0.8) faults.push("the paper is dark");
    for (const element of page.querySelectorAll("body *")) {
      if (
        element.getClientRects().length > 0 &&
        (isSticky(element) || scrolls(element))
      ) {
        tell(element, `<${element.localName}> sticks or scrolls on paper`);
      }
    }
  }

  // Names that are given twice, and links that lead nowhere.
  const ids = Array.from(page.querySelectorAll("[id]"), ({ id }) => id);
  for (const id of new Set(ids)) {
    if (ids.indexOf(id) !== ids.lastIndexOf(id)) {
      faults.push(`the id ${id} is given twice`);
    }
  }
  for (const link of page.querySelectorAll("[href^='#'], [aria-labelledby]")) {
    const to = link.getAttribute("href")?.slice(1) ??
      link.getAttribute("aria-labelledby");
    if (!ids.includes(to)) faults.push(`#${to} leads nowhere`);
  }
  return [...new Set(faults)];
}
