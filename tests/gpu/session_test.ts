/** A training session whose GPU is lost. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  type Checkpoint,
  decodeCheckpoint,
} from "../../lib/formats/checkpoint.ts";
import { Model, serveSession, Tokenizer } from "../../mod.ts";
import {
  SessionClient,
  type SessionEvent,
  type SessionOptions,
} from "../../lib/worker/mod.ts";
import { gpuTest } from "./adapter.ts";
import { withDevices } from "./fake_adapter.ts";

const STEPS = 600;
const INTERVAL = 20;
const model = { blockSize: 8, nLayer: 1, nHead: 1, nEmbd: 8 };
const text = "to be or not to be, that is the question. ".repeat(20);
const training = {
  ...{ text, model },
  train: {
    batchSize: 2,
    maxSteps: STEPS,
    checkpointInterval: INTERVAL,
    evalInterval: 0,
  },
};

/** A session on a GPU that can be lost. */
interface Losable {
  readonly session: SessionClient;
  /** All events until now. */
  readonly events: SessionEvent[];
  /** Loses the GPU. */
  lose(): void;
  /** Returns the buffers of the GPU that have not been destroyed. */
  buffers(): number;
}

/** Calls `use` with an open session, whose events go to `onEvent` too. */
async function withSession(
  options: SessionOptions,
  use: (losable: Losable) => Promise<void>,
  onEvent: (event: SessionEvent, losable: Losable) => void = () => {},
): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  serveSession(port1);
  const devices: GPUDevice[] = [];
  const buffers = new Set<GPUBuffer>();
  const watch = (device: GPUDevice) => {
    devices.push(device);
    const create = device.createBuffer.bind(device);
    device.createBuffer = (descriptor) => {
      const buffer = create(descriptor);
      const destroy = buffer.destroy.bind(buffer);
      buffers.add(buffer);
      buffer.destroy = () => {
        buffers.delete(buffer);
        destroy();
      };
      return buffer;
    };
  };
  const losable: Losable = {
    session: new SessionClient(port2, (event) => {
      losable.events.push(event);
      onEvent(event, losable);
    }),
    events: [],
    lose: () => devices[0]!.destroy(),
    buffers: () => buffers.size,
  };
  const { session } = losable;
  try {
    await withDevices(
      watch,
      () => session.call("open", { ...options, device: "webgpu" }),
    );
    await use(losable);
  } finally {
    await session.call("close");
    port1.close();
    port2.close();
  }
}

/** Returns the only event of a move. */
function moveOf(events: readonly SessionEvent[]) {
  const [moved, ...others] = events.filter(({ kind }) => kind === "moved");
  assert(moved?.kind === "moved");
  assertEquals(others, []);
  return moved;
}

/**
 * Trains in a session whose device is lost once a step past the second checkpoint was reported.
 *
 * @param before called before that
 * @returns all events, the event of the move, and the last checkpoint
 */
async function trainAndLose(
  before: (session: SessionClient) => Promise<unknown> = async () => {},
) {
  let isLost = false;
  let checkpoint: Checkpoint | undefined;
  let all: SessionEvent[] = [];
  await withSession(training, async ({ session, events }) => {
    all = events;
    await session.call("train");
    checkpoint = decodeCheckpoint(await session.call("save"));
  }, async (event, { session, lose }) => {
    if (isLost || event.kind !== "steps") return;
    if (event.steps.at(-1)!.step <= 2 * INTERVAL) return;
    isLost = true;
    await before(session);
    lose();
  });
  return { events: all, moved: moveOf(all), checkpoint: checkpoint! };
}

/** Returns the texts of the tokens that a session emitted. */
function textsOf(events: readonly SessionEvent[]): string[] {
  return events.flatMap((event) => event.kind === "token" ? [event.text] : []);
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

gpuTest(
  "A session whose GPU is lost after training answers the next call on the CPU, with the trained weights",
  async () => {
    for (const name of ["save", "write"] as const) {
      await withSession(
        training,
        async ({ session, events, lose, buffers }) => {
          await session.call("train");
          const before = await session.call("save");
          assert(buffers() > 0);
          lose();
          if (name === "save") await session.call("save");
          else await session.call("write", { prompt: "to", maxNewTokens: 5 });
          const moved = moveOf(events);
          assertEquals([moved.device.kind, moved.step], ["wasm", STEPS]);
          assertStringIncludes(moved.reason, "the WebGPU device was lost");
          const written = textsOf(events.slice(events.indexOf(moved)));
          assertEquals(written.length, name === "save" ? 0 : 2 + 5);
          assertEquals(await session.call("save"), before);
          assertEquals(buffers(), 0);
        },
      );
    }
  },
);

gpuTest(
  "A session without a text whose GPU is lost while it writes continues on the CPU, with the weights it was opened with",
  async () => {
    const tokenizer = Tokenizer.chars(text);
    const { vocabSize } = tokenizer;
    await using created = await Model.create({ ...model, vocabSize }, {
      ...{ device: "wasm", threads: 1, seed: 3, tokenizer },
    });
    const checkpoint = await created.save();
    let isLost = false;
    await withSession({ checkpoint }, async ({ session, events }) => {
      await session.call("write", { prompt: "to", maxNewTokens: 200 });
      const moved = moveOf(events);
      assertEquals([moved.device.kind, moved.step], ["wasm", 0]);
      const written = textsOf(events.slice(events.indexOf(moved)));
      assertEquals(written.length, 2 + 200);
      assertEquals(await session.call("save"), checkpoint);
    }, ({ kind }, { lose }) => {
      if (isLost || kind !== "token") return;
      isLost = true;
      lose();
    });
  },
);

gpuTest(
  "A paused session whose GPU is lost answers on the CPU, and resumes training there",
  async () => {
    let asked: Promise<unknown> | undefined;
    await withSession(training, async ({ session, events, buffers }) => {
      await session.call("train");
      await asked;
      assert(moveOf(events).step < STEPS);
      const { training } = decodeCheckpoint(await session.call("save"));
      assertEquals(training!.step, STEPS);
      assertEquals(buffers(), 0);
    }, (event, { session, lose }) => {
      if (event.kind !== "steps") return;
      asked ??= (async () => {
        await session.call("pause");
        lose();
        await session.call("write", { prompt: "to", maxNewTokens: 5 });
        await session.call("resume");
      })();
    });
  },
);
