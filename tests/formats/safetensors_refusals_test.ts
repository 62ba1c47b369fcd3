import { assert, assertEquals, assertThrows } from "@std/assert";
import { CounterRandom, Purpose } from "../../kernels/random.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
  type Safetensors,
} from "../../lib/formats/safetensors.ts";
import { fileOf, someTensors } from "../fixtures/safetensors_files.ts";

function refuses(file: Uint8Array, reason: string): void {
  assertThrows(
    () => decodeSafetensors(file),
    SyntaxError,
    `Cannot read safetensors: ${reason}`,
  );
}

Deno.test("A file that ends early is refused with both lengths", () => {
  refuses(new Uint8Array(), "the file has 0 bytes");
  refuses(new Uint8Array(7), "the file has 7 bytes");
  refuses(
    fileOf("{}").subarray(0, 9),
    "the header has 2 bytes, the file only 1 after",
  );
  const whole = encodeSafetensors(someTensors(), { step: "12" });
  for (let length = 0; length < whole.length; length++) {
    assertThrows(
      () => decodeSafetensors(whole.subarray(0, length)),
      SyntaxError,
      "Cannot read",
    );
  }
});

Deno.test("A header longer than the format allows is refused before it is read", () => {
  const file = fileOf("{}");
  new DataView(file.buffer).setBigUint64(0, 100_000_001n, true);
  refuses(
    file,
    "it is not a safetensors file, or damaged: the header would have 100000001 bytes, the limit is 100000000",
  );
  new DataView(file.buffer).setBigUint64(0, 2n ** 64n - 1n, true);
  refuses(
    file,
    "it is not a safetensors file, or damaged: the header would have 18446744073709551615 bytes",
  );
});

Deno.test("A header that is not the format's JSON is refused with the position", () => {
  const cases: [string, string][] = [
    ["", 'at character 0 of the header is its end, not "{"'],
    [" {}", 'at character 0 of the header is " ", not "{"'],
    ["[]", 'at character 0 of the header is "[", not "{"'],
    ["{", 'at character 1 of the header is its end, not "\\""'],
    ["{}x", 'at character 2 of the header is "x", not the end'],
    ["{} {}", 'at character 3 of the header is "{", not the end'],
    ["{a:1}", 'at character 1 of the header is "a", not "\\""'],
    ['{"a"}', 'at character 4 of the header is "}", not ":"'],
    ['{"a":1}', 'at character 5 of the header is "1", not "{"'],
    ['{"a":[]}', 'at character 5 of the header is "[", not "{"'],
    ['{"a":{}}', '"a" has no dtype'],
    ['{"a":{},}', '"a" has no dtype'],
    ['{"a":{"dtype":4}}', 'at character 14 of the header is "4", not "\\""'],
    ['{"a":{"dtype":"U8","more":1}}', '"a" has the unknown key "more"'],
    ['{"a":{"dtype":"U8"}}', '"a" has no shape'],
    ['{"a":{"dtype":"U8","shape":[0]}}', '"a" has no data_offsets'],
    ['{"a', "the string at character 1 has no closing quote"],
    ['{"a\\"', "the string at character 1 has no closing quote"],
    ['{"a\\x"', "the string at character 1 of the header is not JSON"],
    ['{"a\n"', "the string at character 1 of the header is not JSON"],
    ['{"\\ud800"', "the string at character 1 of the header is not JSON"],
    [
      '{"__metadata__":{"a":1}}',
      'at character 21 of the header is "1", not "\\""',
    ],
    ['{"__metadata__":"a"}', 'at character 16 of the header is "\\"", not "{"'],
    [
      '{"__metadata__":{"a":{"b":"c"}}}',
      'at character 21 of the header is "{", not "\\""',
    ],
    ["[".repeat(100_000), 'at character 0 of the header is "["'],
  ];
  for (const [header, reason] of cases) refuses(fileOf(header), reason);
  refuses(
    fileOf(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)),
    "the header is not UTF-8 text",
  );
});

/** The header of one array "a", its three values verbatim. */
function entry(dtype: string, shape: string, offsets: string): string {
  return `{"a":{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}}`;
}

Deno.test("Duplicate keys are refused anywhere in the header", () => {
  const one = '"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}';
  refuses(fileOf(`{${one},${one}}`), 'the key "a" occurs twice');
  refuses(fileOf(`{${one},"\\u0061":{}}`), 'the key "a" occurs twice');
  refuses(
    fileOf('{"a":{"dtype":"U8","dtype":"U8"}}'),
    'the key "dtype" occurs twice',
  );
  refuses(
    fileOf('{"__metadata__":{"k":"1","k":"2"}}'),
    'the key "k" occurs twice',
  );
  refuses(
    fileOf('{"__metadata__":{},"__metadata__":{}}'),
    'the key "__metadata__" occurs twice',
  );
});

Deno.test("Shapes and offsets that are not integers from 0 to 2^53 - 1 are refused", () => {
  for (
    const number of [
      "-1",
      "1.5",
      "1e3",
      "01",
      "9007199254740992",
      "1".repeat(400),
      "null",
      '"1"',
    ]
  ) {
    refuses(fileOf(entry("U8", `[${number}]`, "[0,0]")), "at character");
    refuses(fileOf(entry("U8", "[0]", `[0,${number}]`)), "at character");
  }
  refuses(
    fileOf(entry("U8", "4", "[0,0]"), 4),
    'at character 27 of the header is "4", not "["',
  );
  refuses(
    fileOf(entry("U8", "[1,]", "[0,0]"), 4),
    'at character 30 of the header is "]", not an integer',
  );
});

Deno.test("An unknown element type is refused by name", () => {
  refuses(
    fileOf(entry("F8_E4M3", "[4]", "[0,4]"), 4),
    '"a" has dtype "F8_E4M3", known are F64, F32',
  );
  refuses(
    fileOf(entry("toString", "[2]", "[0,4]"), 4),
    '"a" has dtype "toString"',
  );
  refuses(fileOf(entry("f32", "[1]", "[0,4]"), 4), '"a" has dtype "f32"');
});

Deno.test("A shape that does not fit its bytes is refused with both numbers", () => {
  refuses(
    fileOf(entry("F32", "[2,3]", "[0,20]"), 20),
    '"a" has shape [2,3] of F32, 24 bytes, and data of 20',
  );
  refuses(
    fileOf(entry("F64", "[]", "[0,4]"), 4),
    '"a" has shape [] of F64, 8 bytes, and data of 4',
  );
  refuses(
    fileOf(entry("U8", "[1]", "[0]"), 1),
    '"a" has 1 data_offsets, not 2',
  );
  refuses(
    fileOf(entry("U8", "[1]", "[0,1,1]"), 1),
    '"a" has 3 data_offsets, not 2',
  );
});

Deno.test("A shape too large to count is refused, also before a 0", () => {
  refuses(
    fileOf(entry("U8", "[94906267,94906267]", "[0,1]"), 1),
    '"a" has shape [94906267,94906267]',
  );
  refuses(
    fileOf(entry("U8", "[9007199254740991,2,0]", "[0,0]")),
    '"a" has shape',
  );
  refuses(
    fileOf(entry("F64", "[9007199254740991]", "[0,8]"), 8),
    '"a" has shape [9007199254740991] of F64',
  );
});

Deno.test("Arrays that do not fill the data exactly are refused", () => {
  const two = (a: string, b: string) =>
    `{"a":{"dtype":"U8","shape":[4],"data_offsets":[${a}]},` +
    `"b":{"dtype":"U8","shape":[4],"data_offsets":[${b}]}}`;
  refuses(fileOf(two("0,4", "3,7"), 7), '"b" begins at 3 inside another array');
  refuses(fileOf(two("0,4", "0,4"), 4), '"b" begins at 0 inside another array');
  refuses(fileOf(two("0,4", "5,9"), 9), "bytes 4 to 5 of the data are unused");
  refuses(fileOf(two("1,5", "5,9"), 9), "bytes 0 to 1 of the data are unused");
  refuses(fileOf(two("0,4", "4,8"), 9), "bytes 8 to 9 of the data are unused");
  refuses(fileOf(two("0,4", "4,8"), 7), '"b" ends at 8, the data at 7');
  refuses(fileOf(two("0,4", "8,4"), 8), '"b" begins at 8 and ends at 4');
  refuses(fileOf("{}", 1), "bytes 0 to 1 of the data are unused");
});

Deno.test("A refusal stays short, however long a file's names are", () => {
  const header = `{"${"x".repeat(1_000_000)}":{}}`;
  const { message } = assertThrows(
    () => decodeSafetensors(fileOf(header)),
    SyntaxError,
  );
  assert(message.length < 200);
});

/** Damages copies of a file; a step is always damaged in the same way. */
class Mutator {
  readonly #random = new CounterRandom(2024, Purpose.init);
  readonly #file: Uint8Array;

  constructor(file: Uint8Array) {
    this.#file = file;
  }

  mutated(step: number): Uint8Array {
    let used = 0;
    const below = (n: number) => this.#random.below(n, step, used++);
    let bytes: Uint8Array = this.#file.slice();
    for (let edits = 1 + below(3); edits > 0; edits--) {
      const at = below(bytes.length);
      switch (below(5)) {
        case 0: // flip a bit
          bytes[at]! ^= 1 << below(8);
          break;
        case 1: // write a byte that means something to JSON
          bytes[at] = '{}[]",:\\0123456789eE.-ua '.charCodeAt(below(24));
          break;
        case 2: // truncate
          bytes = bytes.slice(0, at + 1);
          break;
        case 3: // cut a piece out
          bytes = joined(bytes.subarray(0, at), bytes.subarray(at + below(12)));
          break;
        case 4: // put a piece of the file in
          bytes = joined(
            bytes.subarray(0, at),
            this.#file.subarray(below(this.#file.length)).subarray(
              0,
              below(40),
            ),
            bytes.subarray(at),
          );
          break;
      }
      if (bytes.length === 0) break;
    }
    return bytes;
  }
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** All bytes are accounted for, and every array is what its entry says. */
function assertWellFormed(
  { tensors, metadata }: Safetensors,
  file: Uint8Array,
): void {
  const headerLength = Number(
    new DataView(file.buffer, file.byteOffset).getBigUint64(0, true),
  );
  let dataLength = 0;
  for (const { shape, data } of tensors.values()) {
    assertEquals(
      shape.reduce((product, length) => product * length, 1),
      data.length,
    );
    dataLength += data.byteLength;
  }
  assertEquals(8 + headerLength + dataLength, file.length);
  for (const value of Object.values(metadata)) {
    assertEquals(typeof value, "string");
  }
}

Deno.test("A damaged file is either refused or read as well-formed, 5000 times", () => {
  const mutator = new Mutator(
    encodeSafetensors(someTensors(), { config: '{"a":[1,2]}', step: "7" }),
  );
  const outcomes = { refused: 0, read: 0 };
  for (let step = 0; step < 5000; step++) {
    const file = mutator.mutated(step);
    let result: Safetensors;
    try {
      result = decodeSafetensors(file);
    } catch (error) {
      assert(error instanceof SyntaxError, `mutation ${step}: ${error}`);
      assert(
        error.message.startsWith("Cannot read safetensors: "),
        `mutation ${step}: ${error}`,
      );
      outcomes.refused++;
      continue;
    }
    assertWellFormed(result, file);
    outcomes.read++;
  }
  // Both kinds must really have occurred: flips within the data are harmless.
  assert(
    outcomes.refused > 1000 && outcomes.read > 100,
    JSON.stringify(outcomes),
  );
});
