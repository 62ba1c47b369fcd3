import { assertStringIncludes } from "@std/assert";
import { frontChart } from "../../../lib/lab/minimal/front_chart.ts";
import { Plotter } from "../../../lib/report/plotter.ts";
import { outcomeOf } from "../../lab/outcomes.ts";

Deno.test("The front chart names the winners of losses, and what others reached", async () => {
  const outcome = outcomeOf("small", { parameters: 44_352, valLoss: 1.71 });
  const winner = [outcome];
  const { text } = frontChart(await Plotter.open(), {
    rounds: [[], [], winner],
    confirmed: winner,
    answers: [{ target: 1.732, winner, found: outcome, cheapest: outcome }],
    known: [{ name: "the original", parameters: 826_240, loss: 1.732 }],
  }, { width: 840, height: 420 });
  assertStringIncludes(text, ">the original: 826,240<");
  assertStringIncludes(text, ">44,352<");
  assertStringIncludes(text, ">loss 1.732<");
});
