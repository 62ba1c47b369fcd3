import { assertEquals, assertMatch } from "@std/assert";
import { showsUnicode, visible } from "../../lib/cli/terminal/terminal.ts";

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

Deno.test("More than ASCII is drawn where the locale says UTF-8", () => {
  const cases: [env: Record<string, string>, os: string, shows: boolean][] = [
    [{}, "linux", false],
    [{ LANG: "C" }, "linux", false],
    [{ LANG: "en_US.UTF-8" }, "linux", true],
    [{ LANG: "C.utf8" }, "linux", true],
    [{ LANG: "de_DE.ISO-8859-1" }, "darwin", false],
    [{ LANG: "en_US.UTF-8", LC_ALL: "C" }, "linux", false],
    [{ LANG: "en_US.UTF-8", LC_ALL: "" }, "linux", true],
    [{ LANG: "C", LC_CTYPE: "UTF-8" }, "darwin", true],
    [{ LC_ALL: "C", LC_CTYPE: "UTF-8" }, "darwin", false],
    [{ LANG: "en_US.UTF-8", TERM: "dumb" }, "linux", false],
    [{ LANG: "en_US.UTF-8" }, "windows", false],
    [{ WT_SESSION: "1" }, "windows", true],
  ];
  for (const [env, os, shows] of cases) {
    assertEquals(showsUnicode((name) => env[name], os), shows, `${os}`);
  }
});
