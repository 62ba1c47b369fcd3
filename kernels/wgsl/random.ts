/**
 * The counter-based generator in WGSL, with the same bits as `threefry2x32` of
 * `kernels/random.ts`, and the dropout mask made from them. Kernels with dropout
 * (`dropout`, the attention kernels) put this text before their own.
 */

import { f32 } from "./text.ts";

/** Rotations of the even and odd groups of four rounds (Salmon et al., SC 2011, table 2). */
const ROTATIONS = [[13, 15, 26, 6], [17, 29, 16, 24]] as const;

/**
 * The WGSL function `fn threefry(key: vec2u, counter: vec2u) -> vec2u`: one block of Threefry-2x32-20
 * (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 */
export const THREEFRY: string = `
fn threefryRound(x: vec2u, rotation: u32) -> vec2u {
  let sum = x.x + x.y;
  return vec2u(sum, ((x.y << rotation) | (x.y >> (32u - rotation))) ^ sum);
}

fn threefry(key: vec2u, counter: vec2u) -> vec2u {
  let k = vec3u(key, 0x1bd11bdau ^ key.x ^ key.y);
  var x = counter + k.xy;
${[0, 1, 2, 3, 4].map(fourRounds).join("\n")}
  return x;
}
`;

/** Returns the text of four rounds and of the key injection after them, which adds the key's words in rotation and the group's number. */
function fourRounds(group: number): string {
  const words = ["k.yz", "k.zx", "k.xy"][group % 3];
  return [
    ...ROTATIONS[group & 1]!.map((r) => `  x = threefryRound(x, ${r}u);`),
    `  x += ${words} + vec2u(0u, ${group + 1}u);`,
  ].join("\n");
}

/**
 * Returns the WGSL function `fn dropped(index: u32) -> f32`: the factor of dropout for element `index`, 0 or
 * 1 / (1 - rate); see `signatures.dropout`. It reads the dispatch's operand `key`, which the kernel declares as
 * `var<storage, read> key: array<u32>` (the plan's i32 bits, read as unsigned).
 *
 * @param options the `rate`, in [0, 1), and the `site`, the number of the place in the network, an integer in [0, 2^24)
 */
export function dropped(
  { rate, site }: { readonly rate: number; readonly site: number },
): string {
  // The second key word is purposeKey(Purpose.dropout, site) of kernels/random.ts.
  const purpose = (3 | (site << 8)) >>> 0;
  const threshold = Math.floor(rate * 2 ** 32);
  return `${THREEFRY}
fn dropped(index: u32) -> f32 {
  let bits = threefry(vec2u(key[0], ${purpose}u), vec2u(index, key[1])).x;
  return select(0.0f, ${f32(1 / (1 - rate))}, bits >= ${threshold}u);
}
`;
}
