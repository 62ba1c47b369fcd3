/**
 * Stand-in for `jsr:@std/cli/parse-args`: the same code, republished on npm.
 * The types are in `parse_args.d.ts`.
 *
 * @module
 */
// @ts-types="./parse_args.d.ts"
export { parseArgs } from "npm:deno-std@1.4.0/cli/parse_args.js";
