/** Hints for paths that hold something other than a command reads. */

import { dirname, join } from "@std/path";
import { program } from "../command/program.ts";
import { files } from "./directory.ts";
import { newestHint } from "./folder.ts";

/** Bytes of a file that tell its kind. */
const HEAD = 1024;

/** Files by which folders of other programs' models are known. */
const foreignNames: ReadonlySet<string> = new Set([
  ...["model.safetensors", "model.safetensors.index.json", "ckpt.pt"],
  "pytorch_model.bin",
]);

/** Content of a path: a run, a model of another program at a path that `import` takes, a study, or text. */
type Content =
  | { readonly kind: "run" | "study" | "text" | "other" }
  | { readonly kind: "model"; readonly path: string };

/** Looks at a path; one that cannot be read holds nothing that is known. */
async function contentOf(path: string): Promise<Content> {
  try {
    const { isDirectory, isFile } = await Deno.stat(path);
    if (isDirectory) return contentOfFolder(path);
    return isFile ? await contentOfFile(path) : { kind: "other" };
  } catch {
    return { kind: "other" };
  }
}

function contentOfFolder(path: string): Content {
  const names = Array.from(Deno.readDirSync(path), ({ name }) => name).sort();
  if (names.includes(files.checkpoint) || names.includes(files.metrics)) {
    return { kind: "run" };
  }
  if (names.some((name) => foreignNames.has(name))) {
    return { kind: "model", path };
  }
  const gguf = names.find((name) => name.endsWith(".gguf"));
  if (gguf !== undefined) return { kind: "model", path: join(path, gguf) };
  return { kind: names.includes("plan.json") ? "study" : "other" };
}

async function contentOfFile(path: string): Promise<Content> {
  using file = await Deno.open(path);
  const bytes = new Uint8Array(HEAD);
  const head = bytes.subarray(0, await file.read(bytes) ?? 0);
  const text = new TextDecoder("latin1").decode(head);
  const isTorch = text.startsWith("PK\x03\x04") && path.endsWith(".pt");
  if (text.startsWith("GGUF") || isTorch) return { kind: "model", path };
  // A safetensors file: the length of its header, and JSON.
  if (text.slice(4, 9) === "\0\0\0\0{") {
    return text.includes('"format":"lm"')
      ? { kind: "run" }
      : { kind: "model", path: dirname(path) };
  }
  const isText = head.length > 0 && !head.includes(0) &&
    !new TextDecoder().decode(head, { stream: true }).includes("\ufffd");
  return { kind: isText ? "text" : "other" };
}

/**
 * Returns a hint for a path that holds no run that can be read.
 *
 * @param otherwise the hint if the path's content suggests none; by default it names the newest run
 */
export async function runRemedy(
  path: string,
  otherwise?: string,
): Promise<string> {
  const content = await contentOf(path);
  switch (content.kind) {
    case "model":
      return `${program()} import ${content.path} makes a run of another program's model`;
    case "study":
      return `it is a study: ${program()} lab report ${path}`;
    case "text":
      return `${program()} train --data ${path} trains on a text`;
    default:
      return otherwise ?? await newestHint() ??
        `${program()} train makes a run`;
  }
}

/** Returns a hint for a path that holds no model of another program; undefined if it holds one, which cannot be read. */
export async function modelRemedy(path: string): Promise<string | undefined> {
  const content = await contentOf(path);
  if (content.kind === "run") {
    return `it is a run already: ${program()} sample ${path}`;
  }
  if (content.kind === "model") {
    return content.path === path
      ? undefined
      : `${program()} import ${content.path}`;
  }
  return "import takes a folder with config.json and model.safetensors, nanoGPT's ckpt.pt, or a GGUF file";
}

/** Returns whether a path holds a model of another program. */
export async function isForeign(path: string): Promise<boolean> {
  return (await contentOf(path)).kind === "model";
}
