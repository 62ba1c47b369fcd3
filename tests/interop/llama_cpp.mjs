// Runs GGUF files in llama.cpp. Reads a JSON list of { file, tokens, count, texts } from the standard input. Writes for
// each the logits after every token, as many ids chosen greedily after them, the ids of the texts, the texts of the ids,
// and the ids that end a text; or { error } where llama.cpp refuses the file.

import process from "node:process";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";

const jobs = JSON.parse(await new Response(Deno.stdin.readable).text());
const llama = await getLlama({
  gpu: false,
  build: "never",
  maxThreads: 1,
  logLevel: LlamaLogLevel.error,
  logger: (_level, message) => console.error(message),
});
const results = [];
for (const job of jobs) {
  try {
    results.push(await run(job));
  } catch (error) {
    results.push({ error: String(error.message) });
  }
}
console.log(JSON.stringify(results));
process.exit(0);

async function run({ file, tokens, count, texts }) {
  const model = await llama.loadModel({ modelPath: file });
  const context = await model.createContext({
    contextSize: model.trainContextSize,
    threads: 1,
    flashAttention: false,
    // The caches have 16 bits otherwise.
    experimentalKvCacheKeyType: "F32",
    experimentalKvCacheValueType: "F32",
  });
  const sequence = context.getSequence();
  const after = async (ids) => {
    const found = await sequence.controlledEvaluate(
      ids.map((id) => [id, { generateNext: { logits: true } }]),
    );
    return found.map(({ next }) => {
      const row = new Float64Array(next.logits.size);
      for (const [id, logit] of next.logits) row[id] = logit;
      return [...row];
    });
  };
  const logits = await after(tokens);
  const chosen = [];
  let last = logits.at(-1);
  while (chosen.length < count) {
    chosen.push(last.indexOf(Math.max(...last)));
    last = (await after([chosen.at(-1)]))[0];
  }
  const ids = texts.map((text) => [...model.tokenize(text)]);
  const back = ids.map((ids) => model.detokenize(ids));
  const ends = [...logits[0].keys()].filter((id) => model.isEogToken(id));
  await model.dispose();
  return { logits, chosen, ids, texts: back, ends };
}
