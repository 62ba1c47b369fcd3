/** Drives Chromium over its DevTools protocol, as a person would: clicks, keys, files, downloads. */

import { join } from "@std/path";
import { chromium } from "../cli/report/browser.ts";

/** Milliseconds that anything in a page may take; a busy machine compiles WebGPU kernels slowly. */
const PATIENCE = 240_000;

/** Flags of every Chromium: nothing that reaches for the network. */
const flags = [
  "--headless=new",
  "--no-sandbox",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--remote-debugging-port=0",
];

/** How a tab shows its page. */
export interface Showing {
  readonly width?: number;
  readonly height?: number;
  readonly scheme?: "light" | "dark";
  /** True for a screen that is touched. */
  readonly touch?: boolean;
}

const softwareWebGpu = [
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--enable-features=Vulkan",
];

type Json = Record<string, unknown>;

/** A running Chromium. */
export class Browser implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #directory: string;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, PromiseWithResolvers<Json>>();
  readonly #listeners = new Map<
    string,
    (method: string, params: Json) => void
  >();
  /** Resolves when Chromium's messages have been read to their end. */
  readonly #drained: Promise<void>;
  #calls = 0;

  private constructor(
    process: Deno.ChildProcess,
    { directory, socket, drained }: {
      readonly directory: string;
      readonly socket: WebSocket;
      readonly drained: Promise<void>;
    },
  ) {
    this.#drained = drained;
    this.#process = process;
    this.#directory = directory;
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
  }

  /**
   * Starts Chromium with a fresh profile.
   *
   * @param options.webgpu false for a Chromium without an adapter
   */
  static async launch(
    { webgpu = true }: { readonly webgpu?: boolean } = {},
  ): Promise<Browser> {
    if (chromium === undefined) {
      throw new Error("Cannot open a page: there is no Chromium");
    }
    const directory = await Deno.makeTempDir({ prefix: "lm-" });
    const process = new Deno.Command(chromium, {
      args: [
        ...flags,
        ...webgpu ? softwareWebGpu : [],
        `--user-data-dir=${directory}/profile`,
      ],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const lines = process.stderr.pipeThrough(new TextDecoderStream());
    const { promise: address, resolve } = Promise.withResolvers<string>();
    const drained = (async () => {
      let text = "";
      for await (const piece of lines) {
        text += piece;
        const found = /DevTools listening on (ws:\S+)/.exec(text);
        if (found) resolve(found[1]!);
      }
    })();
    const socket = new WebSocket(await address);
    await new Promise((resolve) => socket.onopen = resolve);
    const browser = new Browser(process, { directory, socket, drained });
    await browser.send("Browser.setDownloadBehavior", {
      behavior: "allowAndName",
      downloadPath: browser.downloads,
      eventsEnabled: true,
    });
    return browser;
  }

  /** The folder that downloads go to. */
  get downloads(): string {
    return join(this.#directory, "downloads");
  }

  /** Opens a page in a new tab and waits until it has loaded. */
  async open(url: string, showing: Showing = {}): Promise<Tab> {
    const { targetId } = await this.send("Target.createTarget", {
      url: "about:blank",
    });
    const { sessionId } = await this.send("Target.attachToTarget", {
      targetId,
      flatten: true,
    });
    const tab = new Tab(this, String(sessionId), String(targetId));
    this.#listeners.set(
      String(sessionId),
      (method, params) => tab.take(method, params),
    );
    for (const domain of ["Page", "Runtime", "Log", "DOM"]) {
      await tab.send(`${domain}.enable`);
    }
    await tab.display(showing);
    await tab.send("Page.navigate", { url });
    await tab.waitFor(
      `location.href !== "about:blank" && document.readyState === "complete"`,
    );
    return tab;
  }

  /** Sends a command; `sessionId` names the tab that it is for. */
  send(
    method: string,
    params: Json,
    sessionId?: string | undefined,
  ): Promise<Json> {
    const id = ++this.#calls;
    const waiting = Promise.withResolvers<Json>();
    this.#waiting.set(id, waiting);
    this.#socket.send(
      JSON.stringify({ id, method, params, ...(sessionId && { sessionId }) }),
    );
    return waiting.promise;
  }

  #take({ id, method, params, result, error, sessionId }: {
    id?: number;
    method?: string;
    params?: Json;
    result?: Json;
    error?: { message: string };
    sessionId?: string;
  }): void {
    if (id === undefined) {
      for (const [session, listen] of this.#listeners) {
        if (sessionId === undefined || session === sessionId) {
          listen(method!, params!);
        }
      }
      return;
    }
    const waiting = this.#waiting.get(id)!;
    this.#waiting.delete(id);
    if (error) waiting.reject(new Error(error.message));
    else waiting.resolve(result!);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#socket.onclose = resolve);
    await this.send("Browser.close", {}).catch(() => {});
    await closed;
    await this.#process.status;
    await this.#drained;
    // Its children may still write to the profile.
    for (let tries = 0;; tries++) {
      try {
        return await Deno.remove(this.#directory, { recursive: true });
      } catch (error) {
        if (tries > 20) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }
}

/** A tab of the browser. */
export class Tab {
  /** What went wrong in the page: errors of scripts, and messages of the console that are errors. */
  readonly faults: string[] = [];
  readonly #browser: Browser;
  readonly #session: string;
  readonly #target: string;
  readonly #downloaded = new Map<string, () => void>();

  constructor(browser: Browser, session: string, target: string) {
    this.#browser = browser;
    this.#session = session;
    this.#target = target;
  }

  send(method: string, params: Json = {}): Promise<Json> {
    return this.#browser.send(method, params, this.#session);
  }

  /** Changes the window and the scheme. */
  async display(
    { width = 1100, height = 900, scheme = "light", touch = false }: Showing,
  ): Promise<void> {
    await this.send("Emulation.setDeviceMetricsOverride", {
      ...{ width, height, deviceScaleFactor: 1, mobile: touch },
    });
    await this.send("Emulation.setTouchEmulationEnabled", { enabled: touch });
    await this.send("Emulation.setEmulatedMedia", {
      features: [{ name: "prefers-color-scheme", value: scheme }],
    });
  }

  /** Takes an event of the tab. */
  take(method: string, params: Json): void {
    if (method === "Runtime.exceptionThrown") {
      this.faults.push(JSON.stringify(params["exceptionDetails"]));
    }
    if (method === "Log.entryAdded") {
      const { level, text, url } = params["entry"] as Record<string, string>;
      if (level === "error") this.faults.push(`${text} ${url ?? ""}`);
    }
    if (
      method === "Browser.downloadProgress" && params["state"] === "completed"
    ) {
      this.#downloaded.get("any")?.();
      this.#downloaded.set("file", () => {});
      this.#file = String(params["guid"]);
    }
  }

  #file = "";

  /** Returns the value of an expression in the page. */
  async evaluate<Value>(expression: string): Promise<Value> {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", {
      ...{ expression, awaitPromise: true, returnByValue: true },
      userGesture: true,
    }) as {
      result: { value: Value };
      exceptionDetails?: { exception?: { description?: string }; text: string };
    };
    if (exceptionDetails) {
      throw new Error(
        exceptionDetails.exception?.description ?? exceptionDetails.text,
      );
    }
    return result.value;
  }

  /** Waits until an expression is true in the page. */
  async waitFor(
    expression: string,
    patience: number = PATIENCE,
  ): Promise<void> {
    const end = performance.now() + patience;
    while (!await this.evaluate<boolean>(`Boolean(${expression})`)) {
      if (performance.now() > end) {
        throw new Error(
          `Waited ${patience} ms for ${expression}; the page says: ${await this
            .text("#status").catch(() => "nothing")}; faults: ${
            this.faults.join("; ")
          }`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  /** Returns the text of an element. */
  text(selector: string): Promise<string> {
    return this.evaluate(
      `document.querySelector(${JSON.stringify(selector)}).textContent`,
    );
  }

  /** Clicks the middle of an element with the mouse. */
  async click(selector: string): Promise<void> {
    const [x, y] = await this.evaluate<[number, number]>(`(() => {
      const element = document.querySelector(${JSON.stringify(selector)});
      element.scrollIntoView({ block: "center" });
      const { left, top, width, height } = element.getBoundingClientRect();
      return [left + width / 2, top + height / 2];
    })()`);
    await this.send("Input.dispatchMouseEvent", { type: "mouseMoved", x, y });
    for (const type of ["mousePressed", "mouseReleased"]) {
      await this.send("Input.dispatchMouseEvent", {
        ...{ type, x, y, button: "left", clickCount: 1 },
      });
    }
  }

  /** Presses keys, by the names of `KeyboardEvent.key`. */
  async press(...keys: readonly string[]): Promise<void> {
    const codes: Record<string, number> = {
      ...{ Tab: 9, Enter: 13, " ": 32, End: 35, Home: 36 },
      ...{ ArrowLeft: 37, ArrowUp: 38, ArrowRight: 39, ArrowDown: 40 },
    };
    const texts: Record<string, string> = { Enter: "\r", " ": " " };
    for (const key of keys) {
      const text = texts[key];
      const event = {
        ...{ key, code: key === " " ? "Space" : key },
        windowsVirtualKeyCode: codes[key],
        ...(text && { text }),
      };
      await this.send("Input.dispatchKeyEvent", { type: "keyDown", ...event });
      await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...event });
    }
  }

  /** Chooses in a list or fills a field, and tells the page. */
  set(selector: string, value: string): Promise<void> {
    return this.evaluate(`(() => {
      const field = document.querySelector(${JSON.stringify(selector)});
      field.value = ${JSON.stringify(value)};
      field.dispatchEvent(new Event("input", { bubbles: true }));
      field.dispatchEvent(new Event("change", { bubbles: true }));
    })()`);
  }

  /** Gives a file to an input of files. */
  async giveFile(selector: string, path: string): Promise<void> {
    const { root } = await this.send("DOM.getDocument") as {
      root: { nodeId: number };
    };
    const { nodeId } = await this.send("DOM.querySelector", {
      ...{ nodeId: root.nodeId, selector },
    });
    await this.send("DOM.setFileInputFiles", { nodeId, files: [path] });
  }

  /** Clicks and returns the bytes of the file that is downloaded. */
  async download(selector: string): Promise<Uint8Array> {
    const done = new Promise<void>((resolve) =>
      this.#downloaded.set("any", resolve)
    );
    await this.click(selector);
    await done;
    return await Deno.readFile(join(this.#browser.downloads, this.#file));
  }

  /** Returns a picture of the whole page, as a PNG. */
  async screenshot(): Promise<Uint8Array> {
    const { data } = await this.send("Page.captureScreenshot", {
      captureBeyondViewport: true,
    });
    return Uint8Array.fromBase64(String(data));
  }

  /** Brings the tab to the front; the others are hidden then. */
  async show(): Promise<void> {
    await this.#browser.send("Target.activateTarget", {
      targetId: this.#target,
    });
  }
}

/** Writes a picture of a page where it is asked for. */
export async function picture(tab: Tab, name: string): Promise<void> {
  const directory = Deno.env.get("LM_SCREENSHOTS");
  if (directory === undefined) return;
  await Deno.mkdir(directory, { recursive: true });
  await Deno.writeFile(join(directory, `${name}.png`), await tab.screenshot());
}
