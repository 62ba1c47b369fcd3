// Runs ONNX files in onnxruntime, compiled to WebAssembly. Reads a JSON list of { file, tokens, shape } from the standard
// input, writes the logits of each as a JSON list of lists, or { error } where onnxruntime refuses.

import * as ort from "onnxruntime-web";

ort.env.wasm.numThreads = 1;
const jobs = JSON.parse(await new Response(Deno.stdin.readable).text());
const options = { logSeverityLevel: 4 };
const results = [];
for (const { file, tokens, shape } of jobs) {
  try {
    const bytes = await Deno.readFile(file);
    const session = await ort.InferenceSession.create(bytes, options);
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
