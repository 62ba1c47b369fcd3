/** The MLP's activations with their derivatives: elementwise, no more. */

import type { Activation, KernelDims } from "../vocabulary.ts";
import type { Builder } from "./kernel.ts";
import {
  input,
  invocations,
  lanesOf,
  output,
  single,
  vectorOf,
} from "./pass.ts";
import { f32 } from "./text.ts";

/**
 * erfc(z) · exp(z²) / 2 as a polynomial in t = 1 / (1 + 0.4 z), without constant term, for z ≥ 0:
 * a minimax fit of erfc(z) / 2, off by at most 1.4e-8. (The form is that of Hastings,
 * "Approximations for Digital Computers", 1955, sheet 43.)
 */
const TAIL = [
  0.1159610195,
  0.0809119625,
  0.234136614,
  -0.1854533625,
  0.354573276,
  -0.1001295235,
];

/** `value(x)` and `slope(x)`, the activation and its derivative, of vectors `F`. */
const texts: Readonly<Record<Activation, string>> = {
  // 0.5 (1 + tanh u) = 1 / (1 + exp(-2u)) =: gate. Beyond 10 it is 0 or 1 in f32, and exp stays finite up to there.
  geluTanh: `
fn rise(x: F) -> F { // exp(-2u), u = sqrt(2/π) (x + 0.044715 x³)
  let near = clamp(x, F(-10.0f), F(10.0f));
  return exp(${
    f32(-2 * Math.sqrt(2 / Math.PI))
  } * near * (1.0f + 0.044715f * near * near));
}

fn value(x: F) -> F {
  return x / (1.0f + rise(x));
}

fn slope(x: F) -> F {
  let near = clamp(x, F(-10.0f), F(10.0f));
  let e = rise(x);
  let gate = 1.0f / (1.0f + e);
  let bend = ${
    f32(2 * Math.sqrt(2 / Math.PI))
  } * (1.0f + 0.134145f * near * near); // 2 du/dx
  return gate + near * bend * (e * gate) * gate; // e · gate = 1 - gate
}`,
  // Φ(x) from its tail, so that x·Φ(x) keeps its digits for negative x. Beyond 13 the tail is 0 in f32.
  gelu: `
fn bell(x: F) -> F { // exp(-x²/2)
  let size = min(abs(x), F(13.0f));
  return exp(-0.5f * size * size);
}

fn normal(x: F) -> F { // Φ(x)
  let t = 1.0f / (1.0f + ${f32(0.4 / Math.SQRT2)} * abs(x));
  let tail = bell(x) * ${horner(TAIL, "t")};
  return select(tail, 1.0f - tail, x > F());
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

/** `t * (c[0] + t * (c[1] + …))`. */
function horner(coefficients: readonly number[], t: string): string {
  return coefficients.reduceRight(
    (inner, c) => inner === "" ? `${t} * ${f32(c)}` : `${t} * (${f32(c)} + ${inner})`,
    "",
  );
}

/** y = value(x). */
export const activation: Builder<KernelDims["activation"]> = (
  { kind, n },
  target,
) => {
  const lanes = lanesOf(n);
  return single(invocations({
    target,
    parameters: [output(0, "y", "F"), input(1, "x", "F")],
    declarations: `alias F = ${vectorOf(lanes)};\n${texts[kind]}`,
    count: n / lanes,
    body: "y[i] = value(x[i]);",
  }));
};

/** dx = dy · slope(x). */
export const activationBackward: Builder<KernelDims["activationBackward"]> = (
  { kind, n },
  target,
) => {
  const lanes = lanesOf(n);
  return single(invocations({
    target,
    parameters: [output(0, "dx", "F"), input(1, "dy", "F"), input(2, "x", "F")],
    declarations: `alias F = ${vectorOf(lanes)};\n${texts[kind]}`,
    count: n / lanes,
    body: "dx[i] = dy[i] * slope(x[i]);",
  }));
};

/** exp(-g), finite for any g; then silu(g) = g / (1 + exp(-g)). */
const FALL = `
fn fall(g: F) -> F {
  return exp(-clamp(g, F(-80.0f), F(80.0f)));
}`;

/** y = silu(gate) · x. */
export const swiglu: Builder<KernelDims["swiglu"]> = ({ n }, target) => {
  const lanes = lanesOf(n);
  return single(invocations({
    target,
    parameters: [
      output(0, "y", "F"),
      input(1, "gate", "F"),
      input(2, "x", "F"),
    ],
    declarations: `alias F = ${vectorOf(lanes)};\n${FALL}`,
    count: n / lanes,
    body: `
let g = gate[i];
y[i] = g / (1.0f + fall(g)) * x[i];`,
  }));
};

/** dgate = dy · x · silu'(gate), dx = dy · silu(gate); with s = 1 / (1 + exp(-g)), silu' = s + g·s·(1 - s). */
export const swigluBackward: Builder<KernelDims["swigluBackward"]> = (
  { n },
  target,
) => {
  const lanes = lanesOf(n);
  return single(invocations({
    target,
    parameters: [
      output(0, "dgate", "F"),
      output(1, "dx", "F"),
      input(2, "dy", "F"),
      input(3, "gate", "F"),
      input(4, "x", "F"),
    ],
    declarations: `alias F = ${vectorOf(lanes)};\n${FALL}`,
    count: n / lanes,
    body: `
let g = gate[i];
let e = fall(g);
let s = 1.0f / (1.0f + e);
dgate[i] = dy[i] * x[i] * (s + g * s * (e * s)); // e · s = 1 - s
dx[i] = dy[i] * g * s;`,
  }));
};
