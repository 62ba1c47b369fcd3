/** That the library is the same where there is no Deno. That nothing in it names one is for `rooms_test.ts`. */

import { assertEquals } from "@std/assert";
import type { Told } from "./without_deno.ts";

Deno.test("The library trains, saves, loads and generates in a runtime without Deno", async () => {
  const url = new URL("./without_deno.ts", import.meta.url);
  const worker = new Worker(url, { type: "module" });
  try {
    const told = await new Promise<Told>((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = (event) => {
        event.preventDefault();
        reject(new Error(event.message));
      };
    });
    assertEquals(told, { hasDeno: false, steps: 3, characters: 12 });
  } finally {
    worker.terminate();
  }
});
