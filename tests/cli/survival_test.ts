/** The fault injections of tools/, briefly; bench/RESULTS.md says what they found at length. */

import { assertEquals, assertMatch } from "@std/assert";
import { fromFileUrl } from "@std/path";

async function runTool(name: string, ...args: string[]): Promise<string> {
  const tool = fromFileUrl(new URL(`../../tools/${name}`, import.meta.url));
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", tool, ...args],
  }).output();
  const said = new TextDecoder().decode(stdout);
  assertEquals(code, 0, said + new TextDecoder().decode(stderr));
  return said;
}

Deno.test({
  name: "train survives kills at random moments",
  ignore: Deno.build.os === "windows", // which has no SIGKILL
  fn: async () => {
    const said = await runTool("kill_runs.ts", "--kills", "5", "--seed", "2");
    assertMatch(said, /^5 kills [^]* runs survived, 0 lost;/m);
  },
});

Deno.test({
  name: "The program accepts or refuses damaged files, and never crashes",
  ignore: Deno.build.os !== "linux", // whose devices are among the names
  fn: async () => {
    const cases = ["--cases", "200", "--seed", "3"];
    const said = await runTool("fuzz_files.ts", ...cases);
    assertMatch(said, /^200 cases, 0 wrong;/m);
  },
});
