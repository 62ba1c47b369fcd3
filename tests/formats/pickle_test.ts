/** Pickles, and the zip archives of PyTorch: plain data is read, nothing is executed, and what is hostile or damaged is refused. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { CounterRandom, Purpose } from "../../kernels/random.ts";
import { PickleName, readPickle } from "../../lib/formats/pickle.ts";
import { openTorchFile, TorchTensor } from "../../lib/formats/torch_file.ts";
import {
  type Pickled,
  pickleOf,
  PythonFloat,
  PythonTuple,
  SavedTensor,
  torchPieces,
} from "../../lib/formats/torch_writer.ts";
import { openZip, zipPieces } from "../../lib/formats/zip.ts";
import { concat } from "../../lib/cli/run/files.ts";

const nothing = { calls: new Map() };

/** Bytes of a pickle: text is its characters, numbers are bytes. */
function bytes(...parts: (string | number)[]): Uint8Array {
  return Uint8Array.from(
    parts.flatMap((part) =>
      typeof part === "number"
        ? [part]
        : [...part].map((char) => char.charCodeAt(0))
    ),
  );
}

function refuses(pickle: Uint8Array, message: string): void {
  assertThrows(() => readPickle(pickle, nothing), SyntaxError, message);
}

Deno.test("readPickle reads what Python's pickle.dumps wrote, in protocols 2 and 4", () => {
  // {"a": [1, 300, -5, 2**40, 1.5], "é": (True, None), 7: ("a",)}
  const value = readPickle(
    bytes(
      ...[0x80, 2, "}q", 0, "(X", 1, 0, 0, 0, "aq", 1, "]q", 2, "(K", 1, "M"],
      ...[0x2c, 1, "J", 0xfb, 0xff, 0xff, 0xff, 0x8a, 6, 0, 0, 0, 0, 0, 1],
      ...["G", 0x3f, 0xf8, 0, 0, 0, 0, 0, 0, "eX", 2, 0, 0, 0, 0xc3, 0xa9],
      ...["q", 3, 0x88, "N", 0x86, "q", 4, "K", 7, "h", 1, 0x85, "q", 5, "u."],
    ),
    nothing,
  ) as Map<unknown, unknown>;
  assertEquals([...value], [
    ["a", [1, 300, -5, 2 ** 40, 1.5]],
    ["é", [true, null]],
    [7, ["a"]],
  ]);
  const framed = bytes(
    ...[0x80, 4, 0x95, 11, 0, 0, 0, 0, 0, 0, 0, "}", 0x94, 0x8c, 1, "a"],
    ...[0x94, "K", 1, "s."],
  );
  assertEquals([...readPickle(framed, nothing) as Map<unknown, unknown>], [[
    "a",
    1,
  ]]);
});

Deno.test("pickleOf writes what readPickle reads", () => {
  const value: Pickled = new Map<string | number, Pickled>([
    ["é🎭", [null, true, false, -7, 2 ** 31, 0.5, new PythonFloat(3)]],
    [5, new PythonTuple([new Map(), "x"])],
  ]);
  assertEquals(
    readPickle(pickleOf(value), nothing),
    new Map<unknown, unknown>([
      ["é🎭", [null, true, false, -7, 2 ** 31, 0.5, 3]],
      [5, [new Map(), "x"]],
    ]),
  );
});

Deno.test("A pickle names and calls only what its reader lists", () => {
  // The classic: os.system("...") by GLOBAL and REDUCE, in both ways to name it.
  refuses(
    bytes(0x80, 2, "cposix\nsystem\nX", 2, 0, 0, 0, "ls", 0x85, "R."),
    'the pickle names "posix.system"; this program makes no such thing',
  );
  refuses(
    bytes(0x80, 4, 0x8c, 8, "builtins", 0x8c, 4, "eval", 0x93, "."),
    'the pickle names "builtins.eval"',
  );
  const only = { calls: new Map(), mentions: new Set(["torch.FloatStorage"]) };
  const mention = bytes("ctorch\nFloatStorage\n");
  const read = readPickle(concat([mention, bytes(".")]), only);
  assert(read instanceof PickleName);
  assertThrows(
    () => readPickle(concat([mention, bytes(")R.")]), only),
    SyntaxError,
    "calls something other than a listed function",
  );
  refuses(
    bytes("X", 1, 0, 0, 0, "f)R."),
    "calls something other than a listed",
  );
  refuses(bytes("NQ."), "has a persistent id");
});

Deno.test("Opcodes that build no plain data are refused by number and place", () => {
  // INST, OBJ, NEWOBJ, EXT1, DUP, POP, BINBYTES, NEXT_BUFFER, and a byte that is none.
  for (const code of ["i", "o", 0x81, 0x82, "2", "0", "B", 0x97, 0xff]) {
    refuses(bytes(0x80, 2, code), "at byte 2, which builds no plain data");
  }
});

Deno.test("A damaged pickle is refused by what is wrong", () => {
  refuses(bytes(), "the pickle has 0 bytes, and is cut short");
  refuses(bytes("X", 255, 255, 255, 255, "a"), "is cut short");
  refuses(bytes("cno line"), "is cut short");
  refuses(bytes("X", 1, 0, 0, 0, 0xff, "."), "has a text that is not UTF-8");
  refuses(bytes("."), "takes a value from an empty stack");
  refuses(bytes("K", 1, "(."), "takes a value from an empty stack");
  refuses(bytes("](q", 0, "t."), "takes a value from an empty stack");
  refuses(bytes("t."), "lacks a mark");
  refuses(bytes("h", 5, "."), "has no memo 5");
  refuses(bytes("NNa."), "appends to something other than a list");
  refuses(bytes("NNNs."), "sets an item of something other than a dict");
  refuses(bytes("}(Nu."), "sets an item of something other than a dict");
  refuses(bytes("NNb."), "sets attributes of something other than a dict");
  refuses(
    bytes(0x8a, 8, 0, 0, 0, 0, 0, 0, 0, 0x40, "."),
    "has an integer of more than 53 bits",
  );
  // A list that holds itself is plain data.
  const list = readPickle(bytes("]q", 0, "h", 0, "a."), nothing) as unknown[];
  assertEquals(list[0], list);
});

const source = (bytes: Uint8Array) => ({
  size: bytes.length,
  read: (begin: number, end: number) => {
    assert(0 <= begin && begin <= end && end <= bytes.length);
    return Promise.resolve(bytes.slice(begin, end));
  },
});

const archive = concat([...zipPieces([
  { name: "a/data.pkl", bytes: () => bytes("K", 7, ".") },
  { name: "a/é", bytes: () => new Uint8Array(1000).fill(9) },
])]);

Deno.test("An archive gives its files, at multiples of 64", async () => {
  const { sizes, read } = await openZip(source(archive));
  assertEquals([...sizes], [["a/data.pkl", 3], ["a/é", 1000]]);
  assertEquals(await read("a/é"), new Uint8Array(1000).fill(9));
  assertEquals(archive.indexOf(9) % 64, 0);
  assertEquals(await openTorchFile(source(archive)), 7);
});

/** Changes the directory's record of a file: `at` counts from its signature. */
function changed(
  file: number,
  at: number,
  value: number,
): Uint8Array {
  const copy = archive.slice();
  const view = new DataView(copy.buffer);
  const directory = view.getUint32(copy.length - 6, true);
  const second = directory + 46 + view.getUint16(directory + 28, true);
  view.setUint32([directory, second][file]! + at, value, true);
  return copy;
}

Deno.test("Archives that are damaged, compressed or claim too much are refused", async () => {
  const cases: [Uint8Array, string][] = [
    [new Uint8Array(5), "it is not a zip archive: it is too short"],
    [archive.subarray(0, -1), "its end record is missing"],
    [changed(0, 10, 8), '"a/data.pkl" in the archive is compressed'],
    [changed(1, 24, 5), '"a/é" in the archive is compressed'],
    [changed(0, 8, 1), '"a/data.pkl" in the archive is encrypted'],
    [changed(0, 0, 7), "the archive's directory is damaged"],
    [changed(1, 28, 60000), "the archive's directory is cut short"],
    [changed(0, 42, 1), '"a/data.pkl" is not where the archive says'],
    [changed(0, 42, 2 ** 31), "and a part of it would be at 2147483648"],
    [changed(0, 16, 5), "its checksum differs"],
  ];
  for (const [bytes, message] of cases) {
    await assertRejects(
      () =>
        openTorchFile(source(bytes)).then(async () => {
          const { read } = await openZip(source(bytes));
          await read("a/é");
        }),
      SyntaxError,
      message,
    );
  }
  const claims = changed(0, 20, archive.length);
  const directory = new DataView(claims.buffer).getUint32(
    claims.length - 6,
    true,
  );
  new DataView(claims.buffer).setUint32(directory + 24, archive.length, true);
  await assertRejects(
    () => openZip(source(claims)),
    SyntaxError,
    `the archive has ${archive.length} bytes, the files in it would have more`,
  );
  const twice = concat([...zipPieces([
    { name: "x", bytes: () => bytes("1") },
    { name: "x", bytes: () => bytes("2") },
  ])]);
  await assertRejects(
    () => openZip(source(twice)),
    SyntaxError,
    'the archive holds "x" twice',
  );
});

Deno.test("Tensors are views of their storages, and no more", async () => {
  const numbers = Float32Array.of(1, 2, 3, 4, 5, 6);
  const floats = () => numbers;
  const file = concat([...torchPieces([
    new SavedTensor([2, 3], floats),
    new SavedTensor([6], floats),
    new SavedTensor([], () => Float32Array.of(7)),
  ])]);
  const [matrix, vector, scalar] = await openTorchFile(
    source(file),
  ) as TorchTensor[];
  assertEquals(await matrix!.read(), {
    dtype: "F32",
    shape: [2, 3],
    data: numbers,
  });
  assertEquals((await vector!.read()).shape, [6]);
  assertEquals((await scalar!.read()).data, Float32Array.of(7));
  assertEquals([...(await openZip(source(file))).sizes.keys()], [
    "archive/data.pkl",
    "archive/byteorder",
    "archive/data/0",
    "archive/data/1",
    "archive/version",
  ]);
});

/** A file whose pickle rebuilds a tensor of a storage with two numbers. */
function tensorFile(
  { offset = 0, shape = [2], strides = [1], length = 2, key = "0" }: {
    readonly offset?: number;
    readonly shape?: readonly number[];
    readonly strides?: readonly number[];
    readonly length?: number;
    readonly key?: string;
  },
): Uint8Array {
  const tuple = (numbers: readonly number[]) => [
    "(",
    ...numbers.flatMap((
      n,
    ) => ["J", n & 255, (n >> 8) & 255, (n >> 16) & 255, n >>> 24]),
    "t",
  ];
  const pickle = bytes(
    ...[
      "ctorch._utils\n_rebuild_tensor_v2\n((X",
      7,
      0,
      0,
      0,
      "storagectorch\nFloatStorage\n",
    ],
    ...[
      "X",
      key.length,
      0,
      0,
      0,
      key,
      "N",
      ...tuple([length]).slice(1, -1),
      "tQ",
    ],
    ...tuple([offset]).slice(1, -1),
    ...tuple(shape),
    ...tuple(strides),
    ...[0x89, "NtR."],
  );
  return concat([...zipPieces([
    { name: "a/data.pkl", bytes: () => pickle },
    { name: "a/data/0", bytes: () => new Uint8Array(8) },
  ])]);
}

Deno.test("Tensors that are no contiguous part of their storage are refused", async () => {
  assert(await openTorchFile(source(tensorFile({}))) instanceof TorchTensor);
  const big = 2 ** 31 - 1;
  const cases: [Parameters<typeof tensorFile>[0], string][] = [
    [{ shape: [3] }, "ends past its storage of 2 numbers"],
    [{ offset: 1 }, "ends past its storage of 2 numbers"],
    [{ shape: [big, big], strides: [big, 1] }, "ends past its storage"],
    [{ strides: [2] }, "is not a contiguous part of its storage"],
    [{ strides: [0], shape: [big] }, "is not a contiguous part of its storage"],
    [{ shape: [-1] }, "is made of something other than numbers"],
    [{ strides: [] }, "is made of something other than numbers"],
    [{ length: big }, '"a/data/0" has 8 bytes, and should hold 2147483647'],
    [{ key: "1" }, '"a/data/1" has no bytes'],
    [{ key: "../x" }, '"a/data/../x" has no bytes'],
  ];
  for (const [change, message] of cases) {
    await assertRejects(
      () => openTorchFile(source(tensorFile(change))),
      SyntaxError,
      message,
    );
  }
});

Deno.test("A damaged file of PyTorch's is refused or read, 3000 times", async () => {
  const url = new URL("../golden/nanogpt/meta.pkl", import.meta.url);
  const pickle = await Deno.readFile(url);
  const random = new CounterRandom(5, Purpose.batch);
  let refused = 0;
  for (let row = 0; row < 3000; row++) {
    const whole = row % 2 === 0 ? pickle : tensorFile({});
    const copy = whole.slice(
      0,
      random.below(4, row, 0) === 0
        ? random.below(whole.length, row, 1)
        : undefined,
    );
    for (let i = 0; i < 1 + random.below(3, row, 2); i++) {
      copy[random.below(Math.max(1, copy.length), row, 3 + 2 * i)] = random
        .below(256, row, 4 + 2 * i);
    }
    try {
      if (row % 2 === 0) readPickle(copy, nothing);
      else {
        const value = await openTorchFile(source(copy));
        if (value instanceof TorchTensor) await value.read();
      }
    } catch (error) {
      assert(
        error instanceof SyntaxError && "reason" in error,
        `${row}: ${error}`,
      );
      refused++;
    }
  }
  assert(refused > 1000 && refused < 2990, `${refused}`);
});
