/** The exit statuses of the command that checks recorded runs. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { goldenFile, rewritten } from "../fixtures/golden_files.ts";

const root = new URL("../../", import.meta.url);

async function verify(...args: string[]): Promise<[code: number, out: string]> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "tools/verify.ts", ...args],
    cwd: root,
  });
  const { code, stdout, stderr } = await command.output();
  const text = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return [code, text.join("")];
}

Deno.test("The verify command exits with 0 if all quantities agree, 1 on a miss or an unreadable file, 2 on wrong usage", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const write = async (name: string, bytes: Uint8Array) => {
      await Deno.writeFile(`${folder}/${name}`, bytes);
      return `${folder}/${name}`;
    };
    const good = await write("good", goldenFile("rotation-half"));
    const wrong = await write(
      "wrong",
      rewritten("rotation-half", ({ tensors }) => {
        (tensors.get("dq")!.data as Float64Array)[0]! += 1;
      }),
    );
    const odd = await write("odd", new Uint8Array(100));
    const [ok, table] = await verify("--device", "reference", good);
    assertEquals(ok, 0, table);
    assertStringIncludes(table, "scores");
    const [miss, missed] = await verify(wrong, good);
    assertEquals(miss, 1, missed);
    assertStringIncludes(missed, "missed: dq: dq[0]");
    assertEquals((await verify(good, odd))[0], 1);
    assertEquals((await verify(`${folder}/absent`))[0], 1);
    assertEquals((await verify())[0], 2);
    assertEquals((await verify("--devise", "reference", good))[0], 2);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
