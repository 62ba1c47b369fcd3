/**
 * How far a kernel in 32 bits may be from the float64 reference. Every tolerance is derived
 * from how many roundings stand between inputs and output, not from what some
 * implementation happened to reach.
 *
 * - One rounding is off by at most u = 2^-24, relatively. Tolerances count in u.
 * - A sum of n terms rounds n times; the errors are as good as independent, so that they grow
 *   as √n: rms √(n/3) u. Over 10⁶ elements the worst lies within 5 rms: {@linkcode sum}.
 * - WGSL lets a division be off by 2.5 ulp, inverseSqrt by 2, exp(x) by 3 + 2|x|, log by 3 or
 *   2^-21 near 1 (one ulp is up to 2u): {@linkcode FUNCTION} for each. The |x| of exp does no
 *   harm here, as the exponents are negative and |x| exp(x) stays below 0.4.
 * - An error of u·s in a softmax's score s is a relative error of u·s in its probability.
 *
 * Errors are relative to the largest number of the output, or to `magnitude`, the size of the
 * terms it is made of, where these may cancel.
 */

import type { Case } from "./conformance_case.ts";
import type { Memory } from "./conformance_operands.ts";

/** The tolerance of one output. */
export interface Tolerance {
  /** In units of 2^-24. */
  readonly units: number;
  /** The least that errors are related to. */
  readonly magnitude?: number;
  /** Which part of the output an element is of, where errors are relative to the largest number of that part alone. */
  readonly partOf?: (element: number) => string;
  /** Whether the error of each element is relative to that element, not to the largest. */
  readonly elementwise?: boolean;
  /** Whether a 0 of the reference may be something tiny, being a difference of equal terms, or a limit. */
  readonly cancels?: boolean;
}

/** One rounding, relatively. */
export const UNIT: number = 2 ** -24;

/** Units for one division, root, exponential or logarithm. */
const FUNCTION = 8;

/** Units for a sum of n terms. */
function sum(n: number): number {
  return 1 + 3 * Math.sqrt(n);
}

/** An exponential and a division, in functions that flatten: far out, nothing may become something tiny. */
const smooth: Tolerance = {
  units: 3 * FUNCTION,
  magnitude: 1,
  elementwise: true,
  cancels: true,
};

const EXACT: Tolerance = { units: 0 };

/** The largest |x|. */
export function largest(data: Memory): number {
  let result = 0;
  for (const x of data) if (Math.abs(x) > result) result = Math.abs(x);
  return result;
}

/**
 * The tolerance of an output of a case.
 *
 * @param get what an input holds
 */
export function toleranceOf(
  test: Case,
  output: string,
  get: (name: string) => Memory,
): Tolerance {
  switch (test.kernel) {
    case "embedding":
      return test.dims.positions ? { units: 2, elementwise: true } : EXACT;
    case "copy":
    case "cacheAppend":
    case "selectLast":
      return EXACT;
    case "add":
      return { units: 2, elementwise: true };
    case "embeddingBackward":
      return { units: sum(test.dims.rows) };
    case "positionBackward":
      return { units: sum(test.dims.B) };
    case "matmul": {
      const { K } = test.dims;
      return { units: sum(K + 2), magnitude: Math.sqrt(K) };
    }
    case "columnSum": {
      const { rows } = test.dims;
      return { units: sum(rows), magnitude: Math.sqrt(rows) };
    }
    case "norm": {
      // The mean's error, relative to |x|, is what x - mean inherits.
      const far = Math.max(1, largest(get("x")) / 4);
      return { units: far * (sum(test.dims.C) + 2 * FUNCTION), cancels: true };
    }
    case "normBackward": {
      const magnitude = largestRoot(get("stats")) * largest(get("dy")) *
        largest(get("weight"));
      return {
        units: 2 * sum(test.dims.C) + FUNCTION,
        magnitude: magnitude / 4,
        cancels: true,
      };
    }
    case "normBackwardWeights": {
      const { rows } = test.dims;
      return {
        units: sum(rows) + 4,
        magnitude: Math.sqrt(rows),
        cancels: true,
      };
    }
    case "activation":
    case "activationBackward":
      if (test.dims.kind.startsWith("relu")) {
        return { units: 3, elementwise: true };
      }
      return smooth;
    case "swiglu":
    case "swigluBackward":
    case "softcap":
      return smooth;
    case "qkNorm":
      return { units: sum(test.dims.HS) + 2 * FUNCTION };
    case "qkNormBackward":
      return {
        units: 2 * sum(test.dims.HS) + 2 * FUNCTION,
        magnitude: largest(get("dy")),
        cancels: true,
      };
    case "rope":
      return { units: 4 };
    case "attention":
    case "attentionCached":
    case "attentionBackward":
      return attentionTolerance(test, output, get);
    case "dropout":
      return { units: 4, elementwise: true };
    case "softcapBackward":
      return { units: 8, magnitude: largest(get("dy")) };
    case "crossEntropy": {
      const { V, gradientScale } = test.dims;
      const logit = Math.max(1, largest(get("logits")));
      return output === "rowLoss"
        ? { units: sum(V) + 3 * FUNCTION, magnitude: logit, cancels: V === 1 }
        : {
          units: sum(V) + 2 * FUNCTION + logit,
          magnitude: gradientScale,
          cancels: V === 1,
        };
    }
    case "lossSum": {
      const { rows, scale } = test.dims;
      return { units: sum(rows) + 2, magnitude: scale * Math.sqrt(rows) };
    }
    case "squareSum": {
      const { n, parts } = test.dims;
      return { units: sum(Math.ceil(n / parts)) + 1 };
    }
    case "clip":
      return { units: sum(test.dims.parts) + 2 * FUNCTION };
    case "adamw":
      return { units: output === "params" ? 2 * FUNCTION : 4 };
    case "momentum":
    case "combine":
    case "descend":
      return { units: 6 };
    case "normalize":
      return { units: sum(test.dims.parts) + 2 * FUNCTION };
  }
}

/** The largest reciprocal root of a norm's statistics. */
function largestRoot(stats: Memory): number {
  return largest(stats.filter((_, i) => i % 2 === 1));
}

/**
 * Scores are dot products of HS terms; each query sums over up to T keys, and each key over up
 * to T queries of its group's heads.
 */
function attentionTolerance(
  test: Extract<Case, { kernel: `attention${string}` }>,
  output: string,
  get: (name: string) => Memory,
): Tolerance {
  const { T, NH, NKV, HS, scale } = test.dims;
  const keys = "L" in test.dims ? test.dims.L : T;
  // Scores of standard normal queries and keys; ALiBi's bias and the mask's value are exact.
  const score = scale * Math.sqrt(HS);
  const probability = FUNCTION + 4 * score * sum(HS);
  switch (output) {
    case "lse":
      return { units: probability + sum(keys), magnitude: Math.max(1, score) };
    case "y":
      return { units: probability + sum(keys), magnitude: 1 };
    default: {
      // dqkv: p (dp - delta), dp and delta of size √HS, times keys or queries of size 1. A key meets
      // the most queries; how many keys a query meets is no more.
      const terms = T * NH / NKV;
      const given = largest(get("lse")); // Its own rounding is an error of the probability.
      return {
        units: probability + given + sum(terms) + sum(HS),
        magnitude: Math.max(1, score),
        partOf: (element) => {
          const head = Math.floor(element / HS) % (NH + 2 * NKV);
          return head < NH ? "query" : head < NH + NKV ? "key" : "value";
        },
        cancels: true,
      };
    }
  }
}
