/** What the workflows promise: limits that fit into each other, texts for the tests, and a token apart from what is tested. */

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { VERSION } from "../../lib/cli/command/program.ts";

const root = fromFileUrl(new URL("../../", import.meta.url));

function read(...path: string[]): Promise<string> {
  return Deno.readTextFile(join(root, ...path));
}

/** The text before the jobs of a workflow, and each job's own. */
async function workflow(name: string) {
  const text = await read(".github", "workflows", name);
  const [head, body] = text.split(/^jobs:\n/m);
  const parts = body!.split(/^ {2}(\w+):\n/m).slice(1);
  const jobs = new Map<string, string>();
  for (let i = 0; i < parts.length; i += 2) jobs.set(parts[i]!, parts[i + 1]!);
  return { head: head!, jobs };
}

const ci = await workflow("ci.yml");
const publish = await workflow("publish.yml");
const pages = await workflow("pages.yml");

Deno.test("A job that runs the gate leaves it all its time, and 10 minutes to set up", async () => {
  const gate = /^const GATE_SECONDS = (\d+);$/m.exec(
    await read("tools", "gate.ts"),
  );
  const most = Number(gate![1]);
  const running = [...ci.jobs.values(), ...publish.jobs.values()].filter((
    job,
  ) => job.includes("run: .ci/run"));
  assertEquals(running.length, 1);
  for (const job of running) {
    const outer = 60 * Number(/^ {4}timeout-minutes: (\d+)$/m.exec(job)![1]);
    assert(most + 600 <= outer, `${most} s in ${outer} s`);
  }
});

Deno.test("Every job that runs tests has the data set that tests read", async () => {
  for (const { jobs } of [ci, publish]) {
    for (const [name, job] of jobs) {
      if (!/run: (\.ci\/run|deno task test)/.test(job)) continue;
      assertStringIncludes(job, "uses: ./.github/actions/setup", name);
    }
  }
  const setup = await read(".github", "actions", "setup", "action.yml");
  assertMatch(setup, /fetch_data\.ts[^]*LM_DATA_DIR=.*GITHUB_ENV/);
});

Deno.test("The published tree was tested before, in a job without an identity token", () => {
  assert(!/id-token/.test(publish.head));
  assertEquals([...publish.jobs.keys()], ["test", "publish"]);
  const tested = publish.jobs.get("test")!;
  assert(!/id-token/.test(tested));
  const steps = [
    "tools/use_jsr.ts",
    "write-tree",
    "deno check",
    "deno task test\n",
    "deno task test:gpu",
    "deno task test:doc",
    "deno publish --dry-run",
    "upload-artifact",
  ].map((step) => tested.indexOf(step));
  assertEquals(steps, steps.toSorted((a, b) => a - b));
  assert(steps[0]! >= 0, "all steps are there");
  const published = publish.jobs.get("publish")!;
  assertMatch(published, /needs: test[^]*id-token: write[^]*download-artifact/);
  // It runs no code of the repository or of npm.
  assert(!/checkout|deno (run|task|test)|npm|npx|use_jsr/.test(published));
});

Deno.test("The site is built where there is no identity token, and published by what runs nothing of it", () => {
  assert(!/id-token/.test(pages.head));
  assertEquals([...pages.jobs.keys()], ["build", "deploy"]);
  const built = pages.jobs.get("build")!;
  assert(!/id-token|pages: write/.test(built));
  assertMatch(
    built,
    /actions\/setup[^]*cli\.ts train --out (\S+)\n[^]*deno task site \1\n[^]*path: site\n/,
  );
  const deployed = pages.jobs.get("deploy")!;
  assertMatch(deployed, /needs: build[^]*pages: write[^]*id-token: write/);
  assertMatch(deployed, /uses: actions\/deploy-pages@v\d+$/m);
  assert(!/checkout|run:/.test(deployed));
});

Deno.test("Each version is written in one place: Deno's in .tool-versions, lm's in deno.json", async () => {
  const deno = /^deno (\d+\.\d+\.\d+)\n$/.exec(
    await read(".tool-versions"),
  )![1]!;
  // These read it. A number of their own would be a second place.
  const readers = [
    [".ci", "run"],
    [".github", "actions", "setup", "action.yml"],
    [".github", "workflows", "ci.yml"],
    [".github", "workflows", "pages.yml"],
    [".github", "workflows", "publish.yml"],
  ];
  for (const path of readers) {
    const text = await read(...path);
    assert(!text.includes(deno), path.join("/"));
    const setups = text.split("setup-deno@").length - 1;
    const reads = text.split("deno-version-file: .tool-versions").length - 1;
    assertEquals(reads, setups, path.join("/"));
  }
  assertMatch(
    await read(".ci", "run"),
    /^read -r _ deno_version <\.tool-versions$/m,
  );
  // These have to say it.
  const said = [...(await read("README.md")).matchAll(/\bdeno@([\w.]+)/g)];
  assert(said.length > 0);
  for (const [words, version] of said) assertEquals(version, deno, words);
  const { version } = JSON.parse(
    (await read("deno.json")).replaceAll(/^ *\/\/.*$/gm, ""),
  );
  assertEquals(VERSION, version);
});

const stands = await Deno.stat(join(root, "tools", "std"))
  .then(() => true, (error) => {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  });

Deno.test({
  name: "use_jsr.ts takes the stand-ins away, and nothing else" +
    (stands ? "" : " (skipped: they are gone already)"),
  ignore: !stands,
  fn: async () => {
    const copy = await Deno.makeTempDir();
    try {
      const config = await read("deno.json");
      await Deno.writeTextFile(join(copy, "deno.json"), config);
      await Deno.mkdir(join(copy, "tools", "std", "path"), { recursive: true });
      await Deno.writeTextFile(join(copy, "tools", "lint_rooms.ts"), "");
      const run = async () => {
        const { code, stderr } = await new Deno.Command(Deno.execPath(), {
          args: ["run", "-A", join(root, "tools", "use_jsr.ts"), copy],
        }).output();
        return { code, stderr: new TextDecoder().decode(stderr) };
      };
      const { code, stderr } = await run();
      assertEquals(code, 0, stderr);
      const left = await Deno.readTextFile(join(copy, "deno.json"));
      const parsed = (json: string) =>
        JSON.parse(json.replaceAll(/^ *\/\/.*$/gm, ""));
      const { workspace, ...others } = parsed(config);
      assertEquals(workspace.length, 2);
      assertEquals(parsed(left), others);
      assert(!/stand-ins/i.test(left), "the comment is about the stand-ins");
      const tools = await Array.fromAsync(Deno.readDir(join(copy, "tools")));
      assertEquals(tools.map(({ name }) => name), ["lint_rooms.ts"]);
      const again = await run();
      assertEquals(again.code, 1);
      assertStringIncludes(again.stderr, "has no workspace to delete");
    } finally {
      await Deno.remove(copy, { recursive: true });
    }
  },
});
