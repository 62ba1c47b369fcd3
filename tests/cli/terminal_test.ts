import { assertEquals, assertMatch } from "@std/assert";
import { visible } from "../../lib/cli/terminal.ts";

Deno.test("visible replaces what a terminal would obey, and nothing else", () => {
  const text = "to be\tor\nnot é — 𝄞";
  assertEquals(visible(text), text);
  assertEquals(visible("\x1b[2J\r\x07\x7f\x9b"), "␛[2J␍␇␡\ufffd");
  const all = Array.from(
    { length: 256 },
    (_, code) => String.fromCharCode(code),
  );
  // deno-lint-ignore no-control-regex -- these must not be left
  assertMatch(visible(all.join("")), /^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$/);
});
