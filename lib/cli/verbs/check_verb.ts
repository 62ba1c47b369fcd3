/** `check` and its flags. */

import { dataFlag, toggle } from "../command/flag.ts";
import {
  bestFlag,
  type CommonFlags,
  commonFlags,
  jsonFlag,
  type Verb,
} from "../command/verbs.ts";

/** What `check` can be told. */
export interface CheckFlags extends CommonFlags {
  machine: boolean;
  data: readonly string[];
  best: boolean;
  json: boolean;
}

/** `check`. */
export const checkVerb: Verb<CheckFlags> = {
  name: "check",
  summary: "verify this machine's numerics and, optionally, a run",
  operand: "RUN",
  examples: [
    ["check", "kernels, gradients, causality, repeatability, speed"],
    ["check runs/NAME", "also its files, leaks, its own text, copying"],
    ["check --device webgpu", "the same on another device"],
  ],
  flags: {
    machine: toggle({
      help: "also check the machine; --no-machine: the run alone",
      without: "on",
    }, { negatable: true }),
    data: dataFlag("the run's own"),
    best: bestFlag,
    json: jsonFlag("one JSON object a line on standard output"),
    ...commonFlags,
  },
  sections: {
    Flags: ["machine", "data", "best", "device", "threads", "json", "help"],
  },
};
