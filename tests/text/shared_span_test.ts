import { assert, assertEquals } from "@std/assert";
import { longestSharedSpan } from "../../lib/text/shared_span.ts";
import { randomIds } from "../../lib/checks/variants.ts";

/** By trying all stretches, the longest first. */
function byTrying(text: string, other: string) {
  for (let length = text.length; length > 0; length--) {
    for (let start = 0; start + length <= text.length; start++) {
      if (other.includes(text.slice(start, start + length))) {
        return { start, length };
      }
    }
  }
  return { start: 0, length: 0 };
}

function randomText(length: number, letters: number, seed: number): string {
  const ids = randomIds(length, { vocabSize: letters, seed });
  return Array.from(ids, (id) => String.fromCharCode(97 + id)).join("");
}

Deno.test("longestSharedSpan finds the span that brute force finds", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const letters = 1 + seed % 4;
    const text = randomText(seed % 37, letters, seed);
    const other = randomText((seed * 7) % 53, letters + 1, seed + 1000);
    assertEquals(
      longestSharedSpan(text, other),
      byTrying(text, other),
      `${text} in ${other}`,
    );
  }
});

Deno.test("longestSharedSpan accepts empty and equal texts", () => {
  assertEquals(longestSharedSpan("", "abc").length, 0);
  assertEquals(longestSharedSpan("abc", "").length, 0);
  assertEquals(longestSharedSpan("héllo 🎭", "héllo 🎭").length, 8);
});

Deno.test("longestSharedSpan takes time that grows with the lengths, not their product", () => {
  const text = randomText(20_000, 3, 1) + "z".repeat(500);
  const other = randomText(400_000, 3, 2) + "z".repeat(400);
  const begun = performance.now();
  assertEquals(longestSharedSpan(text, other).length, 400);
  // About a second; comparing all pairs of places would take an hour.
  assert(performance.now() - begun < 30_000);
});

Deno.test("longestSharedSpan finds a passage planted in a long text", () => {
  const size = 600_000;
  const [text, other] = [11, 12].map((seed) =>
    new TextDecoder().decode(
      Uint8Array.from(
        randomIds(size, { vocabSize: 4, seed }),
        (id) => 97 + id,
      ),
    )
  );
  const planted = "abcd".repeat(30);
  const { start, length } = longestSharedSpan(
    text!.slice(0, 400_000) + planted + text!.slice(400_000),
    `${other}${planted}`,
  );
  // A character or two more may be the same by chance.
  assert(length >= planted.length && length < planted.length + 10);
  assert(start <= 400_000 && start > 400_000 - 10);
});

Deno.test("longestSharedSpan gives the first occurrence, whichever text is shorter", () => {
  assertEquals(longestSharedSpan("xabyabzab", "ab"), { start: 1, length: 2 });
  assertEquals(longestSharedSpan("ab", "xabyabzab"), { start: 0, length: 2 });
  assertEquals(longestSharedSpan("cd ab ef", "ef--ab--cd--"), {
    start: 0,
    length: 2,
  });
});
