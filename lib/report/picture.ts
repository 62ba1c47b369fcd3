/** Standalone chart files, for use on pages outside this project. */

import type { Markup } from "./markup.ts";
import { colors } from "./style.ts";

/** Returns an SVG document in the reports' colours, light or dark as the reader prefers. */
export function picture({ text }: Markup): string {
  return text
    .replace(/<svg (?!.*xmlns=)/, '<svg xmlns="http://www.w3.org/2000/svg" ')
    .replace(
      />/,
      `><style>${colors}svg{background:var(--page);color:var(--ink);font:11px system-ui,sans-serif}</style>`,
    );
}
