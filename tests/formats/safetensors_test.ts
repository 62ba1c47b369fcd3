import {
  assert,
  assertEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  decodeSafetensors,
  encodeSafetensors,
  type TensorData,
} from "../../lib/formats/safetensors.ts";
import { fileOf, someTensors } from "../fixtures/safetensors_files.ts";

Deno.test("Safetensors are read as they were written, for every element type", () => {
  const metadata: Record<string, string> = {
    config: '{"nLayer":4}',
    'π "\\\n': "日本語 😀",
    empty: "",
  };
  const read = decodeSafetensors(encodeSafetensors(someTensors(), metadata));
  const byName = [...read.tensors].sort(([a], [b]) => a < b ? -1 : 1);
  assertEquals(byName, [...someTensors()].sort(([a], [b]) => a < b ? -1 : 1));
  assertEquals({ ...read.metadata }, metadata);
});

Deno.test("Safetensors are written as the format says, byte for byte", () => {
  const tensors = new Map([
    ["a", { dtype: "I32", shape: [2], data: Int32Array.of(1, -2) } as const],
  ]);
  const json =
    '{"__metadata__":{"k":"v"},"a":{"dtype":"I32","shape":[2],"data_offsets":[0,8]}}';
  const expected = fileOf(json.padEnd(Math.ceil(json.length / 8) * 8), 8);
  expected.set([1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff], expected.length - 8);
  assertEquals(encodeSafetensors(tensors, { k: "v" }), expected);
});

Deno.test("Safetensors of another program are written again with the same bytes", async () => {
  for (
    const name of ["sampler", "base", "decoding-alibi", "modern"]
  ) {
    const file = await Deno.readFile(
      new URL(`../golden/${name}.safetensors`, import.meta.url),
    );
    const { tensors, metadata } = decodeSafetensors(file);
    assert(tensors.size > 0);
    const again = encodeSafetensors(tensors, metadata);
    assert(
      again.every((byte, i) => byte === file[i]) &&
        again.length === file.length,
      name,
    );
  }
});

Deno.test("Safetensors without arrays or metadata are an empty object", () => {
  const file = encodeSafetensors(new Map());
  assertEquals(new TextDecoder().decode(file.subarray(8)), "{}      ");
  const { tensors, metadata } = decodeSafetensors(file);
  assertEquals([tensors.size, Object.keys(metadata).length], [0, 0]);
});

Deno.test("Safetensors keep names that are special in JavaScript", () => {
  const names = [
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "0",
    "",
  ];
  const tensors = new Map(
    names.map((
      name,
      i,
    ) => [name, { dtype: "U8", shape: [1], data: Uint8Array.of(i) } as const]),
  );
  const metadata = Object.fromEntries(
    names.map((name) => [name, `value of ${name}`]),
  );
  const read = decodeSafetensors(encodeSafetensors(tensors, metadata));
  for (const [i, name] of names.entries()) {
    assertEquals([...read.tensors.get(name)!.data], [i]);
    assertStrictEquals(read.metadata[name], `value of ${name}`);
  }
  assertStrictEquals(
    ({} as Record<string, unknown>)["value of __proto__"],
    undefined,
  );
  assertStrictEquals(
    decodeSafetensors(encodeSafetensors(new Map())).metadata["toString"],
    undefined,
  );
});

Deno.test("Decoded arrays are views where aligned, copies where not", () => {
  const file = encodeSafetensors(someTensors());
  for (const { data } of decodeSafetensors(file).tensors.values()) {
    assertStrictEquals(data.buffer, file.buffer);
  }
  const shifted = new Uint8Array(file.length + 1).subarray(1);
  shifted.set(file);
  const { tensors } = decodeSafetensors(shifted);
  assertEquals(tensors, decodeSafetensors(file).tensors);
  const copied = [...tensors.values()].filter(({ data }) =>
    data.buffer !== shifted.buffer
  );
  assert(copied.every(({ data }) => data.BYTES_PER_ELEMENT > 1));
  assert(
    copied.reduce((sum, { data }) => sum + data.buffer.byteLength, 0) <
      file.length,
  );
});

Deno.test("Safetensors may list arrays in any order, with JSON's white space", () => {
  const { tensors } = decodeSafetensors(fileOf(
    '{ "b" :\n{"data_offsets": [2, 4 ],\t"shape":[ 2 ],"dtype":"U8"} ,' +
      '"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}   ',
    4,
  ));
  assertEquals([...tensors].map(([name, { data }]) => [name, ...data]), [[
    "a",
    0,
    1,
  ], ["b", 2, 3]]);
});

Deno.test("encodeSafetensors refuses content that could not be read again", () => {
  const one = { dtype: "F32", shape: [2], data: new Float32Array(2) } as const;
  const encode = (name: string, tensor: TensorData, metadata = {}) => () =>
    encodeSafetensors(new Map([[name, tensor]]), metadata);
  assertThrows(
    encode("a", { ...one, shape: [3] }),
    RangeError,
    '"a" has shape [3] and 2 elements',
  );
  assertThrows(
    encode("a", { ...one, shape: [-1, -2] }),
    RangeError,
    "shape [-1,-2]",
  );
  assertThrows(
    encode("a", { ...one, shape: [0.5, 4] }),
    RangeError,
    "shape [0.5,4]",
  );
  assertThrows(
    encode("__metadata__", one),
    RangeError,
    "a tensor is named __metadata__",
  );
  assertThrows(encode("\ud800", one), RangeError, "half a surrogate pair");
  assertThrows(
    encode("a", one, { k: "\udc00" }),
    RangeError,
    "half a surrogate pair",
  );
  assertThrows(
    encode("a", one, { step: 3 }),
    TypeError,
    'metadata "step" is number',
  );
  const mistyped = {
    ...one,
    data: new Float64Array(2),
  } as unknown as TensorData;
  assertThrows(
    encode("a", mistyped),
    TypeError,
    "its data is not a Float32Array",
  );
});
