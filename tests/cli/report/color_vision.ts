/** Colours as they are seen: contrast, and difference for eyes that lack a kind of cone. */

/** A colour's red, green and blue in [0, 1], linear in light. */
export function linear(hex: string): number[] {
  const digits = hex.length === 4
    ? [...hex.slice(1)].map((digit) => digit + digit)
    : hex.slice(1).match(/../g)!;
  return digits.map((pair) => {
    const value = parseInt(pair, 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
}

function luminance(hex: string): number {
  return dot([0.2126, 0.7152, 0.0722], linear(hex));
}

/** `share` of one colour and the rest of another, linear in light, mixed in Oklab (bottosson.github.io/posts/oklab). */
export function mixed(share: number, a: string, b: string): number[] {
  const roots = [a, b].map((hex) =>
    toCones.map((row) => Math.cbrt(dot(row, linear(hex))))
  ) as [number[], number[]];
  // Oklab is linear in the roots of the cones' answers.
  const cones = roots[0].map((root, i) =>
    (share * root + (1 - share) * roots[1][i]!) ** 3
  );
  return fromCones.map((row) => dot(row, cones));
}

const toCones = [
  [0.4122214708, 0.5363325363, 0.0514459929],
  [0.2119034982, 0.6806995451, 0.1073969566],
  [0.0883024619, 0.2817188376, 0.6299787005],
];
const fromCones = [
  [4.0767416621, -3.3077115913, 0.2309699292],
  [-1.2684380046, 2.6097574011, -0.3413193965],
  [-0.0041960863, -0.7034186147, 1.707614701],
];

/** From 1 to 21 (WCAG 2.2, "contrast ratio"). */
export function contrast(a: string, b: string): number {
  const [dark, light] = [luminance(a), luminance(b)].toSorted((x, y) => x - y);
  return (light! + 0.05) / (dark! + 0.05);
}

/** What eyes make of light that is linear in red, green and blue: Machado et al. 2009, table 1, severity 1. */
export const visions = {
  normal: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  protanopia: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deuteranopia: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
  tritanopia: [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039],
  ],
} as const;

/** CIE L*a*b* of linear sRGB, white D65. */
export function lab(rgb: readonly number[]): Lab {
  const [x, y, z] = [
    dot([0.4124564, 0.3575761, 0.1804375], rgb) / 0.95047,
    dot([0.2126729, 0.7151522, 0.072175], rgb),
    dot([0.0193339, 0.119192, 0.9503041], rgb) / 1.08883,
  ].map((t) =>
    t > 216 / 24389 ? Math.cbrt(t) : (24389 / 27 * t + 16) / 116
  ) as [number, number, number];
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

type Lab = readonly [L: number, a: number, b: number];

/** How a colour looks to such eyes. */
export function seen(hex: string, vision: keyof typeof visions): Lab {
  const rgb = linear(hex);
  return lab(
    visions[vision].map((row) => Math.min(1, Math.max(0, dot(row, rgb)))),
  );
}

/** CIEDE2000, in the notation of Sharma et al. 2005; 1 is about as little as can be seen side by side. */
export function difference([L1, a1, b1]: Lab, [L2, a2, b2]: Lab): number {
  const meanC = (Math.hypot(a1, b1) + Math.hypot(a2, b2)) / 2;
  const G = 0.5 * (1 - Math.sqrt(meanC ** 7 / (meanC ** 7 + 25 ** 7)));
  const [A1, A2] = [(1 + G) * a1, (1 + G) * a2];
  const [C1, C2] = [Math.hypot(A1, b1), Math.hypot(A2, b2)];
  const hue = (b: number, a: number) => (degrees(Math.atan2(b, a)) + 360) % 360;
  const [h1, h2] = [hue(b1, A1), hue(b2, A2)];
  const turn = C1 * C2 === 0 ? 0 : (h2 - h1 + 540) % 360 - 180;
  const dH = 2 * Math.sqrt(C1 * C2) * Math.sin(radians(turn / 2));
  const [L, C] = [(L1 + L2) / 2, (C1 + C2) / 2];
  const h = C1 * C2 === 0 ? h1 + h2 : h1 + turn / 2;
  const T = 1 - 0.17 * cosine(h - 30) + 0.24 * cosine(2 * h) +
    0.32 * cosine(3 * h + 6) - 0.2 * cosine(4 * h - 63);
  const sL = 1 + 0.015 * (L - 50) ** 2 / Math.sqrt(20 + (L - 50) ** 2);
  const [sC, sH] = [1 + 0.045 * C, 1 + 0.015 * C * T];
  const mean = (h + 360) % 360;
  const rT = -2 * Math.sqrt(C ** 7 / (C ** 7 + 25 ** 7)) *
    Math.sin(radians(60 * Math.exp(-(((mean - 275) / 25) ** 2))));
  const [l, c, hh] = [(L2 - L1) / sL, (C2 - C1) / sC, dH / sH];
  return Math.sqrt(l * l + c * c + hh * hh + rT * c * hh);
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, x, i) => sum + x * b[i]!, 0);
}

const degrees = (angle: number) => angle * 180 / Math.PI;
const radians = (angle: number) => angle * Math.PI / 180;
const cosine = (angle: number) => Math.cos(radians(angle));
