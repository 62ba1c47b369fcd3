// Functions of four numbers at once, and of one.
//
// Their constants are read from memory at each use: V8 builds a vector constant in the
// code again at each use, with several instructions, while a load is one. So these
// functions can be used in any loop without preparation. The hottest loops use `power`
// instead.
//
// Errors are in ulp, for results that are not subnormal.

/** a·b + c, rounded once where the build and the processor have it. */
// @ts-ignore: decorator
@inline
export function fma(a: v128, b: v128, c: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD
    ? f32x4.relaxed_madd(a, b, c)
    : f32x4.add(f32x4.mul(a, b), c);
}

/** c - a·b, likewise. */
// @ts-ignore: decorator
@inline
export function fnma(a: v128, b: v128, c: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD
    ? f32x4.relaxed_nmadd(a, b, c)
    : f32x4.sub(c, f32x4.mul(a, b));
}

/** Every constant four times, so that it is a vector; in single precision. */
const table = memory.data<f32>([
  // exp: its limits, log2 e, ln 2 in two parts (the first times any exponent is exact).
  -87.4, -87.4, -87.4, -87.4,
  89.0, 89.0, 89.0, 89.0,
  1.4426950408889634, 1.4426950408889634, 1.4426950408889634, 1.4426950408889634,
  0.693359375, 0.693359375, 0.693359375, 0.693359375,
  -2.12194440e-4, -2.12194440e-4, -2.12194440e-4, -2.12194440e-4,
  // 1.5 · 2^23 + 126; see power.
  12583038.0, 12583038.0, 12583038.0, 12583038.0,
  // 2 exp(x) = 2 + 2x + x² (…) for |x| <= ln 2 / 2: interpolated at Chebyshev nodes, error 2^-26.5.
  2.0, 2.0, 2.0, 2.0,
  1.0, 1.0, 1.0, 1.0,
  0.33333009481430054, 0.33333009481430054, 0.33333009481430054, 0.33333009481430054,
  0.08333293348550797, 0.08333293348550797, 0.08333293348550797, 0.08333293348550797,
  0.01673831045627594, 0.01673831045627594, 0.01673831045627594, 0.01673831045627594,
  0.002786729950457811, 0.002786729950457811, 0.002786729950457811, 0.002786729950457811,
  // exp2: its limits; 2 · 2^x = 2 + x (…) for |x| <= ½: the best in single precision, error 2^-23.3.
  -126.0, -126.0, -126.0, -126.0,
  129.0, 129.0, 129.0, 129.0,
  1.3862940073013306, 1.3862940073013306, 1.3862940073013306, 1.3862940073013306,
  0.48044493794441223, 0.48044493794441223, 0.48044493794441223, 0.48044493794441223,
  0.1110142394900322, 0.1110142394900322, 0.1110142394900322, 0.1110142394900322,
  0.01934262551367283, 0.01934262551367283, 0.01934262551367283, 0.01934262551367283,
  0.002653831848874688, 0.002653831848874688, 0.002653831848874688, 0.002653831848874688,
  // tanh(x) = x + x³ (…) for |x| <= 0.625, in powers of x², error 2^-25.
  0.625, 0.625, 0.625, 0.625,
  -0.333333283662796, -0.333333283662796, -0.333333283662796, -0.333333283662796,
  0.1333271861076355, 0.1333271861076355, 0.1333271861076355, 0.1333271861076355,
  -0.053843263536691666, -0.053843263536691666, -0.053843263536691666, -0.053843263536691666,
  0.020961329340934753, 0.020961329340934753, 0.020961329340934753, 0.020961329340934753,
  -0.006045165006071329, -0.006045165006071329, -0.006045165006071329, -0.006045165006071329,
  // Φ(-x) = exp(-x²/2) t (…), t = 1 / (1 + 0.27 x), for x >= 0, error 2^-25 (the form is
  // that of Abramowitz and Stegun 26.2.17; the coefficients are interpolated anew).
  0.27, 0.27, 0.27, 0.27,
  0.10772209279140713, 0.10772209279140713, 0.10772209279140713, 0.10772209279140713,
  0.10751860795305491, 0.10751860795305491, 0.10751860795305491, 0.10751860795305491,
  0.10198033284613559, 0.10198033284613559, 0.10198033284613559, 0.10198033284613559,
  0.07140619741338936, 0.07140619741338936, 0.07140619741338936, 0.07140619741338936,
  0.10927688983113389, 0.10927688983113389, 0.10927688983113389, 0.10927688983113389,
  -0.07121346244771268, -0.07121346244771268, -0.07121346244771268, -0.07121346244771268,
  0.17144429588082313, 0.17144429588082313, 0.17144429588082313, 0.17144429588082313,
  -0.12724193403709724, -0.12724193403709724, -0.12724193403709724, -0.12724193403709724,
  0.029106990840709914, 0.029106990840709914, 0.029106990840709914, 0.029106990840709914,
  // -log2 e and -½
  -1.4426950408889634, -1.4426950408889634, -1.4426950408889634, -1.4426950408889634,
  -0.5, -0.5, -0.5, -0.5,
], 64);

// Positions of the constants in the table.
const LOWEST: i32 = 0;
const HIGHEST: i32 = 1;
export const LOG2_E: i32 = 2;
const LN_2: i32 = 3;
const LN_2_REST: i32 = 4;
export const ROUNDER: i32 = 5;
export const TWO: i32 = 6;
export const ONE: i32 = 7;
const EXP_3: i32 = 8;
export const EXP2_LOWEST: i32 = 12;
export const EXP2_HIGHEST: i32 = 13;
export const EXP2_1: i32 = 14;
export const EXP2_2: i32 = 15;
export const EXP2_3: i32 = 16;
export const EXP2_4: i32 = 17;
export const EXP2_5: i32 = 18;
const TANH_NEAR: i32 = 19;
const TANH_3: i32 = 20;
const NORMAL_SCALE: i32 = 25;
const NORMAL_0: i32 = 26;
export const MINUS_LOG2_E: i32 = 35;
const MINUS_HALF: i32 = 36;

/** Returns one of the constants. */
// @ts-ignore: decorator
@inline
export function constant(i: i32): v128 {
  return v128.load(table + (<usize> i << 4));
}

/**
 * exp(x), within 1 ulp or so; 0 below -87 (never a subnormal number), infinite from 88.73 on.
 *
 * x = n ln 2 + r, |r| <= ln 2 / 2; exp(x) = 2^(n-1) · 2 exp(r), where n - 1 runs through
 * the exponents of all numbers and -127, that of 0. Adding 1.5 · 2^23 + 126 leaves n + 126
 * in the lowest bits: shifted, they are 2^(n-1) itself.
 */
// @ts-ignore: decorator
@inline
export function exp(x: v128): v128 {
  // These two propagate a NaN, and take one instruction each.
  x = f32x4.pmax(f32x4.pmin(x, constant(HIGHEST)), constant(LOWEST));
  const rounded = fma(x, constant(LOG2_E), constant(ROUNDER));
  const n = f32x4.sub(rounded, constant(ROUNDER));
  const r = fnma(n, constant(LN_2_REST), fnma(n, constant(LN_2), x));
  // In parts that do not depend on one another.
  const square = f32x4.mul(r, r);
  let p = fma(r, constant(EXP_3 + 3), constant(EXP_3 + 2));
  p = fma(square, p, fma(r, constant(EXP_3 + 1), constant(EXP_3)));
  p = fma(square, p, f32x4.add(r, constant(TWO)));
  p = fma(r, p, constant(TWO));
  return f32x4.mul(p, i32x4.shl(rounded, 23));
}

/** 2^x, within 2 ulp or so; 0 below -125.5 and infinite from 128 on; see {@link exp}. */
// @ts-ignore: decorator
@inline
export function exp2(x: v128): v128 {
  return power(
    f32x4.pmax(
      f32x4.pmin(x, constant(EXP2_HIGHEST)),
      constant(EXP2_LOWEST),
    ),
    constant(ROUNDER),
    constant(TWO),
    constant(EXP2_1),
    constant(EXP2_2),
    constant(EXP2_3),
    constant(EXP2_4),
    constant(EXP2_5),
  );
}

/**
 * 2^x for x from EXP2_LOWEST to EXP2_HIGHEST, with the constants of {@link exp2} passed by
 * the caller: a loop that computes little else takes two thirds of the time if it loads
 * them once, and they just fit in the registers.
 */
// @ts-ignore: decorator
@inline
export function power(
  x: v128,
  rounder: v128,
  two: v128,
  c1: v128,
  c2: v128,
  c3: v128,
  c4: v128,
  c5: v128,
): v128 {
  const rounded = f32x4.add(x, rounder);
  const r = f32x4.sub(x, f32x4.sub(rounded, rounder));
  let p = fma(r, c5, c4);
  p = fma(r, p, c3);
  p = fma(r, p, c2);
  p = fma(r, p, c1);
  p = fma(r, p, two);
  return f32x4.mul(p, i32x4.shl(rounded, 23));
}

/** exp(x) of one number, with the bits that it has in a vector. */
// @ts-ignore: decorator
@inline
export function expOne(x: f32): f32 {
  return f32x4.extract_lane(exp(f32x4.splat(x)), 0);
}

/** 1 / (1 + exp(-x)), within 2 ulp or so for x >= 0, and 2 + |x| below. */
// @ts-ignore: decorator
@inline
export function sigmoid(x: v128): v128 {
  const e = exp2(f32x4.mul(x, constant(MINUS_LOG2_E)));
  return f32x4.div(constant(ONE), f32x4.add(constant(ONE), e));
}

/** tanh(x), within 2 ulp or so: a polynomial near 0, elsewhere 1 - 2 / (exp(2|x|) + 1). */
// @ts-ignore: decorator
@inline
export function tanh(x: v128): v128 {
  const size = f32x4.abs(x);
  const z = f32x4.mul(x, x);
  let p = fma(z, constant(TANH_3 + 4), constant(TANH_3 + 3));
  p = fma(z, p, constant(TANH_3 + 2));
  p = fma(z, p, constant(TANH_3 + 1));
  p = fma(z, p, constant(TANH_3));
  const near = fma(f32x4.mul(x, z), p, x);
  const e = exp(f32x4.add(size, size));
  const far = f32x4.sub(
    constant(ONE),
    f32x4.div(constant(TWO), f32x4.add(e, constant(ONE))),
  );
  // The sign of x, on what is not negative.
  const sign = v128.xor(x, size);
  const isNear = f32x4.lt(size, constant(TANH_NEAR));
  return v128.bitselect(near, v128.or(far, sign), isNear);
}

/** exp(-x²/2): √(2π) times the standard normal density. */
// @ts-ignore: decorator
@inline
export function bell(x: v128): v128 {
  return exp(f32x4.mul(f32x4.mul(x, x), constant(MINUS_HALF)));
}

/**
 * Φ(x), the standard normal distribution function (½ + ½ erf(x / √2)), within 2^-23.
 *
 * @param density bell(x)
 */
// @ts-ignore: decorator
@inline
export function normalDistribution(x: v128, density: v128): v128 {
  const scaled = fma(f32x4.abs(x), constant(NORMAL_SCALE), constant(ONE));
  const t = f32x4.div(constant(ONE), scaled);
  let p = fma(t, constant(NORMAL_0 + 8), constant(NORMAL_0 + 7));
  p = fma(t, p, constant(NORMAL_0 + 6));
  p = fma(t, p, constant(NORMAL_0 + 5));
  p = fma(t, p, constant(NORMAL_0 + 4));
  p = fma(t, p, constant(NORMAL_0 + 3));
  p = fma(t, p, constant(NORMAL_0 + 2));
  p = fma(t, p, constant(NORMAL_0 + 1));
  p = fma(t, p, constant(NORMAL_0));
  const tail = f32x4.mul(f32x4.mul(p, t), density);
  const isNegative = f32x4.lt(x, f32x4.splat(0));
  return v128.bitselect(tail, f32x4.sub(constant(ONE), tail), isNegative);
}

/** log(x) of one number, within 1 ulp. */
// @ts-ignore: decorator
@inline
export function log(x: f32): f32 {
  return NativeMathf.log(x);
}
