/** That the variants leave nothing out. */

import { assert, assertEquals } from "@std/assert";
import { modelFields } from "../../lib/config/model.ts";
import { variants } from "../../lib/checks/variants.ts";

Deno.test("Variants have every choice of every configuration field", () => {
  for (const [field, { type, choices }] of modelFields) {
    const values = new Set(variants.map(({ config }) => config[field]));
    if (choices) assertEquals(values, new Set(choices), field);
    else if (type === "boolean") {
      assertEquals(values, new Set([false, true]), field);
    } // Fields that every variant has the same: sizes.
    else if (field !== "blockSize" && field !== "nLayer") {
      assert(values.size > 1, `${field} has one value only`);
    }
  }
});

Deno.test("Variants have names of their own", () => {
  assertEquals(new Set(variants.map(({ name }) => name)).size, variants.length);
});
