/** The thread of `watch.ts`. */

import { residentKilobytes } from "./watch.ts";

let shared: Int32Array | undefined;
let what: string | undefined;
let since = 0;
let before = 0;
let mostMs = Infinity;
let mostKilobytes = Infinity;

function look(): void {
  if (shared === undefined) return;
  const now = residentKilobytes();
  if (now > Atomics.load(shared, 0)) Atomics.store(shared, 0, now);
  if (what === undefined) return;
  const inTime = performance.now() - since < mostMs;
  if (inTime && now - before < mostKilobytes) return;
  console.error(`No end of ${inTime ? "memory" : "time"} in sight: ${what}`);
  Deno.kill(Deno.pid, "SIGKILL");
}

addEventListener("message", (event) => {
  const { data } = event as MessageEvent;
  if (data.shared !== undefined) {
    ({ shared, mostMs, mostKilobytes } = data);
    setInterval(look, data.lookMs);
    return;
  }
  what = data.what;
  since = performance.now();
  before = residentKilobytes();
});
