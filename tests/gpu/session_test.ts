/** A training session whose GPU is lost. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { serveSession } from "../../mod.ts";
import { SessionClient, type SessionEvent } from "../../lib/worker/mod.ts";
import { gpuTest } from "./adapter.ts";
import { withDevices } from "./fake_adapter.ts";
import { loseAt } from "./losing_device.ts";

gpuTest(
  "A session whose GPU is lost while it trains continues on the CPU from its last checkpoint",
  async () => {
    const { port1, port2 } = new MessageChannel();
    serveSession(port1);
    const events: SessionEvent[] = [];
    const session = new SessionClient(port2, (event) => events.push(event));
    // The 40th submission is between the checkpoints of steps 20 and 40.
    const lose = (device: GPUDevice) => void loseAt(device, ["submit", 40]);
    try {
      await withDevices(lose, () =>
        session.call("open", {
          text: "to be or not to be, that is the question. ".repeat(20),
          model: { blockSize: 8, nLayer: 1, nHead: 1, nEmbd: 8 },
          train: { batchSize: 2, maxSteps: 60, checkpointInterval: 20 },
          device: "webgpu",
        }));
      await session.call("train");
    } finally {
      await session.call("close");
      port1.close();
      port2.close();
    }
    const moved = events.find(({ kind }) => kind === "moved");
    assert(moved?.kind === "moved");
    assertEquals(moved.device.kind, "wasm");
    assertStringIncludes(moved.reason, "the WebGPU device was lost");
    const steps = events.slice(events.indexOf(moved)).flatMap((event) =>
      event.kind === "steps" ? event.steps.map(({ step }) => step) : []
    );
    const left = Array.from(
      { length: 60 - moved.step },
      (_, i) => moved.step + 1 + i,
    );
    assertEquals(steps, left);
    assert([0, 20].includes(moved.step), `${moved.step}`);
    const end = events.at(-1)!;
    assert(end.kind === "end" && end.reason === "done");
  },
);
