/** Prints a document as Markdown. Its charts are left out, and so are sections of nothing but charts. */

import {
  type Block,
  type Document,
  present,
  type Sample,
  type Section,
  type Table,
} from "./document.ts";
import { isNumber } from "./numbers.ts";

/** Characters in a line of a sample. */
const WIDTH = 76;

/** Returns the whole document. */
export function markdown(
  { title, lead, blocks, sections, source }: Document,
): string {
  const text = [
    `# ${title}`,
    ...lead,
    ...blocks.flatMap(markdownBlock),
    ...sections.flatMap(sectionBlocks),
    source,
  ].join("\n\n");
  const anchors = new Map(sections.map(({ id, title }) => [id, anchor(title)]));
  return `${
    text.replaceAll(
      /\]\(#([^)]+)\)/g,
      (link, id) => anchors.has(id) ? `](#${anchors.get(id)})` : link,
    )
  }\n`;
}

/** Returns one section. */
export function markdownSection(part: Section): string {
  return `${sectionBlocks(part).join("\n\n")}\n`;
}

/** Returns the anchor that GitHub gives to the heading of a section. */
function anchor(title: string): string {
  return title.toLowerCase().replaceAll(/[^\p{L}\p{N}\-_ ]/gu, "")
    .replaceAll(" ", "-");
}

function sectionBlocks({ title, about, blocks }: Section): string[] {
  const paragraphs = blocks.flatMap(markdownBlock);
  if (blocks.length > 0 && paragraphs.length === 0) return [];
  return [
    `## ${title}`,
    ...about === undefined || about === "" ? [] : [about],
    ...paragraphs,
  ];
}

/** Returns the paragraphs of a block. */
export function markdownBlock(block: Block): string[] {
  switch (block.kind) {
    case "heading":
      return [`### ${block.text}`];
    case "text":
      return [block.text];
    case "note":
      return [`**${block.text}**`];
    case "code":
      return [fenced(block.text, block.language)];
    case "samples":
      return block.samples.flatMap(sample);
    case "facts":
      return [
        block.facts.map(({ name, value, about }) =>
          `- ${name}: ${value}${about === undefined ? "" : ` (${about})`}`
        ).join("\n"),
      ];
    case "table":
      return [...present([block.folded]), table(block)];
    case "beside":
      return block.blocks.flatMap(markdownBlock);
    case "figure":
    case "figures":
      return [];
  }
}

function sample({ title, about, text }: Sample): string[] {
  const head = `**${title}**${about === undefined ? "" : ` (${about})`}`;
  return text === undefined
    ? [`${head}.`]
    : [`${head}:`, fenced(broken(text.trim()), "text")];
}

/** Breaks the long lines of a text, because viewers of Markdown do not. */
function broken(text: string): string {
  return text.replaceAll(RegExp(`[^\\n]{${WIDTH}}`, "gu"), "$&\n");
}

/** Fences a text, whatever backticks it contains. */
function fenced(text: string, language: string): string {
  const longest = Math.max(
    2,
    ...Array.from(text.matchAll(/`+/g), ([run]) => run.length),
  );
  const fence = "`".repeat(longest + 1);
  return `${fence}${language}\n${text.trim()}\n${fence}`;
}

function table({ head, rows }: Table): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map(cell).join(" | ")} |`;
  const isNumeric = (column: number) =>
    rows.every((cells) => isNumber(cells[column]!.replaceAll("**", "")));
  return [
    line(head),
    line(head.map((_, column) => isNumeric(column) ? "---:" : "---")),
    ...rows.map(line),
  ].join("\n");
}

/** Escapes text so that it stays inside its table cell. */
function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll(/\s*\n\s*/g, " ");
}
