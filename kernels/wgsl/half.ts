/**
 * Operands that are stored as float16. Builders write texts for float32; here the texts of the passes are changed, so
 * that each read of such an operand is widened and each write narrowed. All arithmetic stays in float32.
 */

import type { Lowering, Pass, Target } from "./kernel.ts";
import { enabled } from "./pass.ts";

/** The type of float16 numbers in storage for each type of float32 numbers. */
const narrow: Readonly<Record<string, string>> = {
  f32: "f16",
  vec2f: "vec2h",
  vec4f: "vec4h",
};

/**
 * Returns a dispatch whose operands with these names are stored as float16.
 *
 * @throws {RangeError} if the adapter has no float16
 */
export function withHalves(
  { passes, scratch }: Lowering,
  halves: readonly string[],
  target: Pick<Target, "features">,
): Lowering {
  return {
    passes: passes.map((pass) => halved(pass, halves, target)),
    scratch,
  };
}

function halved(
  pass: Pass,
  halves: readonly string[],
  target: Pick<Target, "features">,
): Pass {
  let { code } = pass;
  const alias = code.match(/^alias F = (\w+);$/m)?.[1];
  for (const [binding, { operand }] of pass.bindings.entries()) {
    if (!halves.includes(operand)) continue;
    const [declaration, head, name, element] = code.match(
      new RegExp(`(@binding\\(${binding}\\) .* (\\w+): array)<(\\w+)>;`),
    )!;
    const wide = element === "F" ? alias! : element!;
    const stored = narrow[wide]!;
    code = code.replace(declaration, `${head}<${stored}>;`);
    code = retyped(code, name!, { wide, stored });
  }
  if (code === pass.code) return pass;
  return { ...pass, code: enabled(["shader-f16"], target) + code };
}

/** Returns a text in which each element of an array is converted where it is read and where it is written. */
function retyped(
  code: string,
  name: string,
  { wide, stored }: { readonly wide: string; readonly stored: string },
): string {
  let result = "";
  let rest = code;
  for (;;) {
    const at = rest.search(new RegExp(`\\b${name}\\[`));
    if (at < 0) return result + rest;
    const end = closing(rest, at + name.length);
    const element = rest.slice(at, end);
    result += rest.slice(0, at);
    rest = rest.slice(end);
    const assignment = rest.match(/^ (\+?)= ([^;]*);/);
    if (!assignment) {
      result += `${wide}(${element})`;
      continue;
    }
    const [statement, plus, value] = assignment;
    const before = plus ? `${wide}(${element}) + ` : "";
    result += `${element} = ${stored}(${before}${
      retyped(value!, name, { wide, stored })
    });`;
    rest = rest.slice(statement.length);
  }
}

/** Returns the index after the bracket that closes the one at `opening`. */
function closing(text: string, opening: number): number {
  let depth = 0;
  for (let i = opening; i < text.length; i++) {
    if (text[i] === "[") depth++;
    if (text[i] === "]" && --depth === 0) return i + 1;
  }
  throw new SyntaxError(`Cannot find the end of ${text.slice(opening)}`);
}
