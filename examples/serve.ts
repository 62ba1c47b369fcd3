/**
 * A web page on which a model continues a text, shown while it is written:
 *
 *     deno run -A examples/serve.ts [MODEL] [PORT]
 *
 * `examples/train.ts` makes a model.
 */

import { Model } from "@lm/core";

const [path = "model.safetensors", port = "8000"] = Deno.args;
await using model = await Model.load(await Deno.readFile(path));

const page = `<!doctype html>
<meta charset="utf-8">
<title>lm</title>
<form><input name="prompt" value="The "> <button>Continue</button></form>
<pre></pre>
<script type="module">
  const [form] = document.forms;
  form.onsubmit = async (event) => {
    event.preventDefault();
    const output = document.querySelector("pre");
    const query = new URLSearchParams(new FormData(form));
    const response = await fetch("/write?" + query);
    output.textContent = response.ok ? form.prompt.value : "";
    const pieces = response.body.pipeThrough(new TextDecoderStream());
    for await (const piece of pieces) output.append(piece);
  };
</script>`;

function answer(request: Request): Response {
  const { pathname, searchParams } = new URL(request.url);
  if (pathname === "/") {
    return new Response(page, { headers: { "content-type": "text/html" } });
  }
  if (pathname !== "/write") return new Response("not found", { status: 404 });
  const prompt = searchParams.get("prompt") ?? "";
  const options = { temperature: 0.8, topK: 10, maxNewTokens: 400 };
  let pieces: AsyncGenerator<string>;
  try {
    pieces = model.write(prompt, options);
  } catch (error) {
    // An empty prompt, or a character that the model does not know.
    return new Response(String(error), { status: 400 });
  }
  // A stream that is cancelled, because its reader left, ends the text and frees its memory.
  const bytes = ReadableStream.from(pieces).pipeThrough(
    new TextEncoderStream(),
  );
  return new Response(bytes, {
    headers: { "content-type": "text/plain; charset=utf-8" },
  });
}

// Until Ctrl-C: without the wait the model would be closed at once.
await Deno.serve({ port: Number(port) }, answer).finished;
