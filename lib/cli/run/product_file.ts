/** File of the fastest variants of matrix products, by adapter; `bench/tune.ts` measures them. */

import { dirname, join } from "@std/path";
import { cacheDirectory } from "../../../data/load.ts";
import type { ProductTables } from "../../backends/backend.ts";
import { VERSION } from "../command/program.ts";

/** Versions of the programs that measured; tables of others do not count, as they may name other variants. */
const version = `lm ${VERSION}, Deno ${Deno.version.deno}`;

/** Returns the path of the file; undefined where there is no cache. */
export function productFile(): string | undefined {
  const cache = cacheDirectory();
  return cache === undefined ? undefined : join(cache, "products.json");
}

/** Returns the tables in a file; undefined if it has none of this version, or if reading it is not permitted. */
export function readProductTables(
  path: string | undefined = productFile(),
): ProductTables | undefined {
  if (path === undefined) return undefined;
  // The tables only make products faster, which is not worth a permission prompt.
  const { state } = Deno.permissions.querySync({ name: "read", path });
  if (state !== "granted") return undefined;
  try {
    const content = Object(JSON.parse(Deno.readTextFileSync(path)));
    return content.version === version && isTables(content.tables)
      ? content.tables
      : undefined;
  } catch (error) {
    const isFileError = error instanceof Error && error.name in Deno.errors;
    if (error instanceof SyntaxError || isFileError) return undefined;
    throw error;
  }
}

/** Writes tables to a file, beside it first. */
export async function writeProductTables(
  path: string,
  tables: ProductTables,
): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  const partial = `${path}.${Deno.pid}.partial`;
  const text = JSON.stringify({ version, tables }, null, 1);
  await Deno.writeTextFile(partial, `${text}\n`);
  await Deno.rename(partial, path);
}

function isTables(value: unknown): value is ProductTables {
  return isRecord(value) &&
    Object.values(value).every((table) =>
      isRecord(table) &&
      Object.values(table).every((name) => typeof name === "string")
    );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
