/**
 * Bundles the page of `lm serve` from examples/browser/playground.html and embeds it in a module of this project:
 *
 *     deno task build:playground [--check]
 *
 * With --check nothing is written; exits 1 if the embedded page does not match the sources.
 */

import { fromFileUrl, join } from "@std/path";
import { bundleScript } from "./page.ts";

const source = fromFileUrl(new URL("../examples/browser/", import.meta.url));
const target = fromFileUrl(
  new URL("../lib/serve/playground.generated.ts", import.meta.url),
);

/** Most bytes of the page. */
const MOST_BYTES = 40_000;

const read = (name: string) => Deno.readTextFile(join(source, name));

/** Returns the page with its styles and its script, and the policy that allows these alone. */
async function build(): Promise<{ html: string; policy: string }> {
  const script = await bundleScript(join(source, "playground.ts"));
  const styles = await read("style.css") + await read("playground.css");
  const style = styles.replaceAll(/\s*\n\s*/g, "\n").trim();
  let html = (await read("playground.html")).replaceAll(/\n +/g, "\n");
  const fill = (place: string, content: string) => {
    const parts = html.split(place);
    if (parts.length !== 2) {
      throw new Error(`Cannot build the page: ${place} is not there once`);
    }
    html = parts.join(content);
  };
  fill(`<link rel="stylesheet" href="style.css">`, `<style>${style}</style>`);
  fill(
    `<script src="playground.ts"></script>`,
    `<script>${script}</script>`,
  );
  const policy = [
    ...["default-src 'none'", "connect-src 'self'", "img-src data:"],
    `script-src '${await digest(script)}'`,
    `style-src '${await digest(style)}'`,
    ...["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
  ].join("; ");
  return { html, policy };
}

async function digest(text: string): Promise<string> {
  const bytes = new TextEncoder().encode(text);
  const sum = await crypto.subtle.digest("SHA-256", bytes);
  return `sha256-${new Uint8Array(sum).toBase64()}`;
}

const { html, policy } = await build();
const bytes = new TextEncoder().encode(html).length;
if (bytes > MOST_BYTES) {
  console.error(`the page has ${bytes} bytes, more than ${MOST_BYTES}`);
  Deno.exit(1);
}
const module = [
  "// Made by `deno task build:playground` from examples/browser; not to be edited.",
  "",
  "/** The page at `/`, with the policy that it needs. */",
  'export const playground: Readonly<Record<"html" | "policy", string>> = {',
  `  html: ${JSON.stringify(html)},`,
  `  policy: ${JSON.stringify(policy)},`,
  "};",
  "",
].join("\n");
if (!Deno.args.includes("--check")) {
  await Deno.writeTextFile(target, module);
  console.log(`${bytes.toLocaleString("en")} bytes`);
} else if (await Deno.readTextFile(target) !== module) {
  console.error(
    "lib/serve/playground.generated.ts is not what examples/browser makes: run deno task build:playground",
  );
  Deno.exit(1);
}
