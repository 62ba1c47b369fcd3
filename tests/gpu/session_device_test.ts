/** Sessions that choose their device, on a software adapter that passes for hardware. */

import { assert, assertEquals } from "@std/assert";
import {
  type DeviceVerdict,
  SessionClient,
  type SessionEvent,
  type SessionOptions,
} from "../../lib/worker/mod.ts";
import { serveSession } from "../../mod.ts";
import { gpuTest } from "./adapter.ts";
import { asHardware } from "./fake_adapter.ts";

const STEPS = 12;
const options: SessionOptions = {
  text: "to be or not to be, that is the question. ".repeat(20),
  model: { blockSize: 8, nLayer: 1, nHead: 2, nEmbd: 16, position: "rope" },
  train: { batchSize: 2, maxSteps: STEPS },
};

/** Opens a session, trains if it has a text, and returns what it did. */
async function session(options: SessionOptions) {
  const { port1, port2 } = new MessageChannel();
  const events: SessionEvent[] = [];
  serveSession(port1);
  const client = new SessionClient(port2, (event) => events.push(event));
  try {
    return await asHardware(async () => {
      const opened = await client.call("open", options);
      if (options.text !== undefined) await client.call("train");
      const checkpoint = await client.call("save");
      const of = <Kind extends SessionEvent["kind"]>(kind: Kind) =>
        events.filter((event): event is Extract<SessionEvent, { kind: Kind }> =>
          event.kind === kind
        );
      return { opened, checkpoint, events, of };
    });
  } finally {
    await client.call("close");
    port1.close();
    port2.close();
  }
}

/** Returns verdicts with the same keys and other times. */
function withTimes(
  verdicts: Readonly<Record<string, DeviceVerdict>>,
  verdict: DeviceVerdict,
): Record<string, DeviceVerdict> {
  return Object.fromEntries(Object.keys(verdicts).map((key) => [key, verdict]));
}

gpuTest(
  "A session trains a step on the CPU, measures a GPU once, and moves to it only if it is faster",
  async () => {
    const first = await session(options);
    assertEquals(first.opened.device.kind, "wasm");
    const kinds = first.events.map(({ kind }) => kind);
    assertEquals(
      kinds.filter((kind) => kind !== "moved").slice(0, 3),
      ["steps", "measuring", "measured"],
    );
    const [{ unit, verdict, verdicts }] = first.of("measured") as [
      ReturnType<typeof first.of<"measured">>[number],
    ];
    const { gpuMs, cpuMs, refused } = verdict;
    assertEquals([unit, refused], ["step", null]);
    assertEquals(first.of("moved").length, gpuMs! < cpuMs ? 1 : 0);

    const losses = (done: typeof first) =>
      done.of("steps").flatMap(({ steps }) => steps);
    for (
      const [verdict, moves] of [
        [{ gpuMs: 1, cpuMs: 2, refused: null }, 1],
        [{ gpuMs: 2, cpuMs: 1, refused: null }, 0],
        [{ gpuMs: 1, cpuMs: 2, refused: "it computes wrong" }, 0],
      ] as const
    ) {
      const again = await session({
        ...options,
        verdicts: withTimes(verdicts, verdict),
      });
      assertEquals(again.of("measuring"), []);
      assertEquals(again.of("measured").map((event) => event.verdict), [
        verdict,
      ]);
      const moved = again.of("moved");
      assertEquals(
        moved.map(({ step, device }) => [step, device.kind]),
        Array(moves).fill([1, "webgpu"]),
      );
      const steps = losses(again);
      assertEquals(
        steps.map(({ step }) => step),
        Array.from({ length: STEPS }, (_, i) => i + 1),
      );
      // The devices agree but for rounding.
      for (const [i, { loss }] of losses(first).entries()) {
        assert(Math.abs(steps[i]!.loss - loss) < 1e-4, `step ${i + 1}`);
      }
    }

    // Without a text, the devices are measured by the tokens that they write.
    const { text: _, ...rest } = options;
    const reading = await session({ ...rest, checkpoint: first.checkpoint });
    const [measured] = reading.of("measured");
    assertEquals(measured!.unit, "token");
    const faster = measured!.verdict.gpuMs! < measured!.verdict.cpuMs;
    assertEquals(reading.opened.device.kind, faster ? "webgpu" : "wasm");
  },
);
