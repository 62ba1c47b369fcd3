/** Elementwise kernels: the MLP's activations and the logit softcap, with their derivatives. */

import type { Activation } from "../vocabulary.ts";
import type { Builder } from "./kernel.ts";
import { elementwise } from "./pass.ts";
import { f32 } from "./text.ts";

/**
 * erfc(z) · exp(z²) / (2t) as a polynomial in t = 1 / (1 + 0.4 z), for z ≥ 0:
 * a minimax fit of erfc(z) / 2, off by at most 1.4e-8 (of the form of Abramowitz and Stegun,
 * "Handbook of Mathematical Functions", 7.1.26).
 */
const TAIL = [
  0.1159610195,
  0.0809119625,
  0.234136614,
  -0.1854533625,
  0.354573276,
  -0.1001295235,
];

/** (Φ(x) - 0.5) / x as a polynomial in x², for |x| ≤ 1.25: a minimax fit of Φ, off by at most 2.1e-9. */
const MIDDLE = [
  0.398942259,
  -0.0664899855,
  9.97150068e-3,
  -1.18270945e-3,
  1.10327337e-4,
  -6.64482848e-6,
];

/** The logistic function and its derivative, from an exponential that cannot overflow. */
const SIGMOID = `
fn sigmoid(x: F) -> F {
  let e = exp(-abs(x));
  return select(e, F(1.0f), x > F()) / (1.0f + e);
}

fn sigmoidSlope(x: F) -> F {
  let e = exp(-abs(x));
  return e / ((1.0f + e) * (1.0f + e));
}`;

/** The WGSL functions `value(x)` and `slope(x)`, the activation and its derivative, of vectors `F`. */
export const activationTexts: Readonly<Record<Activation, string>> = {
  // 0.5 (1 + tanh u) = sigmoid(2u). Beyond 30 it is 0 or 1, and x³ stays finite up to there.
  geluTanh: `${SIGMOID}

fn bent(x: F) -> F { // 2u, u = sqrt(2/π) (x + 0.044715 x³)
  let near = clamp(x, F(-30.0f), F(30.0f));
  return ${
    f32(2 * Math.sqrt(2 / Math.PI))
  } * near * (1.0f + 0.044715f * near * near);
}

fn value(x: F) -> F {
  return x * sigmoid(bent(x));
}

fn slope(x: F) -> F {
  let near = clamp(x, F(-30.0f), F(30.0f));
  let turn = ${
    f32(2 * Math.sqrt(2 / Math.PI))
  } * (1.0f + 0.134145f * near * near); // 2 du/dx
  return sigmoid(bent(x)) + near * turn * sigmoidSlope(bent(x));
}`,
  // Φ(x) from its tail, so that x·Φ(x) keeps its digits for negative x; near 0 without the
  // error of an exponential. Beyond 20 the tail is 0 in f32.
  gelu: `
fn bell(x: F) -> F { // exp(-x²/2)
  let near = clamp(x, F(-20.0f), F(20.0f));
  return exp(-0.5f * near * near);
}

fn normal(x: F) -> F { // Φ(x)
  let near = clamp(x, F(-20.0f), F(20.0f));
  let square = near * near;
  let middle = 0.5f + near * (${horner(MIDDLE, "square")});
  let t = 1.0f / (1.0f + ${f32(0.4 / Math.SQRT2)} * abs(near));
  let tail = bell(x) * t * (${horner(TAIL, "t")});
  let outside = select(tail, 1.0f - tail, x > F());
  return select(outside, middle, abs(x) < F(1.25f));
}

fn value(x: F) -> F {
  return x * normal(x);
}

fn slope(x: F) -> F {
  return normal(x) + x * ${f32(1 / Math.sqrt(2 * Math.PI))} * bell(x);
}`,
  relu: `
fn value(x: F) -> F {
  return max(x, F());
}

fn slope(x: F) -> F {
  return select(F(), F(1.0f), x > F());
}`,
  relu2: `
fn value(x: F) -> F {
  return max(x, F()) * max(x, F());
}

fn slope(x: F) -> F {
  return 2.0f * max(x, F());
}`,
};

/** c[0] + x * (c[1] + x * (c[2] + …)). */
function horner(coefficients: readonly number[], x: string): string {
  const [first, ...rest] = coefficients;
  return rest.length === 0
    ? f32(first!)
    : `${f32(first!)} + ${x} * (${horner(rest, x)})`;
}

/** y = silu(gate) · x. */
export const swiglu: Builder<"swiglu"> = elementwise("swiglu", () => ({
  declarations: SIGMOID,
  body: "y[i] = gate[i] * sigmoid(gate[i]) * x[i];",
}));

/** dgate = dy · x · silu'(gate), dx = dy · silu(gate); silu' = sigmoid + gate · sigmoid'. */
export const swigluBackward: Builder<"swigluBackward"> = elementwise(
  "swigluBackward",
  () => ({
    declarations: SIGMOID,
    body: `
let g = gate[i];
let s = sigmoid(g);
dgate[i] = dy[i] * x[i] * (s + g * sigmoidSlope(g));
dx[i] = dy[i] * g * s;`,
  }),
);

/**
 * tanh by exponentials, which neither overflows nor, near 0, loses digits: below 0.5 it is
 * x · (1 + x² · P(x²)), a minimax fit that is off by 1.5e-8 of its value at most.
 */
const TANH = `
fn tanhOf(x: F) -> F {
  let size = min(abs(x), F(20.0f));
  let square = size * size;
  let near = size + size * square * (-0.333331439f + square * (0.133258784f + square * (-0.0530454532f + square * 0.0172413935f)));
  let e = exp(-2.0f * size);
  let far = (1.0f - e) / (1.0f + e);
  return sign(x) * select(far, near, size < F(0.5f));
}`;

/** y = cap · tanh(x / cap). */
export const softcap: Builder<"softcap"> = elementwise(
  "softcap",
  ({ cap }) => ({
    declarations: TANH,
    body: `y[i] = ${f32(cap)} * tanhOf(x[i] / ${f32(cap)});`,
  }),
);

/** dx = dy · (1 - (y / cap)²). */
export const softcapBackward: Builder<"softcapBackward"> = elementwise(
  "softcapBackward",
  ({ cap }) => ({
    body: `
let t = y[i] / ${f32(cap)};
dx[i] = dy[i] * (1.0f - t) * (1.0f + t);`,
  }),
);
