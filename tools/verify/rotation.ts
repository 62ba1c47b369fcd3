/**
 * Checks of rotary position embedding alone (files of model `equation`): its
 * tables, the rotation of queries and keys, and the gradient of that.
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
import { NotUnderstoodError } from "./not_understood.ts";
import type { Recording } from "./recording.ts";
import { type Kind, ROUNDED, Tolerances } from "./tolerances.ts";

const LIBRARY_BASE = 10000;

/** The recorded case: B rows of H heads of D numbers at T positions. */
interface Case {
  readonly B: number;
  readonly H: number;
  readonly T: number;
  readonly D: number;
  readonly base: number;
}

/** Arrays of a case by name, (B, H, T, D) but for scores (B, H, T, T). */
type Results = ReadonlyMap<string, ArrayLike<number>>;

/** Checks all that is recorded of rotations. */
export async function checkRotation(
  recording: Recording,
  report: Report,
  backend: Backend,
): Promise<void> {
  const { offset, ...rotation } = readCase(recording);
  const offsets = recordedOffsets(recording);
  if (offset !== undefined && !offsets.includes(offset)) {
    throw new NotUnderstoodError(
      `config.offset is ${offset}, and nothing is recorded for it`,
    );
  }
  checkFrequencies(recording, report, rotation);
  for (const offset of offsets) {
    checkTable(recording, report, { rotation, offset });
  }
  for (const form of ["interleaved", "half"] as const) {
    let first: Results | undefined;
    for (const offset of offsets) {
      const results = await rotate(recording, backend, {
        rotation,
        offset,
        interleaved: form === "interleaved",
      });
      checkResults(recording, report, {
        rotation,
        results,
        backend,
        name: (quantity) => `${form}.${quantity}${suffixOf(offset)}`,
      });
      first ??= results;
      checkShift(report, { first, results, backend, form, offset });
    }
  }
}

function readCase(recording: Recording): Case & { offset?: number } {
  recording.expectText("layout", "[B, H, T, head_dim]");
  const fields = recording.fields("config");
  const shape = recording.shape("q");
  const [B, H, T, D] = ["B", "H", "T", "head_dim"].map((key, i) => {
    const length = fields.count(key, shape[i]);
    if (length !== shape[i]) {
      throw fields.refusal(key, `what tensor q has, which is ${shape[i]}`);
    }
    return length;
  }) as [number, number, number, number];
  const base = fields.number("base", LIBRARY_BASE);
  const offset = fields.value("offset") === undefined
    ? {}
    : { offset: fields.number("offset") };
  fields.finish();
  if (shape.length !== 4 || D % 2 !== 0 || base <= 0) {
    throw new NotUnderstoodError(
      `tensor q has shape [${shape}] and config.base is ${base}: rotation needs 4 dimensions, the last even, and a base above 0`,
    );
  }
  return { B, H, T, D, base, ...offset };
}

function suffixOf(offset: number): string {
  return offset === 0 ? "" : `.offset${offset}`;
}

/** The first positions of which something is recorded, ascending. */
function recordedOffsets(recording: Recording): number[] {
  const names =
    /^(?:positions|cos|sin|(?:interleaved|half)\.[a-z_]+)(?:\.offset(0|[1-9]\d*))?$/;
  const offsets = recording.matching(names)
    .map(([, offset]) => Number(offset ?? 0));
  return [...new Set(offsets)].sort((a, b) => a - b);
}

/** (L, D/2, 2): cosine and sine for each position and pair. */
function tableOf({ D, base }: Case, L: number): Float64Array {
  if (base === LIBRARY_BASE) return ropeTable(L, D);
  return Float64Array.from({ length: L * D }, (_, index) => {
    const [position, pair] = [Math.floor(index / D), index % D >> 1];
    const angle = position * base ** (-2 * pair / D);
    return index % 2 === 0 ? Math.cos(angle) : Math.sin(angle);
  });
}

/** `inv_freq` (D/2) is by how much each pair turns from one position to the next. */
function checkFrequencies(
  recording: Recording,
  report: Report,
  rotation: Case,
): void {
  const name = "inv_freq";
  if (!recording.has(name)) return;
  const { D } = rotation;
  const table = tableOf(rotation, 2).subarray(D); // position 1
  const computed = Float64Array.from(
    { length: D / 2 },
    (_, pair) => Math.atan2(table[2 * pair + 1]!, table[2 * pair]!),
  );
  const recorded = recording.floats(name, [D / 2]);
  // Each frequency matters, however small: the last pairs turn slowly.
  report.compare(name, [{ name, recorded, computed }], {
    ...ROUNDED,
    measure: "each",
  });
}

/** `positions` (T), `cos` and `sin` (T, D/2) for one offset. */
function checkTable(
  recording: Recording,
  report: Report,
  { rotation, offset }: { rotation: Case; offset: number },
): void {
  const { T, D } = rotation;
  const positions = `positions${suffixOf(offset)}`;
  if (recording.has(positions)) {
    const recorded = recording.ids(positions, 1, Infinity).data;
    const computed = Array.from({ length: T }, (_, t) => offset + t);
    report.compare(positions, [{ name: positions, recorded, computed }], {
      measure: "count",
      limit: 0,
    });
  }
  const rows = tableOf(rotation, offset + T).subarray(offset * D);
  for (const [part, which] of ["cos", "sin"].entries()) {
    const name = which + suffixOf(offset);
    if (!recording.has(name)) continue;
    const recorded = recording.floats(name, [T, D / 2]);
    const computed = rows.filter((_, index) => index % 2 === part);
    report.compare(name, [{ name, recorded, computed }], ROUNDED);
  }
}

/** Rotates queries and keys, and their cotangents backwards where there are any. */
async function rotate(
  recording: Recording,
  backend: Backend,
  { rotation, offset, interleaved }: {
    rotation: Case;
    offset: number;
    interleaved: boolean;
  },
): Promise<Results> {
  const { B, H, T, D } = rotation;
  const read = (name: string) =>
    recording.has(name)
      ? recording.floats(name, [B, H, T, D])
      : new Float32Array(B * H * T * D);
  const L = offset + T;
  const stores = new Map();
  const program = await executorOf(backend).compile(
    rotationPlan(rotation, { L, interleaved }),
    stores,
  );
  program.buffer("rope").write(tableOf(rotation, L));
  program.buffer("start").write(new Int32Array(B).fill(offset));
  program.buffer("qkv").write(pack(rotation, read("q"), read("k")));
  program.buffer("dy").write(pack(rotation, read("dq_out"), read("dk_out")));
  program.run();
  const y = await program.buffer("y").read();
  const dqkv = await program.buffer("dqkv").read();
  program.destroy();
  for (const store of stores.values()) store.destroy();
  const [q, k] = [unpack(rotation, y, 0), unpack(rotation, y, 1)];
  return new Map([
    ["q_out", q],
    ["k_out", k],
    ["scores", scoresOf(rotation, q, k)],
    ["dq", unpack(rotation, dqkv, 0)],
    ["dk", unpack(rotation, dqkv, 1)],
  ]);
}

/** One rotation and the rule of its derivative. */
function rotationPlan(
  { B, H, T, D }: Case,
  { L, interleaved }: { L: number; interleaved: boolean },
): Plan {
  const graph = new Graph();
  const heads = { NH: H, NKV: H, HS: D };
  const shape = [B, T, qkvWidth(heads)];
  const qkv = graph.input("qkv", shape, "f32");
  const dy = graph.input("dy", shape, "f32");
  const start = graph.input("start", [B], "i32");
  const table = graph.store("rope", [L, D / 2, 2]);
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
  { B, H, T, D }: Case,
  q: Float32Array,
  k: Float32Array,
): Float32Array {
  const QKV = 3 * H * D;
  const rows = new Float32Array(B * T * QKV);
  for (const [part, values] of [q, k].entries()) {
    for (let i = 0; i < values.length; i += D) {
      const [t, row] = [i / D % T, Math.floor(i / (D * T))];
      const [b, h] = [Math.floor(row / H), row % H];
      rows.set(
        values.subarray(i, i + D),
        (b * T + t) * QKV + (part * H + h) * D,
      );
    }
  }
  return rows;
}

/** Queries (part 0) or keys (part 1) of rows (B, T, QKV) as (B, H, T, D). */
function unpack(
  { B, H, T, D }: Case,
  rows: Numbers,
  part: number,
): Float64Array {
  return Float64Array.from({ length: B * H * T * D }, (_, index) => {
    const [d, t] = [index % D, Math.floor(index / D) % T];
    const row = Math.floor(index / (D * T));
    const [b, h] = [Math.floor(row / H), row % H];
    return rows[((b * T + t) * 3 + part) * H * D + h * D + d]!;
  });
}

/** q kᵀ of each row and head, not scaled: (B, H, T, T). */
function scoresOf(
  { B, H, T, D }: Case,
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

/** The recordings hold float64 results, rounded. */
function toleranceOf(backend: Backend, kind: Kind) {
  const float64 = backend.kind === "reference";
  return new Tolerances({ float64 }).of(kind, "rounded");
}

function kindOf(quantity: string): Kind {
  return quantity === "scores" ? "rotatedScores" : "rotation";
}

function checkResults(
  recording: Recording,
  report: Report,
  { rotation: { B, H, T, D }, results, backend, name: nameOf }: {
    rotation: Case;
    results: Results;
    backend: Backend;
    name: (quantity: string) => string;
  },
): void {
  for (const [quantity, computed] of results) {
    const name = nameOf(quantity);
    if (!recording.has(name)) continue;
    if (quantity === "dq" || quantity === "dk") {
      recording.floats(`${quantity}_out`, [B, H, T, D]); // refused where missing
    }
    const last = quantity === "scores" ? T : D;
    const recorded = recording.floats(name, [B, H, T, last]);
    const tolerance = toleranceOf(backend, kindOf(quantity));
    report.compare(name, [{ name, recorded, computed }], tolerance);
  }
}

/** Scores depend on distances alone, so an offset changes none. */
function checkShift(
  report: Report,
  { first, results, backend, form, offset }: {
    first: Results;
    results: Results;
    backend: Backend;
    form: string;
    offset: number;
  },
): void {
  if (first === results) return;
  const name = `${form}.scores, offset ${offset} against the first`;
  report.compare(name, [{
    name,
    recorded: first.get("scores")!,
    computed: results.get("scores")!,
  }], toleranceOf(backend, "rotatedScores"));
}
