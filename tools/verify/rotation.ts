/**
 * Checks of rotary position embedding alone: its tables, the rotation of queries and keys,
 * and the gradient of that.
 *
 * Pair i turns by position · base^(-2i/D).
 */

import {
  type Backend,
  executorOf,
  type Numbers,
} from "../../lib/backends/backend.ts";
import { forward, type LabelledDispatch } from "../../lib/graph/autodiff.ts";
import { compile } from "../../lib/graph/compile.ts";
import { layoutParameters } from "../../lib/graph/layout.ts";
import { qkvWidth, rope } from "../../lib/graph/ops/heads.ts";
import type { Plan } from "../../lib/graph/plan.ts";
import { Graph } from "../../lib/graph/tensor.ts";
import { ropeFrequencies } from "../../lib/config/rotary.ts";
import { ropeTable } from "../../lib/model/positions.ts";
import type { Report } from "./comparison.ts";
import { type Recording, refuse } from "./recording.ts";
import { exactTolerance, Tolerances } from "./tolerances.ts";

/** A rotation of B·H rows of D numbers at T positions from `start`. */
interface Rotation {
  readonly B: number;
  readonly H: number;
  readonly T: number;
  readonly D: number;
  readonly interleaved: boolean;
  readonly start: number;
  readonly base: number;
}

/** Checks `q`, `k` (B, H, T, D) rotated to `q_out`, `k_out`, their `scores` (B, H, T, T), and the gradients `dq`, `dk` of `dq_out`, `dk_out`. */
export async function checkRotation(
  recording: Recording,
  report: Report,
  backend: Backend,
): Promise<void> {
  const rotation = readRotation(recording);
  const { B, H, T, D, start } = rotation;
  const table = tableOf(rotation, start + T);
  checkTables(recording, report, { rotation, table });
  const values = (name: string) =>
    Float32Array.from(recording.floats(name, [B, H, T, D]).values);
  const optional = (name: string) =>
    recording.has(name) ? values(name) : new Float32Array(B * H * T * D);
  const { y, dqkv } = await run(rotation, backend, {
    rope: table,
    start: new Int32Array(B * H).fill(start),
    qkv: pack(rotation, values("q"), values("k")),
    dy: pack(rotation, optional("dq_out"), optional("dk_out")),
  });
  const [q, k] = [unpack(rotation, y, 0), unpack(rotation, y, 1)];
  const tolerances = new Tolerances({ float64: backend.kind === "reference" });
  for (
    const [name, computed, input] of [
      ["q_out", q, "q"],
      ["k_out", k, "k"],
      ["scores", scoresOf(rotation, q, k), "q"],
      ["dq", unpack(rotation, dqkv, 0), "dq_out"],
      ["dk", unpack(rotation, dqkv, 1), "dk_out"],
    ] as const
  ) {
    if (!recording.has(name)) continue;
    values(input); // refused where missing
    const isScores = name === "scores";
    recording.compare(report, {
      quantity: name,
      computed: [{
        name,
        shape: [B, H, T, isScores ? T : D],
        values: computed,
      }],
      tolerance: (precision) =>
        tolerances.of(isScores ? "rotatedScores" : "rotation", precision),
    });
  }
}

function readRotation(recording: Recording): Rotation {
  const [B = 0, H = 0, T = 0, D = 0, ...more] = recording.shape("q");
  const { interleaved, start, base, ...others } = recording.json(
    "config",
    (value) => ({ ...value as Partial<Rotation> }),
  );
  if (
    typeof interleaved !== "boolean" || !Number.isSafeInteger(start) ||
    start! < 0 || start! > 2 ** 20 || !(base! > 0) ||
    Object.keys(others).length > 0 || more.length > 0 || D === 0 || D % 2 !== 0
  ) {
    refuse(
      `tensor q has shape [${recording.shape("q")}] and metadata config is ${
        recording.text("config")
      }: a rotation needs 4 dimensions, the last even, and interleaved, start and base`,
    );
  }
  return { B, H, T, D, interleaved, start: start!, base: base! };
}

/** Returns the table (L, D/2, 2): cosine and sine for each position and pair. */
function tableOf({ D, base }: Rotation, L: number): Float64Array {
  const frequencies = ropeFrequencies({
    ...{ headSize: D, ropeTheta: base, ropeScaling: null, ropeContext: L },
  });
  return ropeTable(L, frequencies);
}

/** Checks `cos` and `sin` (T, D/2), and `inv_freq` (D/2): by how much each pair turns from one position to the next. */
function checkTables(
  recording: Recording,
  report: Report,
  { rotation, table }: { rotation: Rotation; table: Float64Array },
): void {
  const { T, D, start } = rotation;
  const rows = table.subarray(start * D);
  const next = tableOf(rotation, 2).subarray(D);
  for (
    const [name, shape, values] of [
      ["cos", [T, D / 2], rows.filter((_, i) => i % 2 === 0)],
      ["sin", [T, D / 2], rows.filter((_, i) => i % 2 === 1)],
      [
        "inv_freq",
        [D / 2],
        Array.from(
          { length: D / 2 },
          (_, i) => Math.atan2(next[2 * i + 1]!, next[2 * i]!),
        ),
      ],
    ] as const
  ) {
    recording.compare(report, {
      quantity: name,
      computed: [{ name, shape, values }],
      tolerance: exactTolerance,
    });
  }
}

/** Rotates `qkv` (rows, T, QKV), and the cotangents `dy` backwards. */
async function run(
  rotation: Rotation,
  backend: Backend,
  inputs: Readonly<Record<"rope" | "start" | "qkv" | "dy", ArrayLike<number>>>,
): Promise<{ y: Numbers; dqkv: Numbers }> {
  const stores = new Map();
  const program = await executorOf(backend).compile(
    rotationPlan(rotation),
    stores,
  );
  for (const [name, data] of Object.entries(inputs)) {
    program.buffer(name).write(data);
  }
  program.run();
  const y = await program.buffer("y").read();
  const dqkv = await program.buffer("dqkv").read();
  program.destroy();
  for (const store of stores.values()) store.destroy();
  return { y, dqkv };
}

/** Plans one rotation and the rule of its derivative. */
function rotationPlan({ B, H, T, D, interleaved, start: L }: Rotation): Plan {
  const graph = new Graph();
  const heads = { NH: 1, NKV: 1, HS: D };
  const shape = [B * H, T, qkvWidth(heads)];
  const qkv = graph.input("qkv", shape, "f32");
  const dy = graph.input("dy", shape, "f32");
  const start = graph.input("start", [B * H], "i32");
  const table = graph.store("rope", [L + T, D / 2, 2]);
  const y = rope(qkv, { heads, table, interleaved, start });
  const dqkv = graph.activation(shape);
  const backward: LabelledDispatch[] = [];
  const [node] = graph.nodes;
  node!.op.backward!(node!, {
    of: () => dy,
    needs: () => true,
    into: () => ({ gradient: dqkv, accumulate: false }),
    fresh: () => dqkv,
    share: () => {},
  }, (dispatch) => backward.push({ ...dispatch, label: "rotation" }));
  return compile({
    name: "rotation",
    phases: { forward: forward(graph), backward },
    layout: layoutParameters(graph),
    outputs: { y, dqkv },
  });
}

/** Packs queries and keys (rows, T, D) as one head each of (rows, T, QKV), QKV = 3 D; values are 0. */
function pack({ D }: Rotation, q: Float32Array, k: Float32Array): Float32Array {
  return Float32Array.from({ length: 3 * q.length }, (_, i) => {
    const [at, part, d] = [
      Math.floor(i / (3 * D)),
      Math.floor(i / D) % 3,
      i % D,
    ];
    return [q, k][part]?.[at * D + d] ?? 0;
  });
}

/** Returns the queries (part 0) or keys (part 1) of (rows, T, QKV). */
function unpack({ D }: Rotation, packed: Numbers, part: number): Numbers {
  return packed.filter((_, i) => Math.floor(i / D) % 3 === part);
}

/** Returns q kᵀ of each row, not scaled: (rows, T, T). */
function scoresOf({ T, D }: Rotation, q: Numbers, k: Numbers): Float64Array {
  return Float64Array.from({ length: q.length / D * T }, (_, index) => {
    const [i, j] = [Math.floor(index / T), index % T];
    const first = Math.floor(i / T) * T; // of the row's keys
    let score = 0;
    for (let d = 0; d < D; d++) {
      score += q[i * D + d]! * k[(first + j) * D + d]!;
    }
    return score;
  });
}
