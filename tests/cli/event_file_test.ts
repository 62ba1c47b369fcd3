import { assertAlmostEquals, assertEquals } from "@std/assert";
import { recordOf } from "../../lib/cli/run/board.ts";
import { fileHeader } from "../../lib/cli/run/event_file.ts";
import { crc32c } from "../../lib/formats/digest.ts";
import { concat } from "../../lib/cli/run/files.ts";
import { RunDirectory } from "../../lib/cli/run/directory.ts";
import { SMALL, Workplace } from "./process.ts";

/** A protocol buffer message: its fields' values, by number. */
type Message = Map<number, (number | Uint8Array)[]>;

/** Reads a message as protobuf.dev/programming-guides/encoding describes it. */
function parse(bytes: Uint8Array): Message {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const fields: Message = new Map();
  let at = 0;
  const varint = () => {
    let [value, factor, byte] = [0, 1, 0];
    do {
      byte = bytes[at++]!;
      value += (byte & 0x7f) * factor;
      factor *= 128;
    } while (byte >= 0x80);
    return value;
  };
  while (at < bytes.length) {
    const tag = varint();
    const number = Math.floor(tag / 8);
    let value: number | Uint8Array;
    switch (tag % 8) {
      case 0:
        value = varint();
        break;
      case 1:
        value = view.getFloat64(at, true);
        at += 8;
        break;
      case 2: {
        const length = varint();
        value = bytes.subarray(at, at += length);
        break;
      }
      case 5:
        value = view.getFloat32(at, true);
        at += 4;
        break;
      default:
        throw new Error(`Cannot read wire type ${tag % 8}`);
    }
    fields.set(number, [...fields.get(number) ?? [], value]);
  }
  return fields;
}

/** The records of an event file, whose checksums are checked. */
function recordsOf(bytes: Uint8Array): Message[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const unmasked = (at: number) => {
    const turned = (view.getUint32(at, true) - 0xa282ead8) >>> 0;
    return ((turned >>> 17) | (turned << 15)) >>> 0;
  };
  const records: Message[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = Number(view.getBigUint64(at, true));
    assertEquals(unmasked(at + 8), crc32c(bytes.subarray(at, at + 8)));
    const data = bytes.subarray(at + 12, at + 12 + length);
    assertEquals(data.length, length, "the last record is whole");
    assertEquals(unmasked(at + 12 + length), crc32c(data));
    records.push(parse(data));
    at += 16 + length;
  }
  return records;
}

const text = (value: unknown) => new TextDecoder().decode(value as Uint8Array);

/** What a record says of each tag. */
function valuesOf(record: Message): Map<string, number | string> {
  const [summary] = record.get(5) ?? [];
  const values = parse(summary as Uint8Array).get(1)!.map((bytes) => {
    const value = parse(bytes as Uint8Array);
    const tag = text(value.get(1)![0]);
    const tensor = value.get(8)?.[0] as Uint8Array | undefined;
    if (tensor === undefined) return [tag, value.get(2)![0] as number] as const;
    const metadata = parse(value.get(9)![0] as Uint8Array);
    const plugin = parse(metadata.get(1)![0] as Uint8Array);
    assertEquals(text(plugin.get(1)![0]), "text");
    assertEquals(parse(tensor).get(1), [7]); // DT_STRING
    return [tag, text(parse(tensor).get(8)![0])] as const;
  });
  return new Map<string, number | string>(values);
}

Deno.test("A board holds each number under its tag, at its step and time", () => {
  const events = [
    { event: "start", step: 0, time: 1e9 },
    { event: "step", step: 300, loss: 2.5, gradNorm: null, time: 1e9 + 0.25 },
    { event: "eval", step: 300, trainLoss: 2.25, valLoss: 2.375, time: 2e9 },
    { event: "sample", step: 300, prompt: "\n", text: "Hé\n  go", time: 2e9 },
    { event: "update", step: 301, ratios: { wte: 0.5, wpe: null }, time: 2e9 },
  ];
  const [head, step, evaluated, sample, update, ...rest] = recordsOf(
    concat([
      fileHeader(1e9),
      ...events.map(recordOf).filter((record) => record !== undefined),
    ]),
  );
  assertEquals(rest, []);
  assertEquals(text(head!.get(3)![0]), "brain.Event:2");
  assertEquals(head!.get(1), [1e9]);
  assertEquals(step!.get(1), [1e9 + 0.25]);
  assertEquals(step!.get(2), [300]);
  assertEquals([...valuesOf(step!)], [["loss/batch", 2.5]]);
  assertEquals([...valuesOf(evaluated!)], [
    ["loss/train", 2.25],
    ["loss/validation", 2.375],
  ]);
  assertEquals([...valuesOf(sample!)], [["sample", "    \n    Hé\n      go"]]);
  assertEquals([...valuesOf(update!)], [["update to weight/wte", 0.5]]);
});

Deno.test("train shows TensorBoard what metrics.jsonl says, also after a resume", async () => {
  await using here = await Workplace.create();
  await here.run(["train", ...SMALL, "--out", "run"]);
  const more = ["--steps", "18", "--device", "reference"];
  const { code, stderr } = await here.run([
    "train",
    "--resume",
    "run",
    ...more,
  ]);
  assertEquals(code, 0, stderr);
  const metrics = await Deno.readTextFile(here.file("run/metrics.jsonl"));
  const board = await Deno.readFile(here.file("run/events.out.tfevents.lm"));
  const shown = recordsOf(board).slice(1).map((record) =>
    [record.get(2)![0], [...valuesOf(record).keys()][0]] as const
  );
  const told = metrics.trimEnd().split("\n").map((line) => JSON.parse(line));
  const expected = told.flatMap(({ event, step }) => {
    const tag = {
      ...{ step: "loss/batch", eval: "loss/train", sample: "sample" },
      update: "update to weight/wte.weight",
    };
    return event in tag ? [[step, tag[event as keyof typeof tag]]] : [];
  });
  assertEquals(shown, expected as unknown as typeof shown);
  assertEquals(shown.filter(([, tag]) => tag === "loss/batch").length, 18);
  const step = told.find(({ event }) => event === "step");
  const first = valuesOf(recordsOf(board)[1]!);
  assertAlmostEquals(first.get("loss/batch") as number, step.loss, 1e-6);
});

Deno.test("A step is in metrics.jsonl and in TensorBoard's file as soon as it is recorded", async () => {
  await using here = await Workplace.create();
  using run = await RunDirectory.open(here.file("run"), { config: {} });
  const read = async () =>
    recordsOf(await Deno.readFile(here.file("run/events.out.tfevents.lm")));
  const step = async (step: number) => {
    const line = await run.record({ event: "step", step, loss: 2.5 });
    const metrics = await Deno.readTextFile(here.file("run/metrics.jsonl"));
    assertEquals(metrics.trimEnd().split("\n").length, step);
    assertEquals(metrics.endsWith(line), true);
  };
  await step(1);
  assertEquals((await read()).length, 1 + 1);
  await step(2);
  await run.record({ event: "end", step: 2 });
  assertEquals((await read()).length, 1 + 2);
});
