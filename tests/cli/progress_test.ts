import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  logText,
  secondsLeft,
  statusText,
} from "../../lib/cli/terminal/progress.ts";
import { compact } from "../../lib/report/numbers.ts";
import { duration } from "../../lib/report/numbers.ts";

const progress = {
  step: 1250,
  maxSteps: 5000,
  loss: 1.8944,
  valLoss: 1.9751,
  tokensPerSecond: 58_230,
  secondsLeft: 754,
};

Deno.test("statusText shows everything where there is room", () => {
  assertEquals(
    statusText(progress, 100),
    "━━━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  1250/5000  loss 1.894  val 1.975  58k tokens/s  12:34 left",
  );
});

Deno.test("statusText is never wider than it may be", () => {
  for (let width = 0; width <= 200; width++) {
    assert(statusText(progress, width).length <= width, String(width));
  }
});

Deno.test("statusText gives up the least important first", () => {
  const at = (width: number) => statusText(progress, width);
  assertEquals(
    at(59),
    "1250/5000  loss 1.894  val 1.975  58k tokens/s  12:34 left",
  );
  assertEquals(at(50), "1250/5000  loss 1.894  val 1.975  12:34 left");
  assertEquals(at(36), "1250/5000  loss 1.894  12:34 left");
  assertEquals(at(25), "1250/5000  loss 1.894");
  assertEquals(at(12), "1250/5000");
  assertEquals(at(5), "");
});

Deno.test("statusText fills its bar with the share of steps done", () => {
  const bar = (step: number) =>
    statusText({ step, maxSteps: 40 }, 80).replace(/[^━]/g, "").length;
  assertEquals([bar(0), bar(20), bar(40)], [0, 15, 30]);
});

Deno.test("statusText says what goes on in place of the time left", () => {
  const text = statusText({ ...progress, doing: "evaluating" }, 80);
  assertStringIncludes(text, "evaluating");
  assert(!text.includes("left"));
});

Deno.test("logText says a step in full", () => {
  assertEquals(
    logText({ ...progress, gradNorm: 0.98765, rate: 1e-3 }),
    "step 1250/5000, loss 1.894, gradient norm 0.988, learning rate 0.001, 58k tokens/s, 12:34 left",
  );
});

Deno.test("compact keeps two or three digits", () => {
  const given = [0, 7.4, 950, 999.6, 5_800, 58_230, 826_240, 1.24e6, 5e9];
  assertEquals(
    given.map(compact),
    ["0", "7", "950", "1000", "5.8k", "58k", "826k", "1.2M", "5.0G"],
  );
});

Deno.test("duration counts hours only where there are some", () => {
  assertEquals(
    [0, 0.4, 42, 59.6, 754, 3723].map(duration),
    ["0:00", "0:00", "0:42", "1:00", "12:34", "1:02:03"],
  );
});

Deno.test("secondsLeft counts the evaluations to come, and ends at the deadline", () => {
  const run = { step: 10, maxSteps: 100, perStep: 2, perEvaluation: 5 };
  const left = (evalInterval: number, untilDeadline = Infinity) =>
    secondsLeft({ ...run, evalInterval, untilDeadline });
  assertEquals(left(0), 2 * 90 + 5); // the last one
  assertEquals(left(30), 2 * 90 + 5 * 4); // after 30, 60, 90 and 100
  assertEquals(left(50), 2 * 90 + 5 * 2); // after 50 and 100
  assertEquals(left(0, 60), 60);
  assertEquals(left(0, 1e6), 2 * 90 + 5);
});
