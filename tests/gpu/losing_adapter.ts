/** Loaded before the program (`--preload`), makes the machine lose its GPU at the third read. */

import { replaceAdapters, withDevice } from "./fake_adapter.ts";
import { loseAt } from "./losing_device.ts";

replaceAdapters((adapter) =>
  withDevice(adapter, (device) => void loseAt(device, ["mapAsync", 3]))
);
