// Quantizes GGUF files with llama.cpp's own library, which has the function of its program llama-quantize. Reads a JSON
// list of { from, to, type } from the standard input; writes an empty list.

const jobs = JSON.parse(await new Response(Deno.stdin.readable).text());
const folder = new URL(
  "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64/",
  import.meta.url,
);
const names = Array.from(Deno.readDirSync(folder), ({ name }) => name);
const file = names.find((name) => /^libllama(\.v[\d.]+)?\.so$/.test(name));
// llama_model_quantize_params of llama.h: the number of threads, the type of the file, two types of tensors, flags, of
// which the first allows quantized files, and more that keeps its default.
const settings = { struct: Array(12).fill("u64") };
const { symbols } = Deno.dlopen(new URL(file, folder), {
  llama_backend_init: { parameters: [], result: "void" },
  llama_model_quantize_default_params: { parameters: [], result: settings },
  llama_model_quantize: {
    parameters: ["buffer", "buffer", "buffer"],
    result: "u32",
  },
});
// llama_ftype of llama.h.
const types = { F32: 0, F16: 1, Q4_0: 2, Q8_0: 7 };
const text = (value) => new TextEncoder().encode(`${value}\0`);
symbols.llama_backend_init();
for (const { from, to, type } of jobs) {
  const bytes = symbols.llama_model_quantize_default_params();
  const params = new DataView(bytes.buffer, bytes.byteOffset);
  params.setInt32(0, 1, true);
  params.setInt32(4, types[type], true);
  params.setUint8(16, 1); // allow_requantize
  const code = symbols.llama_model_quantize(text(from), text(to), bytes);
  if (code !== 0) throw new Error(`${from} to ${type}: code ${code}`);
}
console.log("[]");
Deno.exit(0);
