/**
 * Checks a device, a dataset and a trained model, as the command `lm check` does. Each function returns groups of checks,
 * and a group yields a verdict for each of its checks. No check stops the ones after it.
 *
 * For a device, or a backend of your own:
 *
 * - {@linkcode kernelChecks} compares every kernel with float64 (the conformance suite).
 * - {@linkcode gradientChecks} compares gradients with finite differences.
 * - {@linkcode causalityChecks}: no token changes a bit of an earlier result.
 * - {@linkcode stepChecks} compares training steps of a configuration, at its full size, with another engine.
 * - {@linkcode dropoutChecks}, {@linkcode repeatabilityChecks} and {@linkcode speedChecks}.
 *
 * For a sampler there is {@linkcode samplingChecks}, for a dataset {@linkcode batchChecks}, and for a
 * trained model {@linkcode trainedChecks}, which finds out whether it sees the token that it has to predict.
 *
 * @example
 * ```ts
 * import { openBackend } from "@lm/core";
 * import { causalityChecks } from "@lm/core/checks";
 * import { assertEquals } from "@std/assert";
 *
 * await using backend = await openBackend("wasm");
 * for await (const { check, status, found } of causalityChecks(backend).run()) {
 *   assertEquals(status, "ok", `${check}: ${found}`);
 * }
 * ```
 *
 * @module
 */

export { batchChecks } from "./batches.ts";
export { causalityChecks, fullReach, type Reach } from "./causality.ts";
export { dropoutChecks } from "./dropout.ts";
export { gradientChecks } from "./gradients.ts";
export { kernelChecks } from "./kernels.ts";
export { repeatabilityChecks } from "./repeatability.ts";
export { samplingChecks } from "./sampling.ts";
export { speedChecks } from "./speed.ts";
export { stepChecks, type StepsSubject } from "./steps.ts";
export { trainedChecks, type TrainedSubject } from "./trained.ts";
export {
  type CheckGroup,
  type Finding,
  type Status,
  type Verdict,
  verdict,
} from "./verdict.ts";
