/**
 * The page's script: it adds details when the reader points at or touches something. The page is
 * complete without it.
 */

/** JavaScript for the browser. */
export const script: string = `
"use strict";
const readoutOf = (section) => section.querySelector(".readout");

// Shows the hint before each box that scrolls sideways.
const showHints = () => {
  for (const box of document.querySelectorAll(".scroll, .heads")) {
    box.previousElementSibling.hidden = box.scrollWidth <= box.clientWidth + 1;
  }
};
showHints();
addEventListener("resize", showHints);
document.addEventListener("toggle", showHints, true);

// A passage: the title of the character under the finger, for those without a mouse.
for (const passage of document.querySelectorAll(".passage")) {
  const show = ({ target }) => {
    if (!target.title) return;
    passage.querySelector(".on")?.classList.remove("on");
    target.classList.add("on");
    readoutOf(passage.parentElement).textContent = target.title;
  };
  passage.addEventListener("pointerover", show);
  passage.addEventListener("click", show);
}

// Attention: the probability of the cell.
for (const figure of document.querySelectorAll("figure[data-p]")) {
  const svg = figure.querySelector("svg");
  const T = Number(figure.dataset.t);
  const bytes = atob(figure.dataset.p);
  const readout = readoutOf(figure.closest("section"));
  const labels = JSON.parse(readout.dataset.tokens);
  const name = figure.querySelector("b").textContent;
  const show = ({ clientX, clientY }) => {
    const box = svg.getBoundingClientRect();
    const ground = svg.querySelector(".ground").getBoundingClientRect();
    const at = (client, from, size) => Math.floor((client - from) / size * T);
    const j = at(clientX, ground.left, ground.width);
    const i = at(clientY, ground.top, ground.height);
    if (i < 0 || j < 0 || i >= T || j >= T || box.width === 0) return;
    const share = bytes.charCodeAt(i * T + j) / 255;
    const way = i === j
      ? "itself"
      : labels[j] + " (" + Math.abs(i - j) + (j < i ? " before)" : " after)");
    readout.textContent = name + ": " + labels[i] + " looks at " + way + " with " +
      (100 * share).toFixed(share < 0.1 ? 1 : 0) + " %";
  };
  svg.addEventListener("pointermove", show);
  svg.addEventListener("click", show);
}
`;
