// deno-lint-ignore-file camelcase -- OpenAI's names

/** `serve` as a process, asked over loopback. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Clients, quiet } from "../../bench/serve_clients.ts";
import { makeGeneric } from "../../lib/checks/variants.ts";
import { Model } from "../../mod.ts";
import { command, SMALL, Workplace } from "./process.ts";

/** Starts `serve` on a free port. */
async function start(here: Workplace, flags: readonly string[] = []) {
  const child = command(
    ["serve", "runs/it", "--device", "reference", "--port", "0", ...flags],
    { cwd: here.path },
  ).spawn();
  const reader = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  let printed = "";
  while (!/:\d+\/v1\n/.test(printed)) {
    const { value = "", done } = await reader.read();
    assert(!done, printed);
    printed += value;
  }
  const [url] = /http:\S+(?=\/v1\n)/.exec(printed)!;
  return {
    url,
    child,
    async [Symbol.asyncDispose]() {
      child.kill("SIGINT");
      assertEquals((await child.status).code, 130);
      for (;;) {
        const { value = "", done } = await reader.read();
        if (done) break;
        printed += value;
      }
      await child.stdout.cancel();
      // Deno has a notice for servers that wait for the end of a request.
      assert(!/Deno\.serve|rror|arning/.test(printed), printed);
    },
  };
}

/** Makes a run whose weights, unlike fresh ones, look at what came before. */
async function trained(): Promise<Workplace> {
  const here = await Workplace.create();
  const args = ["train", ...SMALL, "--out", "runs/it"];
  const { code, stderr } = await here.run(args);
  assertEquals(code, 0, stderr);
  const path = here.file("runs/it/checkpoint.safetensors");
  const bytes = await Deno.readFile(path);
  await using model = await Model.load(bytes, { device: "reference" });
  await makeGeneric(model);
  await Deno.writeFile(path, await model.save());
  return here;
}

const post = (url: string, body: unknown, init: RequestInit = {}) =>
  fetch(`${url}/v1/completions`, {
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...init,
  });

/** Asks with curl, as the README does; undefined where there is none. */
async function curl(url: string, body: unknown): Promise<Response | undefined> {
  try {
    const { stdout } = await new Deno.Command("curl", {
      args: ["--silent", "--fail", url, "--data", JSON.stringify(body)],
    }).output();
    return new Response(stdout);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function textOf(response: Response): Promise<string> {
  assertEquals(response.status, 200);
  return (await response.json()).choices[0].text;
}

Deno.test("serve gives the texts of sample, also to 32 clients of which some are slow, leave or send rubbish", async () => {
  await using here = await trained();
  await using server = await start(here, ["--rows", "4"]);
  const { url } = server;
  const models = await (await fetch(`${url}/v1/models`)).json();
  assertEquals(models.data[0].id, "it");

  const question = { prompt: "the cat", temperature: 0.8, max_tokens: 40 };
  const sampled = await here.run(
    "sample runs/it --device reference --tokens 40 --seed 7 --prompt"
      .split(" ").concat("the cat"),
  );
  const text = await textOf(await post(url, { ...question, seed: 7 }));
  assertEquals(`the cat${text}`.trimEnd(), sampled.stdout.trimEnd());

  const curled = await curl(`${url}/v1/completions`, { ...question, seed: 7 });
  if (curled !== undefined) assertEquals(await textOf(curled), text);

  const clients = await Clients.meet(url, { maxTokens: 40 });
  const { counts, faults } = await clients.load({ clients: 32, seconds: 2 });
  assertEquals(faults, []);
  for (const [kind, count] of Object.entries(counts)) {
    assert(count > 0, `no ${kind}`);
  }
  const metrics = await quiet(url);
  assert(!metrics.includes('status="5'), metrics);
  assert(!metrics.includes('status="429"'), metrics);
});

Deno.test("serve finishes a text under way after Ctrl-C", async () => {
  await using here = await trained();
  const { url } = await (async () => {
    await using server = await start(here);
    const asked = await post(server.url, {
      ...{ prompt: "the", max_tokens: 2000, stream: true },
    });
    server.child.kill("SIGINT");
    const text = await asked.text();
    assert(text.endsWith("data: [DONE]\n\n"), text);
    assertStringIncludes(text, '"finish_reason":"length"');
    return server;
  })();
  let refused = false;
  try {
    await (await fetch(url)).body?.cancel();
  } catch (error) {
    refused = error instanceof TypeError;
  }
  assert(refused, "the port is still open");
});

Deno.test("serve has several models, and a page that shows them", async () => {
  await using here = await trained();
  await Deno.copyFile(
    `${here.path}/runs/it/checkpoint.safetensors`,
    `${here.path}/copy.safetensors`,
  );
  await using server = await start(here, ["copy.safetensors"]);
  const { data } = await (await fetch(`${server.url}/v1/models`)).json();
  assertEquals(data.map(({ id }: { readonly id: string }) => id), [
    "it",
    "copy",
  ]);
  const question = { prompt: "the", seed: 1, max_tokens: 20 };
  const texts = await Promise.all(
    ["it", "copy"].map(async (model) =>
      await textOf(await post(server.url, { ...question, model }))
    ),
  );
  assertEquals(texts[0], texts[1]);
  const page = await fetch(new URL("/", server.url));
  assertStringIncludes(await page.text(), "<title>Playground</title>");
});

Deno.test("serve refuses other machines without a token, a port in use, and a wrong origin", async () => {
  await using here = await trained();
  await using server = await start(here);
  const { port } = new URL(server.url);
  const cases: [flags: string[], code: number, word: string][] = [
    [["--host", "0.0.0.0"], 2, "there is no --token"],
    [["--token", ""], 2, "--token is an empty text"],
    [["--allow-origin", "example.com"], 2, "it is not an origin"],
    [["--port", port], 1, "another program has the port"],
    [["runs/it"], 2, "clients would know both as it"],
    [["runs/none"], 1, "read runs/none"],
  ];
  for (const [flags, code, word] of cases) {
    const args = ["serve", "runs/it", "--device", "reference", ...flags];
    const outcome = await here.run(args);
    assertEquals(outcome.code, code, outcome.stderr);
    assertStringIncludes(outcome.stderr, word);
  }
});
