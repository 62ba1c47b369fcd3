/** What a browser makes of pages. */

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

/** Registers a test that needs a browser. With LM_REQUIRE_BROWSER=1 it fails where there is none. */
export function browserTest(name: string, fn: () => Promise<void>): void {
  const ignore = chromium === undefined &&
    Deno.env.get("LM_REQUIRE_BROWSER") !== "1";
  Deno.test({
    name: name + (ignore ? " (skipped: no Chromium)" : ""),
    ignore,
    fn,
  });
}

/** How a page is shown. */
export interface Showing {
  /** Of the window, in pixels. */
  readonly width: number;
  readonly scheme: "light" | "dark";
  readonly medium: "screen" | "print";
}

/** A phone and a desk, each in both colour schemes, the narrowest screen there is (WCAG 2.2, 1.4.10), and paper. */
const showings: readonly Showing[] = [
  { width: 390, scheme: "light", medium: "screen" },
  { width: 390, scheme: "dark", medium: "screen" },
  { width: 1400, scheme: "light", medium: "screen" },
  { width: 1400, scheme: "dark", medium: "screen" },
  { width: 320, scheme: "light", medium: "screen" },
  { width: 720, scheme: "dark", medium: "print" },
];

/** What is wrong with a page, in words; nothing where all is well. */
export interface Faults extends Showing {
  readonly page: string;
  readonly faults: readonly string[];
}

/** Lays out pages in every one of these ways, all in one browser, and looks for faults of layout. */
export async function faultsOf(
  pages: Readonly<Record<string, string>>,
  ways: readonly Showing[] = showings,
): Promise<Faults[]> {
  if (chromium === undefined) {
    throw new Error("Cannot lay out pages: there is no Chromium");
  }
  const directory = await Deno.makeTempDir({ prefix: "lm-" });
  try {
    const frames = Object.entries(pages).flatMap(([page, html]) =>
      ways.map((way) => ({ page, ...way, html: framed(html, way) }))
    );
    const faultsIn = await Deno.readTextFile(
      new URL("page_faults.js", import.meta.url),
    );
    const host = `${directory}/host.html`;
    await Deno.writeTextFile(
      host,
      `<!doctype html><meta charset="utf-8"><body><script>
${faultsIn}
const frames = ${JSON.stringify(frames).replaceAll("<", "\\u003c")};
(${lookAt})(frames).catch((error) => document.body.textContent = error.stack);
</script>`,
    );
    const { stdout, stderr, success } = await new Deno.Command(chromium, {
      args: [
        ..."--headless=new --no-sandbox --disable-gpu --disable-quic".split(
          " ",
        ),
        ..."--no-first-run --disable-background-networking".split(" "),
        ..."--disable-component-update --disable-sync".split(" "),
        ...[`--user-data-dir=${directory}/profile`, "--window-size=1500,1000"],
        ...["--virtual-time-budget=600000", "--dump-dom", `${toFileUrl(host)}`],
      ],
    }).output();
    const text = new TextDecoder().decode(stdout);
    const found = /<body data-faults="([^"]*)"/.exec(text)?.[1];
    if (!success || found === undefined) {
      throw new Error(
        `Cannot lay out pages: ${
          /<body>(.*)/s.exec(text)?.[1] ?? new TextDecoder().decode(stderr)
        }`,
      );
    }
    return JSON.parse(decodeURIComponent(found));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** A page without its policy, which forbids what reads its layout; on paper what is for paper applies. */
function framed(html: string, { medium }: Showing): string {
  return html
    .replace(/<meta http-equiv="Content-Security-Policy"[^>]*>/, "")
    .replaceAll("@media print", medium === "print" ? "@media all" : "$&");
}

/** Runs in the browser. */
const lookAt = `async (frames) => {
  const results = [];
  for (const { html, ...shown } of frames) {
    const frame = document.createElement("iframe");
    frame.style = "border:0;height:900px;width:" + shown.width +
      "px;color-scheme:" + shown.scheme;
    frame.srcdoc = html;
    document.body.append(frame);
    await new Promise((resolve) => frame.onload = resolve);
    for (const details of frame.contentDocument.querySelectorAll("details")) {
      details.open = true;
    }
    // The page's script answers to its layout.
    await new Promise((resolve) => setTimeout(resolve, 20));
    results.push({ ...shown, faults: faultsIn(frame.contentDocument, shown.medium) });
    frame.remove();
  }
  document.body.dataset.faults = encodeURIComponent(JSON.stringify(results));
}`;
