/** The page of `examples/browser` in Chromium, and what a person does with it first. */

import { assertEquals } from "@std/assert";
import { buildPage, type Page, serve } from "../../tools/page.ts";
import { Browser, type Showing, type Tab } from "./chromium.ts";

let built: Promise<Page> | undefined;

/** Returns the page, built by the first call. */
export function builtPage(): Promise<Page> {
  return built ??= buildPage();
}

/** Ways in which a test opens the page. */
export interface Visit extends Showing {
  /** False for a Chromium without a WebGPU adapter. */
  readonly webgpu?: boolean;
  /** False for a server that does not send the headers that let threads share memory. */
  readonly isolated?: boolean;
}

/** Opens the page from a server; fails if anything went wrong in it. */
export async function visit(
  { isolated = true, webgpu = true, ...showing }: Visit,
  use: (tab: Tab, browser: Browser) => Promise<void>,
): Promise<void> {
  const server = serve(await builtPage(), { isolated });
  try {
    await using browser = await Browser.launch({ webgpu });
    const url = `http://localhost:${server.addr.port}/`;
    const tab = await browser.open(url, showing);
    await use(tab, browser);
    assertEquals(tab.faults, []);
  } finally {
    await server.shutdown();
  }
}

/** Presses the first button and waits for the first step; returns the milliseconds. */
export async function start(tab: Tab, steps: number): Promise<number> {
  await tab.set("#steps", String(steps));
  const begun = performance.now();
  await tab.click("#train");
  await tab.waitFor(`document.querySelector("#progress").textContent !== ""`);
  return performance.now() - begun;
}

/** Waits until training is over, and the text after it is written. */
export async function finish(tab: Tab): Promise<void> {
  await tab.waitFor(
    `document.querySelector("#status").textContent.startsWith("Done") &&
     document.querySelector("#stop").disabled &&
     document.querySelectorAll("#heads button").length > 0`,
  );
}

/** The number of the last step that the page shows. */
export async function stepOf(tab: Tab): Promise<number> {
  const [, step] = /^step ([\d,]+) /.exec(await tab.text("#progress"))!;
  return Number(step!.replaceAll(",", ""));
}

/** Returns the number of elements that match a selector. */
export function count(tab: Tab, selector: string): Promise<number> {
  return tab.evaluate(
    `document.querySelectorAll(${JSON.stringify(selector)}).length`,
  );
}
