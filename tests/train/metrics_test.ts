/** That reading metrics never makes a device wait for each step, and loses none of them. */

import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import type { DeviceBuffer, Program } from "../../lib/backends/backend.ts";
import { trainConfig, type TrainOptions } from "../../lib/config/train.ts";
import { MetricsReader, NonFiniteError } from "../../lib/train/metrics.ts";
import { METRIC_SLOTS, METRIC_WIDTH } from "../../lib/train/optimizer.ts";

/** Milliseconds that a read takes on Deno, which polls its device. */
const READ_MS = 10;

/** A device whose steps take no time and whose reads take long; the loss of a step is its number. */
class SlowDevice {
  readonly #metrics = new Float32Array(METRIC_SLOTS * METRIC_WIDTH);
  #steps = 0;
  reads = 0;
  /** The step whose loss is not finite. */
  bad = Infinity;
  /** The read, counted from 1, that fails. */
  failing = Infinity;

  step(): void {
    const row = (this.#steps % METRIC_SLOTS) * METRIC_WIDTH;
    const isFinite = ++this.#steps < this.bad;
    const loss = isFinite ? this.#steps : NaN;
    this.#metrics.set([loss, 2 * loss, isFinite ? 1 : 0, 0], row);
  }

  async #read(): Promise<Float32Array> {
    this.reads++;
    const copy = this.#metrics.slice();
    const fails = this.reads === this.failing;
    await new Promise((resolve) => setTimeout(resolve, READ_MS));
    if (fails) throw new Error("the device is gone");
    return copy;
  }

  /** As much of a program as the reader asks for. */
  program(): Program {
    const buffer = (length: number) => ({
      spec: { name: "", kind: "store", dtype: "f32", length },
      read: () => this.#read(),
    } as Partial<DeviceBuffer> as DeviceBuffer);
    const buffers = new Map([
      ["metrics", buffer(METRIC_SLOTS * METRIC_WIDTH)],
      ["tokens", buffer(32)],
    ]);
    return {
      buffer: (name: string) => buffers.get(name)!,
    } as Partial<Program> as Program;
  }
}

async function readAll(
  device: SlowDevice,
  steps: number,
  options: TrainOptions = {},
) {
  const config = trainConfig(options);
  const reader = new MetricsReader(device.program(), config, 0);
  const events = [];
  for (let step = 0; step < steps; step++) {
    device.step();
    events.push(...await reader.submitted());
  }
  events.push(...await reader.drain());
  return { reader, events };
}

Deno.test("MetricsReader returns every step once, in order, and reads far less often", async () => {
  const device = new SlowDevice();
  // Many times round the ring.
  const steps = 5 * METRIC_SLOTS + 3;
  const { events } = await readAll(device, steps);
  const numbers = Array.from({ length: steps }, (_, step) => step + 1);
  assertEquals(events.map(({ step }) => step), numbers);
  assertEquals(events.map(({ loss }) => loss), numbers);
  assertEquals(
    events.map(({ gradNorm }) => gradNorm),
    numbers.map((x) => 2 * x),
  );
  // A read for each step would be 323.
  assertLess(device.reads, steps / 4);
});

Deno.test("MetricsReader counts the tokens of all micro-batches into the speed of a step", async () => {
  const begun = performance.now();
  const device = new SlowDevice();
  const { events } = await readAll(device, 100, { gradAccumulation: 3 });
  const elapsed = (performance.now() - begun) / 1000;
  // 32 tokens a micro-batch: the steps took as long as all of it did, but for the first and the last read.
  const told = events.reduce(
    (sum, { tokensPerSecond }) => sum + 3 * 32 / tokensPerSecond,
    0,
  );
  assertLess(told, 1.01 * elapsed);
  assertLess(0.5 * elapsed, told);
});

Deno.test("MetricsReader returns the steps before one that is not finite, then the error", async () => {
  const device = new SlowDevice();
  device.bad = 7;
  const { reader, events } = await readAll(device, 20);
  assertEquals(events.map(({ step }) => step), [1, 2, 3, 4, 5, 6]);
  const error = assertThrows(() => reader.throwIfFailed(), NonFiniteError);
  assertEquals(error.step, 7);
});

Deno.test("MetricsReader keeps the reason of a failed read until it is asked for", async () => {
  const device = new SlowDevice();
  device.failing = 2;
  const { reader, events } = await readAll(device, 20);
  assert(events.length > 0 && events.length < 20);
  for (let time = 0; time < 2; time++) {
    assertThrows(() => reader.throwIfFailed(), Error, "the device is gone");
  }
});
