/** A training session whose GPU is lost. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { decodeCheckpoint } from "../../lib/formats/checkpoint.ts";
import { serveSession } from "../../mod.ts";
import { SessionClient, type SessionEvent } from "../../lib/worker/mod.ts";
import { gpuTest } from "./adapter.ts";
import { withDevices } from "./fake_adapter.ts";

const STEPS = 600;
const INTERVAL = 20;

/**
 * Trains in a session whose device is lost once a step past the second checkpoint was reported.
 *
 * @param before called before that
 * @returns all events, the event of the move, and the last checkpoint
 */
async function trainAndLose(
  before: (session: SessionClient) => Promise<unknown> = async () => {},
) {
  const { port1, port2 } = new MessageChannel();
  serveSession(port1);
  const events: SessionEvent[] = [];
  const devices: GPUDevice[] = [];
  let isLost = false;
  const lose = async () => {
    isLost = true;
    await before(session);
    devices[0]!.destroy();
  };
  const session = new SessionClient(port2, (event) => {
    events.push(event);
    if (isLost || event.kind !== "steps") return;
    if (event.steps.at(-1)!.step > 2 * INTERVAL) void lose();
  });
  try {
    await withDevices(
      (device) => void devices.push(device),
      () =>
        session.call("open", {
          text: "to be or not to be, that is the question. ".repeat(20),
          model: { blockSize: 8, nLayer: 1, nHead: 1, nEmbd: 8 },
          train: {
            batchSize: 2,
            maxSteps: STEPS,
            checkpointInterval: INTERVAL,
            evalInterval: 0,
          },
          device: "webgpu",
        }),
    );
    await session.call("train");
    const checkpoint = decodeCheckpoint(await session.call("save"));
    const moved = events.find(({ kind }) => kind === "moved");
    assert(moved?.kind === "moved");
    return { events, moved, checkpoint };
  } finally {
    await session.call("close");
    port1.close();
    port2.close();
  }
}

gpuTest(
  "A session whose GPU is lost while it trains continues on the CPU from its last checkpoint",
  async () => {
    const { events, moved, checkpoint } = await trainAndLose();
    assertEquals(moved.device.kind, "wasm");
    assertStringIncludes(moved.reason, "the WebGPU device was lost");
    assertEquals(moved.step % INTERVAL, 0);
    assert(moved.step >= 2 * INTERVAL, `${moved.step}`);
    const steps = events.slice(events.indexOf(moved)).flatMap((event) =>
      event.kind === "steps" ? event.steps.map(({ step }) => step) : []
    );
    const left = Array.from(
      { length: STEPS - moved.step },
      (_, i) => moved.step + 1 + i,
    );
    assertEquals(steps, left);
    const end = events.at(-1)!;
    assert(end.kind === "end" && end.reason === "done");
    assertEquals(checkpoint.training!.step, STEPS);
  },
);

gpuTest(
  "A session whose GPU is lost keeps the mask that was set since the last checkpoint",
  async () => {
    const { checkpoint } = await trainAndLose((session) =>
      session.call("setMask", "none")
    );
    assertEquals(checkpoint.config.mask, "none");
  },
);
