/** Reads a manifest, has it validated as Kubernetes' own schemas say, and prints its documents as JSON. */

import { readFile } from "node:fs/promises";
import process from "node:process";
import { Job } from "kubernetes-models/batch/v1";
import { PersistentVolumeClaim } from "kubernetes-models/v1";
import { parseAllDocuments } from "yaml";

const kinds = { Job, PersistentVolumeClaim };

const text = await readFile(process.argv[2], "utf8");
const documents = parseAllDocuments(text, { strict: true }).map((document) => {
  if (document.errors.length > 0) throw document.errors[0];
  return document.toJS();
});
for (const document of documents) new kinds[document.kind](document).validate();
console.log(JSON.stringify(documents));
