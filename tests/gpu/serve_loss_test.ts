/** A server whose GPU is lost. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { command, SMALL, Workplace } from "../cli/process.ts";
import { gpuTest } from "./adapter.ts";

for (const stream of [false, true]) {
  gpuTest(
    `serve ends with the reason when its GPU is lost${
      stream ? " in the middle of a stream" : ""
    }`,
    async () => {
      await using here = await Workplace.create();
      await here.run(["train", ...SMALL, "--out", "it"]);
      const preload = new URL("losing_adapter.ts", import.meta.url);
      const child = command(
        ["serve", "it", "--device", "webgpu", "--port", "0"],
        {
          cwd: here.path,
          permissions: [`--preload=${fromFileUrl(preload)}`],
        },
      ).spawn();
      const output = child.stderr.pipeThrough(new TextDecoderStream());
      let printed = "";
      let answer: Promise<string> | undefined;
      for await (const text of output) {
        printed += text;
        const url = /http:\S+(?=\/v1\n)/.exec(printed)?.[0];
        if (url === undefined || answer !== undefined) continue;
        const body = JSON.stringify({ prompt: "the", stream });
        answer = fetch(`${url}/v1/completions`, { method: "POST", body })
          .then((response) => response.text());
      }
      assert(answer !== undefined, printed);
      assertStringIncludes(await answer, "server failed");
      assertEquals((await child.status).code, 1);
      await child.stdout.cancel();
      assertStringIncludes(printed, "the WebGPU device was lost");
    },
  );
}
