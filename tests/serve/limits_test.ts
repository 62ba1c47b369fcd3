// deno-lint-ignore-file camelcase -- OpenAI's names

/** Limits of the server: clients, sizes, clients that leave, and its stop. */

import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { Site } from "./site.ts";

Deno.test("Server answers only those who may ask", async () => {
  await using site = await Site.open({
    token: "secret",
    origins: ["http://page.example"],
  });
  const status = async (path: string, headers: Record<string, string>) => {
    const response = await site.ask(path, { headers });
    await response.body?.cancel();
    return response.status;
  };
  const authorization = "Bearer secret";
  assertEquals(await status("/health", {}), 200);
  for (const path of ["/v1/models", "/metrics", "/nowhere"]) {
    assertEquals(await status(path, {}), 401);
    assertEquals(await status(path, { authorization: "Bearer secre" }), 401);
    assertEquals(
      await status(path, { authorization: `${authorization}t` }),
      401,
    );
  }
  assertEquals(await status("/v1/models", { authorization }), 200);
  for (const host of ["localhost:8000", "127.0.0.1", "[::1]:80"]) {
    assertEquals(await status("/health", { host }), 200);
  }
  for (const host of ["example.com", "localhost.example.com", "127.0.0.1.x"]) {
    assertEquals(await status("/health", { host }), 403);
  }
  const [mine, other] = ["http://page.example", "http://other.example"];
  assertEquals(await status("/health", { origin: other }), 403);
  const preflight = await site.ask("/v1/models", {
    method: "OPTIONS",
    headers: {
      origin: mine,
      "access-control-request-headers": "authorization",
    },
  });
  assertEquals(preflight.status, 204);
  const { headers } = preflight;
  assertEquals(headers.get("access-control-allow-origin"), mine);
  assertEquals(headers.get("access-control-allow-headers"), "authorization");
});

Deno.test("Server refuses a request when its queue is full, and new ones when it stops", async () => {
  await using site = await Site.open();
  const long = { prompt: "the ", max_tokens: 100 };
  const running = [5, 3].map((n) => site.complete({ ...long, n }));
  while (site.batch.waiting < 5) await new Promise((go) => setTimeout(go));
  const refused = await site.post("/v1/completions", long);
  assertEquals([refused.status, refused.headers.get("retry-after")], [
    429,
    "1",
  ]);
  assertEquals((await refused.json()).error.type, "rate_limit_error");
  site.server.close();
  const stopped = await site.post("/v1/completions", long);
  assertEquals(stopped.status, 503);
  await stopped.body?.cancel();
  for (const { choices } of await Promise.all(running)) {
    for (const { text } of choices) assertEquals(text.length, 100);
  }
});

Deno.test("Server stops a text whose reader has gone, and not for one that is slow", async () => {
  await using site = await Site.open({ maxTokens: 1_000_000 });
  const endless = { prompt: "the ", max_tokens: 1_000_000, stream: true };
  const slow = await site.post("/v1/completions", {
    ...endless,
    ...{ max_tokens: 50, seed: 3, temperature: 0.8 },
  });
  const gone = await site.post("/v1/completions", endless);
  const reader = gone.body!.getReader();
  await reader.read();
  await reader.cancel();
  const asker = new AbortController();
  const whole = site.post("/v1/completions", { ...endless, stream: false }, {
    signal: asker.signal,
  });
  while (site.batch.active < 1) await new Promise((go) => setTimeout(go));
  asker.abort();
  await (await whole).body?.cancel();
  const other = await site.complete({ prompt: "the ", max_tokens: 60 });
  assertEquals(other.choices[0].text.length, 60);
  assertEquals([site.batch.active, site.batch.waiting], [0, 0]);
  const events = (await slow.text()).split("\n\n").slice(0, -2);
  const text = events.map((event) =>
    JSON.parse(event.slice(6)).choices[0].text
  );
  assertEquals(text.join(""), await site.alone("the ", 3, 50));

  const metrics = await (await site.ask("/metrics")).text();
  assertStringIncludes(metrics, "\nlm_aborted_total 2\n");
  assertStringIncludes(metrics, "\nlm_texts_running 0\n");
  assertStringIncludes(
    metrics,
    '\nlm_requests_total{route="/v1/completions",status="200"} ',
  );
});

Deno.test("Server tells readers that it stopped before the end of their texts", async () => {
  await using site = await Site.open({ maxTokens: 1_000_000 });
  const endless = { prompt: "the ", max_tokens: 1_000_000 };
  const response = await site.post("/v1/completions", {
    ...{ ...endless, stream: true },
  });
  const whole = site.post("/v1/completions", endless);
  while (site.batch.active < 2) await new Promise((go) => setTimeout(go));
  site.server.abort();
  const cut = await whole;
  assertEquals(cut.status, 503);
  assertStringIncludes((await cut.json()).error.message, "before the end");
  const events = (await response.text()).split("\n\n");
  const { error } = JSON.parse(events.at(-3)!.slice(6));
  assertEquals(error.type, "server_error");
});

/** Runs long timers at once, so that a test does not wait for them. */
function hurry(): Disposable & { readonly delays: number[] } {
  const { setTimeout: own } = globalThis;
  const delays: number[] = [];
  globalThis.setTimeout = ((run: () => void, ms = 0) => {
    if (ms >= 1000) delays.push(ms);
    return own(run, ms >= 1000 ? 0 : ms);
  }) as typeof setTimeout;
  return {
    delays,
    [Symbol.dispose]: () => {
      globalThis.setTimeout = own;
    },
  };
}

Deno.test("Server gives up a body that does not end, and one that is too long", async () => {
  await using site = await Site.open();
  using hurried = hurry();
  let isCancelled = false;
  const body = new ReadableStream<Uint8Array>({
    cancel: () => {
      isCancelled = true;
    },
  });
  const late = await site.ask("/v1/completions", { method: "POST", body });
  assertEquals([late.status, hurried.delays], [408, [30_000]]);
  assert(isCancelled);
  let sent = 0;
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      sent += 2 ** 16;
      controller.enqueue(new Uint8Array(2 ** 16).fill(32));
    },
  });
  const long = await site.ask("/v1/completions", {
    ...{ method: "POST", body: endless },
  });
  assertEquals(long.status, 413);
  assert(sent <= 2 ** 20 + 4 * 2 ** 16, `${sent} bytes were read`);
  for (const response of [late, long]) await response.body?.cancel();
});

Deno.test("Server gives up a reader that does not take a complete text", async () => {
  await using site = await Site.open();
  const question = { prompt: "the ", max_tokens: 50, stream: true };
  const { body } = await site.post("/v1/completions", question);
  using hurried = hurry();
  while (hurried.delays.length === 0 || site.batch.active > 0) {
    await new Promise((go) => setTimeout(go, 1));
  }
  assertEquals(hurried.delays, [60_000]);
  await new Promise((go) => setTimeout(go, 5));
  await assertRejects(() => new Response(body).text());
});
