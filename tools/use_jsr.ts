/**
 * Deletes the stand-ins for jsr:@std/*, so that this tree uses JSR's packages as the
 * published one does: the `workspace` of deno.json with its comment, and tools/std.
 *
 *     deno run -A tools/use_jsr.ts [DIRECTORY]
 */

const directory = Deno.args[0] ?? ".";
const path = `${directory}/deno.json`;
const before = await Deno.readTextFile(path);
const entry = /(?:^ *\/\/.*\n)*^ {2}"workspace": \[[^\]]*\],\n/m;
const after = before.replace(entry, "");
if (after === before || after.includes('"workspace"')) {
  throw new Error(`Cannot use JSR: ${path} has no workspace to delete`);
}
await Deno.writeTextFile(path, after);
await Deno.remove(`${directory}/tools/std`, { recursive: true });
