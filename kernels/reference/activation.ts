/** Reference kernels of functions of one number, and their derivatives: the activations, SwiGLU and the logit softcap. */

import type { Activation, KernelDims } from "../vocabulary.ts";
import { erfc } from "./erf.ts";
import type { F64 } from "./kernel.ts";

/** An activation f and its derivative f′. */
interface Curve {
  readonly value: (x: number) => number;
  readonly slope: (x: number) => number;
}

const GELU_SCALE = Math.sqrt(2 / Math.PI);
const GELU_CUBE = 0.044715;

/** Returns the argument of the tanh in {@linkcode curves}' geluTanh: √(2/π) · (x + 0.044715 x³). */
function geluArgument(x: number): number {
  return GELU_SCALE * (x + GELU_CUBE * x ** 3);
}

/** Φ(x), the standard normal distribution function. */
function normalDistribution(x: number): number {
  return erfc(-x / Math.SQRT2) / 2;
}

/** φ(x) = Φ′(x). */
function normalDensity(x: number): number {
  return Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
}

/** The activations; {@linkcode signatures.matmul} gives their formulas. */
export const curves: Readonly<Record<Activation, Curve>> = {
  // ½x(1 + tanh u) (arXiv 1606.08415); with tanh′ = 1 - tanh² and u′ = √(2/π)(1 + 3·0.044715x²).
  geluTanh: {
    value: (x) => 0.5 * x * (1 + Math.tanh(geluArgument(x))),
    slope: (x) => {
      const tanh = Math.tanh(geluArgument(x));
      const du = GELU_SCALE * (1 + 3 * GELU_CUBE * x * x);
      return 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh * tanh) * du;
    },
  },
  // xΦ(x) (the same paper); (xΦ)′ = Φ + xφ.
  gelu: {
    value: (x) => x * normalDistribution(x),
    slope: (x) => normalDistribution(x) + x * normalDensity(x),
  },
  // max(x, 0), with derivative 0 at 0.
  relu: {
    value: (x) => Math.max(x, 0),
    slope: (x) => x > 0 ? 1 : 0,
  },
  // max(x, 0)².
  relu2: {
    value: (x) => Math.max(x, 0) ** 2,
    slope: (x) => 2 * Math.max(x, 0),
  },
};

/** y = silu(gate) · x, silu(g) = g · σ(g) (arXiv 2002.05202). */
export function swiglu(
  [y]: readonly [F64],
  [gate, x]: readonly [F64, F64],
  { n }: KernelDims["swiglu"],
): void {
  for (let i = 0; i < n; i++) y[i] = gate[i]! * sigmoid(gate[i]!) * x[i]!;
}

/** dgate = dy · x · silu′(gate), silu′ = σ(1 + g(1 - σ)); dx = dy · silu(gate). */
export function swigluBackward(
  [dgate, dx]: readonly [F64, F64],
  [dy, gate, x]: readonly [F64, F64, F64],
  { n }: KernelDims["swigluBackward"],
): void {
  for (let i = 0; i < n; i++) {
    const [d, g, value] = [dy[i]!, gate[i]!, x[i]!];
    const s = sigmoid(g);
    dgate[i] = d * value * s * (1 + g * (1 - s));
    dx[i] = d * g * s;
  }
}

/** σ(x) = 1 / (1 + exp(-x)). */
function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** y = cap · tanh(x / cap). */
export function softcap(
  [y]: readonly [F64],
  [x]: readonly [F64],
  { n, cap }: KernelDims["softcap"],
): void {
  for (let i = 0; i < n; i++) y[i] = cap * Math.tanh(x[i]! / cap);
}

/** dx = dy · (1 - tanh²(x / cap)) = dy · (1 - (y / cap)²). */
export function softcapBackward(
  [dx]: readonly [F64],
  [dy, y]: readonly [F64, F64],
  { n, cap }: KernelDims["softcapBackward"],
): void {
  for (let i = 0; i < n; i++) dx[i] = dy[i]! * (1 - (y[i]! / cap) ** 2);
}
