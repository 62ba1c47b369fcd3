/** The configuration of a run, and the machine it began on. */

import { modelConfig, modelFields } from "../../config/model.ts";
import { trainConfig, trainFields } from "../../config/train.ts";
import { count } from "../../report/numbers.ts";
import { type Markup, markup } from "../../report/markup.ts";
import type { PageSection } from "../../report/page.ts";
import { corpusName, type Fields, type RunRecord } from "./run_record.ts";

/** Lists all fields, with those that the user chose in bold. */
export function configSection(run: RunRecord): PageSection {
  const { model, train, data, tokenizer, device, versions, began } = run;
  const { insteadOf, bytes, sha256 } = data;
  const vocabSize = Number(model["vocabSize"]);
  const tables: [title: string, ...tables: Markup[]][] = [
    [
      "Model",
      fieldTable(
        inOrder(model, modelFields.keys()),
        defaults(() => modelConfig({ vocabSize })),
      ),
    ],
    [
      "Training",
      fieldTable(
        inOrder(train, trainFields.keys()),
        defaults(trainConfig),
      ),
    ],
    [
      "Data",
      fieldTable({
        text: corpusName(run),
        "instead of": insteadOf,
        bytes,
        sha256: typeof sha256 === "string"
          ? `${sha256.slice(0, 12)}…`
          : undefined,
        tokenizer: tokenizer["kind"],
        vocabulary: tokenizer["vocabSize"],
      }),
      markup`<h3>Machine</h3>`,
      fieldTable({
        device: device["kind"],
        "": device["description"],
        ...versions,
        began: began?.replace("T", " ").replace(/\.\d+Z$/, " UTC"),
        directory: run.path,
      }),
    ],
  ];
  return {
    id: "configuration",
    title: "Configuration",
    about: "In bold what differs from the library's defaults.",
    content: markup`<div class="configs">${
      tables.map(([title, ...content]) =>
        markup`<div><h3>${title}</h3>${content}</div>
`
      )
    }</div>`,
  };
}

/** Sorts fields in the order of a list; fields that are not in the list come last. */
function inOrder(fields: Fields, names: Iterable<string>): Fields {
  const known = Array.from(names).filter((name) => name in fields);
  return {
    ...Object.fromEntries(known.map((name) => [name, fields[name]])),
    ...fields,
  };
}

/** Returns the defaults to compare with; none if a configuration is from another version. */
function defaults(make: () => object): Fields {
  try {
    return make() as Fields;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return {};
  }
}

function fieldTable(fields: Fields, usual: Fields = {}): Markup {
  const rows = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => {
      const row = markup`<td>${name}</td><td>${fieldText(value)}</td>`;
      return name in usual && usual[name] !== value
        ? markup`<tr class="other">${row}</tr>
`
        : markup`<tr>${row}</tr>
`;
    });
  return markup`<table>${rows}</table>`;
}

/** Formats a field's value in words. */
export function fieldText(value: unknown): string {
  if (value === null || value === false) return "off";
  if (value === true) return "on";
  if (typeof value !== "number") return String(value);
  return Number.isInteger(value) && value >= 1e4
    ? count(value)
    : String(Number(value.toPrecision(12)));
}
