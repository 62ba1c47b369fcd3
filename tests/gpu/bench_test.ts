/** A rehearsal of `bench/gpu.ts`: every part runs on whatever adapter there is. */

import { assert, assertEquals, assertGreater } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { gpuTest } from "./adapter.ts";

const script = fromFileUrl(new URL("../../bench/gpu.ts", import.meta.url));

/** Parts without PyTorch, which is tried by hand: it takes seconds to load, and CI does not have it. */
const names = [
  ...["adapter", "conformance-workgroup", "conformance-register", "against"],
  ...["overheads", "roofline", "products", "rows", "steps", "text", "nano-gpu"],
];

gpuTest(
  "bench/gpu.ts --quick runs every part, and writes what it measured",
  async () => {
    const out = await Deno.makeTempDir();
    try {
      const { success, stdout } = await new Deno.Command(Deno.execPath(), {
        args: [
          ...["run", "-A", script, "--quick", "--out", out],
          ...["--only", names.join()],
        ],
      }).output();
      const text = new TextDecoder().decode(stdout);
      assert(success, text);
      const data = (name: string) => {
        const json = Deno.readTextFileSync(join(out, `${name}.json`));
        const { outcome, data } = JSON.parse(json);
        assertEquals(outcome, "ok", name);
        return data;
      };
      for (const name of names) data(name);
      assertEquals(data("conformance-register").faults, []);
      assertEquals(data("against").length, 2);
      assertGreater(data("roofline").multiplyAddGflops, 0);
      assertGreater(data("products").timed[0].gflops, 0);
      assertGreater(data("rows").tiny.subgroups, 0);
      assertGreater(data("steps")[0].ops.length, 20);
      assertGreater(data("nano-gpu").valLoss, 0);
    } finally {
      await Deno.remove(out, { recursive: true });
    }
  },
);

gpuTest("bench/gpu.ts refuses a part that there is not, by name", async () => {
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", script, "--only", "adapter,rooflin"],
  }).output();
  assertEquals(code, 2);
  assert(new TextDecoder().decode(stderr).includes("there is no part rooflin"));
});
