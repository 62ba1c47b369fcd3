/**
 * Tolerances of kernels in 32 bits against the float64 reference. Every tolerance is derived
 * from the number of roundings between inputs and output, not from the error of some
 * implementation.
 *
 * - One rounding has a relative error of at most u = 2^-24. Tolerances are in units of u.
 * - A sum of n terms rounds n times. The errors are nearly independent, so they grow as √n:
 *   rms √(n/3) u. Over 10⁶ elements the largest error is within 5 rms: {@linkcode sum}.
 * - WGSL allows an error of 2.5 ulp for a division, 2 for inverseSqrt, 3 + 2|x| for exp(x), and 3
 *   or 2^-21 near 1 for log (one ulp is up to 2u): {@linkcode FUNCTION} for each. The |x| of exp is
 *   harmless here, since the exponents are negative and |x| exp(x) stays below 0.4.
 * - An error of u·s in a softmax's score s is a relative error of u·s in its probability.
 *
 * Errors are relative to the largest number of the output, or, if terms may cancel, to
 * `magnitude`, the size of the terms.
 */

import type { Activation } from "../../kernels/vocabulary.ts";
import type { Case } from "./conformance_case.ts";
import type { Memory } from "./conformance_operands.ts";

/** Tolerance of one output. */
export interface Tolerance {
  /** Tolerance in units of 2^-24. */
  readonly units: number;
  /** Smallest size that errors are relative to. */
  readonly magnitude?: number;
  /** Returns the part of an element; errors are then relative to the largest number of the part. */
  readonly partOf?: (element: number) => string;
  /** True if errors are relative to each element itself rather than to the largest one. */
  readonly elementwise?: boolean;
  /** True if a tiny number may replace a 0 of the reference that is a limit or a difference of equal terms. */
  readonly cancels?: boolean;
}

/** Relative error of one rounding. */
export const UNIT: number = 2 ** -24;

/** Units for one division, root, exponential or logarithm. */
const FUNCTION = 8;

/** Units for a sum of n terms. */
function sum(n: number): number {
  return 1 + 3 * Math.sqrt(n);
}

/** Tolerance of an exponential and a division in functions with flat tails: far from 0, a tiny number may replace a 0. */
const smooth: Tolerance = {
  units: 3 * FUNCTION,
  magnitude: 1,
  elementwise: true,
  cancels: true,
};

const EXACT: Tolerance = { units: 0 };

/** Returns the largest |x|. */
export function largest(data: Memory): number {
  let result = 0;
  for (const x of data) if (Math.abs(x) > result) result = Math.abs(x);
  return result;
}

/**
 * Returns the tolerance of an output of a case.
 *
 * @param get returns the values of an input
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
    case "lastTokens":
    case "choose": // its numbers have a seed with which no sum is near the random number
      return EXACT;
    case "add":
      return { units: 2, elementwise: true };
    case "embeddingBackward":
      return { units: sum(test.dims.rows) };
    case "positionBackward":
      return { units: sum(test.dims.B) };
    case "matmul": {
      const { K, alpha, beta, activation, slope } = test.dims;
      const kind = output === "z" ? activation : slope;
      if (kind !== null && K === 1) {
        return kind.startsWith("relu")
          ? { units: 3, elementwise: true }
          : smooth;
      }
      if (kind !== null) {
        return activatedTolerance(kind, test.dims, output, get);
      }
      if (output === "db") return { units: sum(K), magnitude: Math.sqrt(K) };
      // The residual has size beta.
      const magnitude = Math.max(alpha * Math.sqrt(K), Math.abs(beta));
      return { units: sum(K + 2), magnitude };
    }
    case "norm": {
      // x - mean inherits the error of the mean, which is relative to |x|.
      const far = Math.max(1, largest(get("x")) / 4);
      return { units: far * (sum(test.dims.C) + 2 * FUNCTION), cancels: true };
    }
    case "normBackward": {
      if (output !== "dx") {
        const { rows } = test.dims;
        return {
          units: sum(rows) + 4,
          magnitude: Math.sqrt(rows),
          cancels: true,
        };
      }
      const magnitude = largestRoot(get("stats")) * largest(get("dy")) *
        largest(get("weight"));
      return {
        units: 2 * sum(test.dims.C) + FUNCTION,
        magnitude: magnitude / 4,
        cancels: true,
      };
    }
    case "swiglu":
    case "swigluBackward":
    case "softcap":
      return smooth;
    case "qkNorm":
      return { units: sum(test.dims.HS) + 2 * FUNCTION };
    case "qkNormBackward": {
      const { rows, NH, NKV, HS, gain } = test.dims;
      if (output !== "dqkv") {
        const terms = rows * (output === "dqgain" ? NH : NKV);
        return {
          units: sum(terms) + 4,
          magnitude: Math.sqrt(terms),
          cancels: true,
        };
      }
      const gains = gain
        ? Math.max(largest(get("qgain")), largest(get("kgain")))
        : 1;
      return {
        units: 2 * sum(HS) + 2 * FUNCTION,
        magnitude: largest(get("dy")) * gains,
        cancels: true,
      };
    }
    case "rope":
      return { units: 4 };
    case "attention":
    case "attentionCached":
    case "attentionBackward":
      return attentionTolerance(test, output, get);
    case "dropout":
      return { units: 4, elementwise: !test.dims.residual };
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
    case "descend":
      return { units: 6 };
    case "normalize":
      return { units: sum(test.dims.parts) + 2 * FUNCTION };
  }
}

/**
 * Returns the tolerance of a product with an activation f or its derivative f'. The slopes of f and the values of f' are at
 * most 1.13, except for relu2, where the error of y is relative to y².
 */
function activatedTolerance(
  kind: Activation,
  { K }: { readonly K: number },
  output: string,
  get: (name: string) => Memory,
): Tolerance {
  const size = Math.sqrt(K);
  const magnitude = kind !== "relu2"
    ? size
    : output === "z"
    ? size ** 2
    : 2 * size * largest(get("x"));
  return {
    units: 2 * sum(K + 2) + 3 * FUNCTION,
    magnitude,
    cancels: true,
  };
}

/** Returns the largest reciprocal root in the statistics of a norm. */
function largestRoot(stats: Memory): number {
  return largest(stats.filter((_, i) => i % 2 === 1));
}

/**
 * Returns the tolerance of attention. Scores are dot products of HS terms; each query sums over up
 * to T keys, and each key over up to T queries of the heads of its group.
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
      // dqkv: p (dp - delta), dp and delta of size √HS, times keys or queries of size 1. The sum of
      // a key over queries has the most terms.
      const terms = T * NH / NKV;
      const given = largest(get("lse")); // the rounding of lse is an error of the probability
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
