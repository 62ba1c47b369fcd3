// Runs ONNX files in onnxruntime. Reads a JSON list of { file, tokens, shape } from the standard input, writes the logits
// of each as a JSON list of lists, or { error } where onnxruntime refuses.

import * as ort from "onnxruntime-node";

const chunks = [];
for await (const chunk of Deno.stdin.readable) chunks.push(...chunk);
const jobs = JSON.parse(new TextDecoder().decode(Uint8Array.from(chunks)));
const options = { intraOpNumThreads: 1, logSeverityLevel: 4 };
const results = [];
for (const { file, tokens, shape } of jobs) {
  try {
    const session = await ort.InferenceSession.create(file, options);
    const ids = BigInt64Array.from(tokens, BigInt);
    const { logits } = await session.run({
      input_ids: new ort.Tensor("int64", ids, shape),
    });
    results.push([...logits.data]);
    await session.release();
  } catch (error) {
    results.push({ error: error.message });
  }
}
console.log(JSON.stringify(results));
