/**
 * Puts tiny Shakespeare, checked against its sum, where tests look for it:
 *
 *     deno run -A tools/fetch_data.ts DIRECTORY
 *     LM_DATA_DIR=DIRECTORY deno task test
 */

import { join } from "@std/path";
import { loadDataset } from "../data/load.ts";

const [directory] = Deno.args;
if (directory === undefined) {
  console.error("usage: deno run -A tools/fetch_data.ts DIRECTORY");
  Deno.exit(2);
}
await Deno.mkdir(directory, { recursive: true });
const name = "tinyshakespeare";
const { text } = await loadDataset(name, { cacheDir: directory });
await Deno.writeTextFile(join(directory, `${name}.txt`), text);
