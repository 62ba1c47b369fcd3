import { assertEquals } from "@std/assert";
import { markup } from "../../lib/report/markup.ts";

Deno.test("Markup escapes what is put into it, and only once", () => {
  const name = `<a href="x">'&`;
  const inner = markup`<b title="${name}">${name}</b>`;
  const escaped = "&lt;a href=&quot;x&quot;&gt;&#39;&amp;";
  assertEquals(inner.text, `<b title="${escaped}">${escaped}</b>`);
  assertEquals(
    markup`${[inner, undefined, false, 0, [" & "]]}`.text,
    `${inner.text}0 &amp; `,
  );
});
