/** Loaded before the program (`--preload`), makes the machine's adapter pass for hardware. */

import { passForHardware, replaceAdapters } from "./fake_adapter.ts";

replaceAdapters(passForHardware);
