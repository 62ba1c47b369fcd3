/** Products by a native BLAS: which library is used, which is refused and why, and that its results are right and repeat. */

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { openWasm } from "../../lib/backends/wasm/engine.ts";
import { normals } from "../../lib/checks/conformance_operands.ts";
import { variant } from "../../lib/checks/variants.ts";
import { plainProduct } from "../../kernels/vocabulary.ts";
import type { Plan } from "../../lib/graph/plan.ts";
import {
  assertVerified,
  goldenFile,
  goldenNames,
} from "../fixtures/golden_files.ts";
import { buffer } from "../fixtures/sums.ts";
import { registerConformance } from "../suites/conformance.ts";
import { registerAttentionMaps } from "../suites/model_attention.ts";
import type { Bench } from "../suites/model_bench.ts";
import { registerCausality } from "../suites/model_causality.ts";
import { registerDecoding } from "../suites/model_decoding.ts";
import { registerMuon } from "../suites/model_muon.ts";
import { registerTraining } from "../suites/model_training.ts";
import { registerVocabulary } from "../suites/model_vocabulary.ts";
import {
  blasTest,
  compileStub,
  skipped,
  stubTest,
  suffix,
} from "./blas_libraries.ts";

registerConformance(`wasm, BLAS${suffix}`, {
  open: () => openWasm({ threads: 2, blas: "auto" }),
  ignore: skipped,
});

const bench: Bench = {
  name: `wasm, BLAS${suffix}`,
  open: () => openWasm({ threads: 2, blas: "auto" }),
  ignore: skipped,
  variants: [
    ...["the defaults", "position alibi with 3 heads", "2 key heads for 4"],
    ...["mask none", "mask zeroed", "mask finite and weak", "Llama"],
    "all at once",
  ].map(variant),
  // Logits are of order 1 to 10, and float32's noise in them is 1e-6 to 1e-5.
  tolerance: 1e-4,
};

registerAttentionMaps(bench);
registerCausality(bench);
registerDecoding(bench);
registerTraining(bench);
registerMuon(bench);
registerVocabulary(bench);

blasTest("The recorded runs agree with the CPU engine on a BLAS", async () => {
  await using backend = await openWasm({ blas: "auto" });
  assert(backend.blas);
  for (const name of goldenNames) {
    await assertVerified(name, goldenFile(name), backend);
  }
});

blasTest("The description and `blas` name the library", async () => {
  await using backend = await openWasm({ threads: 2, blas: "auto" });
  assertMatch(backend.description, /^CPU, 2 threads, \w+ [^,()]*(\([^)]+\))?$/);
  assertStringIncludes(backend.description, backend.blas!.name);
});

/** y = x · wᵀ + b in odd sizes, large enough for several blocks. */
const [M, K, N] = [301, 131, 517];

const product: Plan = {
  name: "product",
  buffers: [
    buffer("x", "input", M * K),
    buffer("w", "store", N * K),
    buffer("b", "store", N),
    buffer("y", "output", M * N),
  ],
  dispatches: [{
    kernel: "matmul",
    outputs: [{ buffer: 3, offset: 0, length: M * N }],
    inputs: [M * K, N * K, N].map((length, buffer) => ({
      ...{ buffer, offset: 0, length },
    })),
    dims: { ...plainProduct, form: "nt", M, N, K, bias: true },
    label: "y",
  }],
  phases: {},
};

/** Returns the product on an engine opened with these options, and what the engine says of itself. */
async function multiply(options: Parameters<typeof openWasm>[0]) {
  await using backend = await openWasm(options);
  const program = await backend.compile(product, new Map());
  for (const name of ["x", "w", "b"]) {
    const target = program.buffer(name);
    target.write(normals(name, target.spec.length));
  }
  program.run();
  const { description, blas } = backend;
  return { y: await program.buffer("y").read(), description, blas };
}

blasTest(
  "A product by a BLAS has the same bits on 1, 2, 3 and 8 threads",
  async () => {
    const { y, blas } = await multiply({ threads: 1, blas: "auto" });
    assert(blas);
    for (const threads of [2, 3, 8]) {
      assertEquals((await multiply({ threads, blas: "auto" })).y, y);
    }
  },
);

blasTest("An engine with a BLAS can be opened again and again", async () => {
  const { y } = await multiply({ threads: 2, blas: "auto" });
  for (let i = 0; i < 20; i++) {
    assertEquals((await multiply({ threads: 2, blas: "auto" })).y, y);
  }
});

Deno.test("No library is opened unless asked, or where memory may move", async () => {
  for (const options of [{}, { blas: "off" }]) {
    const { description, blas } = await multiply({ threads: 2, ...options });
    assertEquals(blas, undefined);
    assertMatch(description, /^CPU, 2 threads, (relaxed )?SIMD$/);
  }
  const alone = await multiply({ shared: false, threads: 1, blas: "auto" });
  assertEquals(alone.blas, undefined);
  assertStringIncludes(alone.description, "(no BLAS: memory is not shared)");
});

stubTest(
  "A library by its path is used, with sizes of 32 or of 64 bits",
  async (directory) => {
    const results = [];
    for (const size of ["int", "long"]) {
      const path = await compileStub(directory, [`SIZE=${size}`]);
      const { y, description, blas } = await multiply({
        threads: 3,
        blas: path,
      });
      assertEquals(description, "CPU, 3 threads, libstub.so");
      assertEquals(blas, { name: "libstub.so", path });
      results.push(y);
    }
    assertEquals(results[1], results[0]);
  },
);

/** Mistakes of a library, as a C expression that is added to element m, n of a product; and the product that shows it. */
const lies: Readonly<Record<string, RegExp>> = {
  "1": /computes wrong products, the first 1 · a·b \+ 0 · y of 1x1x1/,
  "ta==112 && K>500": /aᵀ·b .* of 50x44x513/,
  "tb==112 && M==1 && N>1": /a·bᵀ .* of 1x37x19/,
  "n==N-1 && N%16==15": /of 61x47x33/,
  "beta!=0 && m==32": /of 33x1x7/,
};

for (const [lie, reason] of Object.entries(lies)) {
  stubTest(
    `A library that is wrong if ${lie} is refused, and the engine multiplies by itself`,
    async (directory) => {
      const define = `LIE(ta,tb,m,n,M,N,K,beta)=((${lie})?1:0)`;
      const path = await compileStub(directory, [define]);
      const { y, description, blas } = await multiply({
        threads: 2,
        blas: path,
      });
      assertEquals(blas, undefined);
      assertStringIncludes(description, `SIMD (no BLAS: ${path} computes`);
      assertMatch(description, reason);
      assertEquals(y, (await multiply({ threads: 2 })).y);
    },
  );
}

stubTest(
  "A library without the function is refused by name",
  async (directory) => {
    const path = await compileStub(directory, ["NO_SGEMM"]);
    const { description } = await multiply({ threads: 2, blas: path });
    assertStringIncludes(description, `(no BLAS: ${path} has no cblas_sgemm)`);
  },
);

stubTest(
  "A library for one thread is refused on several",
  async (directory) => {
    const config = `CONFIG="OpenBLAS 9.9 SINGLE_THREADED"`;
    const path = await compileStub(directory, [config]);
    const two = await multiply({ threads: 2, blas: path });
    assertStringIncludes(
      two.description,
      `${path} is built for a single thread`,
    );
    const one = await multiply({ threads: 1, blas: path });
    assertEquals(one.description, "CPU, 1 thread, OpenBLAS 9.9 (Stub)");
  },
);

for (
  const [bits, core, chosen] of [
    [128, "Prescott", undefined],
    [256, "Haswell", undefined],
    [512, "SkylakeX", undefined],
    [512, "Haswell", "Haswell"],
    [512, "Prescott", "Prescott"],
  ] as const
) {
  stubTest(
    `OpenBLAS that does not know a processor with vectors of ${bits} bits takes the kernels of ${core}${
      chosen ? ", if the environment says so" : ""
    }`,
    async (directory) => {
      const path = await compileStub(directory, [
        `CONFIG="OpenBLAS 9.9 "`,
        `VECTORS=${bits}`,
      ]);
      const variable = "OPENBLAS_CORETYPE";
      const before = Deno.env.get(variable);
      if (chosen) Deno.env.set(variable, chosen);
      else Deno.env.delete(variable);
      try {
        const { description } = await multiply({ threads: 2, blas: path });
        assertEquals(description, `CPU, 2 threads, OpenBLAS 9.9 (${core})`);
        assertEquals(Deno.env.get(variable), chosen);
      } finally {
        if (before === undefined) Deno.env.delete(variable);
        else Deno.env.set(variable, before);
      }
    },
  );
}

Deno.test("A file that is no library, and one that is not there, are refused by name", async () => {
  const path = await Deno.makeTempFile({ suffix: ".so" });
  await Deno.writeTextFile(path, "This is no library.\n".repeat(100));
  const { description } = await multiply({ threads: 2, blas: path });
  assertStringIncludes(description, `(no BLAS: ${path} cannot be opened:`);
  await Deno.remove(path);
  const gone = await multiply({ threads: 2, blas: path });
  assertStringIncludes(gone.description, `(no BLAS: ${path} cannot be opened:`);
});

stubTest(
  "If a worker cannot open the library, no thread uses it, and the engine says why",
  async (directory) => {
    const path = await compileStub(directory);
    const { Worker } = globalThis;
    globalThis.Worker = class extends Worker {
      override postMessage(message: { opening?: { path: string } }) {
        const { opening } = message;
        super.postMessage({
          ...message,
          ...(opening && { opening: { ...opening, path: `${path}.gone` } }),
        });
      }
    };
    try {
      const { y, description, blas } = await multiply({
        threads: 2,
        blas: path,
      });
      assertEquals(blas, undefined);
      assertMatch(description, /^CPU, 2 threads, (relaxed )?SIMD \(no BLAS: /);
      assertStringIncludes(description, "libstub.so.gone");
      assertEquals(y, (await multiply({ threads: 2 })).y);
    } finally {
      globalThis.Worker = Worker;
    }
  },
);

Deno.test("Without permission no library is opened, and nobody is asked", async () => {
  const { stdout, success } = await new Deno.Command(Deno.execPath(), {
    args: ["run", new URL("elsewhere.ts", import.meta.url).href, "a BLAS"],
    stdin: "null",
    stderr: "null",
  }).output();
  assert(success);
  const { description, z } = JSON.parse(new TextDecoder().decode(stdout));
  assertMatch(description, /^CPU, 3 threads, (relaxed )?SIMD$/);
  assertEquals(z, 2);
});
