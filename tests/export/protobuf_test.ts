import { assertEquals } from "@std/assert";
import {
  bytesField,
  floatField,
  integerField,
  lengthOf,
  type Message,
  messageField,
  piecesOf,
  textField,
} from "../../lib/export/protobuf.ts";

function hex(message: Message): string {
  return piecesOf(message).map((piece) => piece.toHex()).join("");
}

// The first three are the examples of https://protobuf.dev/programming-guides/encoding/.
Deno.test("Fields have the bytes of the protocol buffer encoding", () => {
  assertEquals(hex([integerField(1, 150)]), "089601");
  assertEquals(hex([textField(2, "testing")]), "120774657374696e67");
  assertEquals(hex([messageField(3, [integerField(1, 150)])]), "1a03089601");
  assertEquals(hex([integerField(1, -1)]), "08ffffffffffffffffff01");
  assertEquals(hex([integerField(20, 0)]), "a00100");
  assertEquals(hex([integerField(1, 2 ** 40)]), "08808080808020");
  assertEquals(hex([floatField(2, 1.5)]), "150000c03f");
  assertEquals(hex([bytesField(9, Int16Array.of(1, -2))]), "4a040100feff");
});

Deno.test("A message refers to its arrays and knows its length", () => {
  const data = new Float32Array(100);
  const message = [
    messageField(7, [integerField(1, 300), bytesField(2, data)]),
  ];
  const pieces = piecesOf(message);
  assertEquals(pieces.at(-1)!.buffer, data.buffer);
  const total = pieces.reduce((sum, { length }) => sum + length, 0);
  assertEquals(lengthOf(message), total);
  assertEquals(total, 1 + 2 + (1 + 2) + (1 + 2 + 400));
});
