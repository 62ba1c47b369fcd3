/** Mistakes that a careless edit could make, each with the test that notices it. docs/mutations.md lists them. */

/** A mistake to be planted. */
export interface Mutation {
  readonly name: string;
  /** What is wrong with it planted. */
  readonly what: string;
  /** The file, from the root of the project. */
  readonly file: string;
  /** What stands in the file, exactly once. */
  readonly search: string;
  /** What stands there with the mistake. */
  readonly replace: string;
  /** The test that fails. */
  readonly test: TestName;
  /** Whether all tests passed when the mistake was planted for the first time, and the test was written then. */
  readonly missedAtFirst?: boolean;
}

/** Where a test is. */
export interface TestName {
  readonly file: string;
  /** A part of the name that no other test of the file has. */
  readonly name: string;
  /** The step of it that fails, where a test is a list of them. */
  readonly step?: string;
}

/**
 * Returns a file's text with a mistake.
 *
 * @throws {RangeError} if what is searched does not stand there exactly once
 */
export function plant(
  { name, file, search, replace }: Mutation,
  text: string,
): string {
  const [before, after, ...more] = text.split(search);
  if (after === undefined || more.length > 0) {
    throw new RangeError(
      `Cannot plant ${name}: its text stands ${
        after === undefined ? 0 : more.length + 1
      } times in ${file}, not once`,
    );
  }
  return before + replace + after;
}

/** All mistakes. */
export const mutations: readonly Mutation[] = [
  {
    name: "evaluation smooths labels",
    what: "Evaluation keeps the model's label smoothing",
    file: "lib/plans.ts",
    search: "{ smoothing: 0 }",
    replace: "{ smoothing: config.labelSmoothing }",
    test: {
      file: "tests/evaluator_test.ts",
      name: "Model.evaluate leaves out what only training adds",
    },
    missedAtFirst: true,
  },
  {
    name: "law sees what it predicts",
    what: "The scaling law is fitted on the cell that it predicts, too",
    file: "lib/lab/scaling.ts",
    search: "cell !== next && !onPart.has(cell)",
    replace: "!onPart.has(cell)",
    test: { file: "tests/lab/experiments_test.ts", name: "Scaling" },
    missedAtFirst: true,
  },
  {
    name: "ladder takes the best part",
    what: "The ladder's thresholds are those of the best part, not the worst",
    file: "lib/lab/works.ts",
    search: "Math.min(...parts.map((part) => part[name]))",
    replace: "Math.max(...parts.map((part) => part[name]))",
    test: {
      file: "tests/lab/works_test.ts",
      name: "The worst of five parts sets a threshold",
    },
    missedAtFirst: true,
  },
  {
    name: "ladder takes the shortest copy",
    what: "The rung memory takes the part with the shortest copy",
    file: "lib/lab/works.ts",
    search: "Math.max(...parts.map(({ longestCopy }) => longestCopy))",
    replace: "Math.min(...parts.map(({ longestCopy }) => longestCopy))",
    test: {
      file: "tests/lab/works_test.ts",
      name: "The worst of five parts sets a threshold",
    },
    missedAtFirst: true,
  },
  {
    name: "training multiplies characters",
    what: "Training multiplies by characters per token instead of dividing",
    file: "lib/split_losses.ts",
    search: "Math.LN2 / charsPerToken",
    replace: "Math.LN2 * charsPerToken",
    test: {
      file: "tests/cli/eval_test.ts",
      name: "eval counts characters, not bytes",
    },
    missedAtFirst: true,
  },
  {
    name: "eval divides by tokens",
    what: "eval multiplies by characters over tokens instead of dividing",
    file: "lib/cli/eval.ts",
    search: "loss * measured / Math.LN2 / Math.max(1, characters)",
    replace: "loss / measured / Math.LN2 * Math.max(1, characters)",
    test: {
      file: "tests/cli/eval_test.ts",
      name: "eval counts characters, not bytes",
    },
  },
  {
    name: "bytes of three-byte characters",
    what: "Characters from U+0800 on count as four bytes from U+4000 on",
    file: "lib/characters.ts",
    search: "code < 0x10000",
    replace: "code < 0x4000",
    test: {
      file: "tests/tokenizer_test.ts",
      name: "Tokenizer.encoder gives for pieces",
    },
  },
  {
    name: "three-byte characters counted twice",
    what: "Continuation bytes from 0xA0 on count as characters",
    file: "lib/tokenizer.ts",
    search: "(token & 0xc0) !== continued",
    replace: "(token & 0xe0) !== continued",
    test: {
      file: "tests/cli/corpus_test.ts",
      name: "Bits per character count the characters",
    },
  },
  {
    name: "rate one step late",
    what: "A step's event has the learning rate of the next step",
    file: "lib/metrics.ts",
    search: "learningRateAt(this.#config, step)",
    replace: "learningRateAt(this.#config, step + 1)",
    test: {
      file: "tests/trainer_test.ts",
      name: "Trainer",
      step: "tells the learning rate that each step had",
    },
    missedAtFirst: true,
  },
  {
    name: "schedule rises after its end",
    what: "After decaySteps the rate follows the cosine on",
    file: "lib/optimizer.ts",
    search: "if (step >= end)",
    replace: "if (step === end)",
    test: { file: "tests/config_test.ts", name: "decaySteps ends" },
    missedAtFirst: true,
  },
  {
    name: "finite mask decoded from cache",
    what: "A finite mask is decoded from a cache that is not true for it",
    file: "lib/generate.ts",
    search: '!attention || mask === "causal"',
    replace: '!attention || mask === "causal" || mask === "finite"',
    test: {
      file: "tests/model_test.ts",
      name: "every token is drawn from the logits",
    },
    missedAtFirst: true,
  },
  {
    name: "zeroed mask decoded from cache",
    what: "A zeroed mask is decoded from a cache that is not true for it",
    file: "lib/generate.ts",
    search: '!attention || mask === "causal"',
    replace: '!attention || mask === "causal" || mask === "zeroed"',
    test: {
      file: "tests/model_test.ts",
      name: "every token is drawn from the logits",
    },
    missedAtFirst: true,
  },
  {
    name: "WGSL forward loses a last row",
    what:
      "Attention on hardware leaves out the last row if it is alone in its block",
    file: "kernels/wgsl/attention_tiles_forward.ts",
    search: "const blocks = Math.ceil(T / 32);",
    replace: "const blocks = Math.ceil((T - 1) / 32) || 1;",
    test: {
      file: "tests/gpu/conformance_test.ts",
      name:
        "attention agrees with the float64 reference on WebGPU with workgroup",
    },
    missedAtFirst: true,
  },
  {
    name: "WGSL query gradient loses two last rows",
    what:
      "The queries' gradient on hardware leaves out the last rows if they are two in their block",
    file: "kernels/wgsl/attention_tiles_backward.ts",
    search:
      "  const blocks = Math.ceil(T / 32);\n  const drop = dropout(dims, { operand: BACKWARD_KEY, pairs: 4 });\n\n  const open",
    replace:
      "  const blocks = Math.ceil((T - 2) / 32) || 1;\n  const drop = dropout(dims, { operand: BACKWARD_KEY, pairs: 4 });\n\n  const open",
    test: {
      file: "tests/gpu/conformance_test.ts",
      name:
        "attentionBackward agrees with the float64 reference on WebGPU with workgroup",
    },
  },
  {
    name: "WGSL key gradient misses a last query",
    what:
      "The keys' gradient on hardware leaves out a last query that is alone in its block",
    file: "kernels/wgsl/attention_tiles_backward.ts",
    search: "; t < T; t += 32u) {",
    replace: "; t < max(T - 1u, 1u); t += 32u) {",
    test: {
      file: "tests/gpu/conformance_test.ts",
      name:
        "attentionBackward agrees with the float64 reference on WebGPU with workgroup",
    },
    missedAtFirst: true,
  },
  {
    name: "WGSL cached forward one short",
    what: "WGSL forward tiles end before a last key that is alone in its tile",
    file: "kernels/wgsl/attention_tiles_forward.ts",
    search: "for (var j = 0u; j < end; j += 32u) {",
    replace: "for (var j = 0u; j < max(end - 1u, 1u); j += 32u) {",
    test: {
      file: "tests/gpu/conformance_test.ts",
      name:
        "attention agrees with the float64 reference on WebGPU with workgroup",
    },
    missedAtFirst: true,
  },
  {
    name: "CPU attention misses a last query",
    what:
      "Attention on the CPU leaves out a last query that is alone in its block",
    file: "kernels/wasm/assembly/attention.ts",
    search: "for (let i = 0; i < T; i += QUERIES) {",
    replace: "for (let i = 0; i < max(T - 1, 1); i += QUERIES) {",
    test: {
      file: "tests/wasm/conformance_test.ts",
      name: "attention agrees with the float64 reference on wasm, strict",
    },
    missedAtFirst: true,
  },
  {
    name: "CPU query gradient misses a last query",
    what:
      "Attention's gradient on the CPU leaves out a last query that is alone in its block",
    file: "kernels/wasm/assembly/attention_backward.ts",
    search: "for (let i = s; i < end; i += QUERIES) {",
    replace: "for (let i = s; i < max(end - 1, s + 1); i += QUERIES) {",
    test: {
      file: "tests/wasm/conformance_test.ts",
      name:
        "attentionBackward agrees with the float64 reference on wasm, strict",
    },
    missedAtFirst: true,
  },
  {
    name: "CPU key gradient misses a last key",
    what:
      "Attention's gradient on the CPU leaves out a last key that is alone in its block",
    file: "kernels/wasm/assembly/attention_backward.ts",
    search: "for (let j = 0; j < reached; j += QUERIES) {",
    replace: "for (let j = 0; j < max(reached - 1, 1); j += QUERIES) {",
    test: {
      file: "tests/wasm/conformance_test.ts",
      name:
        "attentionBackward agrees with the float64 reference on wasm, strict",
    },
    missedAtFirst: true,
  },
];
