import { assert, assertAlmostEquals, assertThrows } from "@std/assert";
import {
  fitPowerLaw,
  type LossPoint,
  predictedLoss,
} from "../../lib/lab/scaling/power_law.ts";

const law = {
  floor: 1.2,
  size: { factor: 40, exponent: 0.45 },
  data: { factor: 900, exponent: 0.6 },
  residual: 0,
};

function points(noise = 0): LossPoint[] {
  const sizes = [8e3, 16e3, 32e3, 64e3, 128e3];
  const amounts = [2e5, 5e5, 1e6, 2e6];
  return sizes.flatMap((parameters, i) =>
    amounts.map((tokens, j) => ({
      parameters,
      tokens,
      valLoss: predictedLoss(law, { parameters, tokens }) +
        noise * ((i * 7 + j * 3) % 5 - 2),
    }))
  );
}

Deno.test("A fit finds the law that made the losses", () => {
  const fitted = fitPowerLaw(points());
  assertAlmostEquals(fitted.floor, law.floor, 1e-2);
  assertAlmostEquals(fitted.size.exponent, law.size.exponent, 1e-2);
  assertAlmostEquals(fitted.data.exponent, law.data.exponent, 1e-2);
  assert(fitted.residual < 1e-3, `${fitted.residual}`);
});

Deno.test("A law of noisy losses predicts a size that it has not seen", () => {
  const fitted = fitPowerLaw(points(0.002));
  const place = { parameters: 256e3, tokens: 2e6 };
  assertAlmostEquals(
    predictedLoss(fitted, place),
    predictedLoss(law, place),
    0.02,
  );
  assert(fitted.residual > 1e-3 && fitted.residual < 4e-3);
});

Deno.test("Points that do not determine a law are refused", () => {
  const few = points().slice(0, 5);
  assertThrows(() => fitPowerLaw(few), RangeError, "5 points: it takes 6");
  const oneAmount = points().filter(({ tokens }) => tokens === 1e6);
  assertThrows(() => fitPowerLaw([...oneAmount, ...oneAmount]), RangeError);
  const rising = points().map((point) => ({
    ...point,
    valLoss: -point.valLoss,
  }));
  assertThrows(() => fitPowerLaw(rising), RangeError, "do not fall");
});
