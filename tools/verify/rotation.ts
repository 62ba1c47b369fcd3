/**
 * Checks of rotary position embedding alone: its tables, the rotation of queries and keys,
 * and the gradient of that.
 *
 * Pair i turns by position · base^(-2i/D). The library's base is 10000; for another
 * one its kernels get a table made here.
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
import { ropeTable } from "../../lib/model/positions.ts";
import type { Report } from "./comparison.ts";
import { NotUnderstoodError, type Recording } from "./recording.ts";
import { exactTolerance, Tolerances } from "./tolerances.ts";

const LIBRARY_BASE = 10000;

/** A rotation of B rows of H heads of D numbers at T positions from `start`. */
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
    start: new Int32Array(B).fill(start),
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
    throw new NotUnderstoodError(
      `tensor q has shape [${recording.shape("q")}] and metadata config is ${
        recording.text("config")
      }: a rotation needs 4 dimensions, the last even, and interleaved, start and base`,
    );
  }
  return { B, H, T, D, interleaved, start: start!, base: base! };
}

/** (L, D/2, 2): cosine and sine for each position and pair. */
function tableOf({ D, base }: Rotation, L: number): Float64Array {
  if (base === LIBRARY_BASE) return ropeTable(L, D);
  return Float64Array.from({ length: L * D }, (_, index) => {
    const [position, pair] = [Math.floor(index / D), index % D >> 1];
    const angle = position * base ** (-2 * pair / D);
    return index % 2 === 0 ? Math.cos(angle) : Math.sin(angle);
  });
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

/** Rotates rows (B, T, QKV), and their cotangents `dy` backwards. */
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

/** One rotation and the rule of its derivative. */
function rotationPlan({ B, H, T, D, interleaved, start: L }: Rotation): Plan {
  const graph = new Graph();
  const heads = { NH: H, NKV: H, HS: D };
  const shape = [B, T, qkvWidth(heads)];
  const qkv = graph.input("qkv", shape, "f32");
  const dy = graph.input("dy", shape, "f32");
  const start = graph.input("start", [B], "i32");
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

/** Queries and keys (B, H, T, D) as rows (B, T, QKV); values are 0. */
function pack(
  { B, H, T, D }: Rotation,
  ...parts: readonly Float32Array[]
): Float32Array {
  const rows = new Float32Array(B * T * 3 * H * D);
  for (const [part, values] of parts.entries()) {
    values.forEach((value, i) => rows[rowIndex({ H, T, D }, part, i)] = value);
  }
  return rows;
}

/** Queries (part 0) or keys (part 1) of rows (B, T, QKV) as (B, H, T, D). */
function unpack(
  { B, H, T, D }: Rotation,
  rows: Numbers,
  part: number,
): Float64Array {
  return Float64Array.from(
    { length: B * H * T * D },
    (_, i) => rows[rowIndex({ H, T, D }, part, i)]!,
  );
}

/** Where element i of queries or keys (B, H, T, D) lies in rows (B, T, 3, H, D). */
function rowIndex(
  { H, T, D }: Pick<Rotation, "H" | "T" | "D">,
  part: number,
  i: number,
): number {
  const [d, t] = [i % D, Math.floor(i / D) % T];
  const row = Math.floor(i / (D * T));
  const [b, h] = [Math.floor(row / H), row % H];
  return (((b * T + t) * 3 + part) * H + h) * D + d;
}

/** q kᵀ of each row and head, not scaled: (B, H, T, T). */
function scoresOf(
  { B, H, T, D }: Rotation,
  q: Float64Array,
  k: Float64Array,
): Float64Array {
  return Float64Array.from({ length: B * H * T * T }, (_, index) => {
    const head = Math.floor(index / (T * T)) * T;
    const [i, j] = [Math.floor(index / T) % T, index % T];
    let score = 0;
    for (let d = 0; d < D; d++) {
      score += q[(head + i) * D + d]! * k[(head + j) * D + d]!;
    }
    return score;
  });
}
