// deno-lint-ignore-file camelcase -- OpenAI's names

/** The server's additions to OpenAI's API. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  attentionMaps,
  generateText,
  Model,
  Sampler,
  Tokenizer,
} from "../../mod.ts";
import { RunningBatch } from "../../lib/model/running_batch.ts";
import { Server } from "../../lib/serve/server.ts";
import { assertAlmost, Site, tokenizer } from "./site.ts";

Deno.test("Server lists tokens with ids, candidates and entropy if asked to", async () => {
  await using site = await Site.open();
  const question = {
    ...{ prompt: "the cat", seed: 7, max_tokens: 5, echo: true, logprobs: 3 },
    lm_tokens: true,
  };
  const [{ lm_tokens, logprobs, text }] =
    (await site.complete(question)).choices;
  // deno-lint-ignore no-explicit-any
  const column = (key: string) => lm_tokens.map((token: any) => token[key]);
  assertEquals(column("id"), [...tokenizer.encode(text)]);
  assertEquals(column("text"), logprobs.tokens);
  assertEquals(column("logprob"), logprobs.token_logprobs);
  assertEquals([column("entropy")[0], column("top")[0]], [null, []]);
  const { vocabSize: V } = tokenizer;
  const ids = tokenizer.encode(text).subarray(0, 9);
  const logits = await site.model.forward(ids, { B: 1, T: 9 });
  const shares = new Sampler().probabilities(
    logits.subarray(-V) as Float64Array,
  );
  const { entropy, top } = lm_tokens[9];
  assertAlmost(entropy, shares.reduce((sum, p) => sum - p * Math.log(p), 0));
  assertEquals(top.length, 3);
  assertAlmost(top[0].logprob, Math.log(shares[top[0].id]!));
  assertEquals(top[0].text, tokenizer.decode([top[0].id]));

  const [refused] = [await site.post("/v1/completions", { lm_tokens: true })];
  assertEquals((await refused!.json()).error.param, "lm_tokens");
});

Deno.test("Server tells the attention of a text's last token, to as much of it as the model sees", async () => {
  await using site = await Site.open();
  const text = "the cat sat on a mat.\n".repeat(2);
  for (const length of [1, 7, 16, 40]) {
    const prompt = text.slice(0, length);
    const ids = [...tokenizer.encode(prompt)];
    for (const given of [prompt, ids]) {
      const asked = await site.post("/lm/attention", { prompt: given });
      const { from, weights, model } = await asked.json();
      const seen = Int32Array.from(ids.slice(from));
      assertEquals([model, from], ["cat", Math.max(0, length - 16)]);
      const T = seen.length;
      const maps = await attentionMaps(site.model, seen); // 1 layer, 1 head
      const row = maps[0]!.subarray((T - 1) * T);
      assertEquals(weights.length, 1);
      assertEquals(weights[0][0].length, T);
      for (const [i, share] of row.entries()) {
        assert(Math.abs(weights[0][0][i] - share) <= 0.5e-4);
      }
    }
  }
  const cases = [
    [{}, 400, "prompt"],
    [{ prompt: "" }, 400, "prompt"],
    [{ prompt: [99] }, 400, "prompt"],
    [{ prompt: ["the", "cat"] }, 400, "prompt"],
    [{ prompt: "the", n: 1 }, 400, "n"],
    [{ prompt: "the", model: "dog" }, 404, "model"],
  ] as const;
  for (const [body, status, param] of cases) {
    const response = await site.post("/lm/attention", body);
    const { error } = await response.json();
    assertEquals([response.status, error.param], [status, param]);
  }
  // One pass at a time, and few that wait.
  const many = Array.from(
    { length: 12 },
    () => site.post("/lm/attention", { prompt: "the cat" }),
  );
  const statuses = (await Promise.all(many)).map((response) => {
    void response.body?.cancel();
    return response.status;
  });
  assertEquals(statuses.toSorted(), [...Array(9).fill(200), 429, 429, 429]);
  const again = await site.post("/lm/attention", { prompt: "the cat" });
  assertEquals(again.status, 200);
  await again.body?.cancel();
});

Deno.test("Server has several models, each with its tokenizer and its rows", async () => {
  await using site = await Site.open();
  const other = Tokenizer.chars("0123456789");
  await using model = await Model.create(
    { vocabSize: 10, blockSize: 8, nLayer: 1, nHead: 1, nEmbd: 8 },
    { device: "reference" },
  );
  const batch = new RunningBatch(model, { rows: 2 });
  const server = new Server({
    models: [
      {
        ...{ name: "cat", model: site.model, generator: site.batch },
        tokenizer,
      },
      { name: "a/b", model, generator: batch, tokenizer: other },
    ],
    ...{ queue: 1, maxTokens: 1e6, loopbackOnly: true },
  });
  const ask = (path: string, body?: unknown) =>
    server.answer(
      new Request(`http://127.0.0.1:1${path}`, {
        ...(body ? { method: "POST", body: JSON.stringify(body) } : {}),
      }),
    );
  const { data } = await (await ask("/v1/models")).json();
  // deno-lint-ignore no-explicit-any
  assertEquals(data.map(({ id }: any) => id), ["cat", "a/b"]);
  assertEquals(await (await ask("/v1/models/a%2Fb")).json(), data[1]);
  const question = { seed: 3, max_tokens: 12 };
  const first = await ask("/v1/completions", { ...question, prompt: "the " });
  assertEquals((await first.json()).model, "cat");
  const second = await ask("/v1/completions", {
    ...{ ...question, prompt: "123", model: "a/b" },
  });
  const { choices: [{ text }], model: name } = await second.json();
  const alone = generateText(model, other, "123", {
    sampler: { seed: 3 },
    maxNewTokens: 12,
  });
  assertEquals([name, text], ["a/b", (await Array.fromAsync(alone)).join("")]);

  // Each has a queue of its own.
  const busy = Array.from(
    { length: 3 },
    () =>
      ask("/v1/completions", { prompt: "1", model: "a/b", max_tokens: 1e6 }),
  );
  while (batch.active + batch.waiting < 3) {
    await new Promise((go) => setTimeout(go));
  }
  const full = await ask("/v1/completions", { prompt: "1", model: "a/b" });
  assertEquals(full.status, 429);
  const free = await ask("/v1/completions", { prompt: "the " });
  assertEquals(free.status, 200);
  server.abort();
  for (const response of [full, free, ...await Promise.all(busy)]) {
    await response.body?.cancel();
  }
  batch.destroy();
});

Deno.test("Server shows a page that may run its own script and ask this server alone", async () => {
  await using site = await Site.open({ token: "secret" });
  const response = await site.ask("/");
  assertEquals(response.status, 200);
  const html = await response.text();
  const policy = response.headers.get("content-security-policy")!;
  assertStringIncludes(policy, "default-src 'none'");
  assertStringIncludes(policy, "connect-src 'self'");
  assert(!policy.includes("unsafe"), policy);
  for (const tag of ["script", "style"]) {
    const [, content] = new RegExp(`<${tag}>([^]*)</${tag}>`).exec(html)!;
    const digest = await crypto.subtle.digest(
      "SHA-256",
      new TextEncoder().encode(content),
    );
    assertStringIncludes(
      policy,
      `'sha256-${new Uint8Array(digest).toBase64()}'`,
    );
  }
  // The only address is the name of SVG.
  const addresses = html.match(/https?:[^"'\s]+/g) ?? [];
  assertEquals(addresses.filter((each) => !each.includes("w3.org")), []);
  const elsewhere = await site.ask("/", { headers: { host: "example.com" } });
  assertEquals(elsewhere.status, 403);
  await elsewhere.body?.cancel();
});
