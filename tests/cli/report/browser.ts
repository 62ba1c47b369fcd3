/** What a browser makes of a page: which texts lie on each other or on points, and what sticks out. */

import { toFileUrl } from "@std/path";

/** Chromium's program; undefined where there is none. */
export const chromium: string | undefined = [
  ...[Deno.env.get("CHROME_BIN"), "/usr/bin/chromium"],
  ...["/usr/bin/chromium-browser", "/usr/bin/google-chrome"],
].find((path) => path !== undefined && isFile(path));

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** What is wrong with a page at a width, in words; nothing where all is well. */
export interface Faults {
  readonly page: string;
  readonly width: number;
  readonly faults: readonly string[];
}

/**
 * Lays out pages at several widths, all in one browser, and looks for faults of layout: texts of
 * a chart that overlap each other, texts that lie on points, texts outside of the page, and a
 * page wider than its window.
 */
export async function faultsOf(
  pages: Readonly<Record<string, string>>,
  widths: readonly number[] = [390, 1400],
): Promise<Faults[]> {
  const directory = await Deno.makeTempDir({ prefix: "lm-" });
  try {
    const frames = Object.entries(pages).flatMap(([page, html]) =>
      widths.map((width) => ({ page, width, html: withoutPolicy(html) }))
    );
    const host = `${directory}/host.html`;
    await Deno.writeTextFile(
      host,
      `<!doctype html><meta charset="utf-8"><body><script>
const frames = ${JSON.stringify(frames).replaceAll("<", "\\u003c")};
(${lookAt})(frames);
</script>`,
    );
    const { stdout, stderr, success } = await new Deno.Command(chromium!, {
      args: [
        ..."--headless=new --no-sandbox --disable-gpu --disable-quic".split(
          " ",
        ),
        ..."--no-first-run --disable-background-networking".split(" "),
        ..."--disable-component-update --disable-sync".split(" "),
        ...[`--user-data-dir=${directory}/profile`, "--window-size=1500,1000"],
        ...["--virtual-time-budget=60000", "--dump-dom", `${toFileUrl(host)}`],
      ],
    }).output();
    const text = new TextDecoder().decode(stdout);
    const found = /<body data-faults="([^"]*)"/.exec(text)?.[1];
    if (!success || found === undefined) {
      throw new Error(
        `Cannot lay out pages: ${new TextDecoder().decode(stderr)}`,
      );
    }
    return JSON.parse(decodeURIComponent(found));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** The page's policy forbids what reads its layout. */
function withoutPolicy(html: string): string {
  return html.replace(/<meta http-equiv="Content-Security-Policy"[^>]*>/, "");
}

/** Runs in the browser. */
const lookAt = `async (frames) => {
  const results = [];
  for (const { page, width, html } of frames) {
    const frame = document.createElement("iframe");
    frame.style = "border:0;height:900px;width:" + width + "px";
    frame.srcdoc = html;
    document.body.append(frame);
    await new Promise((resolve) => frame.onload = resolve);
    const inside = frame.contentDocument;
    const faults = [];
    const name = (element) => JSON.stringify(element.textContent);
    const where = (element) =>
      (element.closest("section")?.id ?? "page") + ": ";
    // How far two boxes lie on each other, in both directions.
    const overlap = (a, b) => Math.min(
      Math.min(a.right, b.right) - Math.max(a.left, b.left),
      Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top),
    );
    const isSeen = (element) => {
      const { width, height } = element.getBoundingClientRect();
      return width > 0 && height > 0;
    };
    const isFilled = (element) => {
      const style = frame.contentWindow.getComputedStyle(element);
      return Number(style.fillOpacity) > 0 && (style.fill !== "none" ||
        style.stroke !== "none");
    };
    for (const svg of inside.querySelectorAll("svg.plot")) {
      if (!isSeen(svg)) continue;
      const texts = [...svg.querySelectorAll("text")].filter(isSeen)
        .map((element) => ({ element, box: element.getBoundingClientRect() }));
      texts.forEach((a, i) => {
        for (const b of texts.slice(i + 1)) {
          // A box is a line high, letters fill less of it.
          const by = overlap(a.box, b.box);
          if (by > 2.5) {
            faults.push(where(svg) + name(a.element) + " lies on " +
              name(b.element) + " by " + by.toFixed(1));
          }
        }
        if (a.box.left < -0.5 || a.box.right > width + 0.5) {
          faults.push(where(svg) + name(a.element) + " is outside of the page");
        }
      });
      const points = [...svg.querySelectorAll("[aria-label=dot] > *")]
        .filter(isFilled).map((element) => element.getBoundingClientRect());
      for (const { element, box } of texts) {
        if (element.closest("[aria-label*=axis]")) continue;
        const on = points.filter((point) => overlap(box, point) > 2.5).length;
        if (on > 0) {
          faults.push(where(svg) + name(element) + " lies on " + on + " points");
        }
      }
    }
    const { scrollWidth } = inside.documentElement;
    if (scrollWidth > width) {
      const wide = [...inside.querySelectorAll("main *")].find((element) =>
        (element.getBoundingClientRect().right > width + 1 ||
          element.scrollWidth > width) && element.children.length === 0 &&
        element.closest(".scroll, .heads") === null);
      faults.push("the page is " + scrollWidth + " pixels wide: " +
        (wide?.outerHTML.slice(0, 120) ?? ""));
    }
    for (const region of inside.querySelectorAll(".scroll")) {
      const kept = region.querySelector("td.kept");
      if (kept === null || !isSeen(region) || width > 640) continue;
      region.scrollLeft = 1e6;
      const [outer, box] = [region, kept].map((e) => e.getBoundingClientRect());
      if (box.left < outer.left - 1 || box.right > outer.right + 1) {
        faults.push(where(region) + "a column that is to be kept scrolls away");
      }
      region.scrollLeft = 0;
    }
    results.push({ page, width, faults });
    frame.remove();
  }
  document.body.dataset.faults = encodeURIComponent(JSON.stringify(results));
}`;
