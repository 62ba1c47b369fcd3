/** A first use of the program fetches no package: counted with an empty DENO_DIR, and with no registry in reach. */

import { assertEquals, assertMatch } from "@std/assert";
import { SMALL, Workplace } from "./process.ts";

const commands = [
  ["--help"],
  ["train", ...SMALL, "--out", "runs/first"],
  ["sample", "--tokens", "3", "--device", "reference"],
  ["eval", "--device", "reference"],
  ["info", "--preset", "tiny"],
  ["info", "runs/first"],
  ["list"],
  ["check", "runs/first", "--no-machine", "--device", "reference"],
  ["lab", "--help"],
];

Deno.test("A first --help, train, sample, eval, info, list and check fetch 0 packages, with no registry in reach", async () => {
  await using here = await Workplace.create();
  const env = {
    DENO_DIR: here.file("empty"),
    // Nothing answers there: whoever asks for a package fails.
    NPM_CONFIG_REGISTRY: "http://127.0.0.1:9/",
    JSR_URL: "http://127.0.0.1:9/",
  };
  let downloads = 0;
  for (const args of commands) {
    const { code, stderr } = await here.run(args, { env });
    assertEquals(code, 0, `${args.join(" ")}\n${stderr}`);
    downloads += stderr.match(/^Download/gm)?.length ?? 0;
  }
  console.log(`${downloads} downloads in ${commands.length} first commands`);
  assertEquals(downloads, 0);
  // The same surroundings show what needs packages.
  const { code, stderr } = await here.run(["report", "runs/first"], { env });
  assertEquals(code, 1);
  assertMatch(stderr, /Cannot draw: the packages .*@observablehq\/plot/);
});
