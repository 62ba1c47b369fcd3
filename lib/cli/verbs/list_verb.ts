/** `list` and its flags. */

import {
  type CommonFlags,
  commonFlags,
  jsonFlag,
  type Verb,
} from "../command/verbs.ts";

/** What `list` can be told. */
export interface ListFlags extends Pick<CommonFlags, "help"> {
  json: boolean;
}

/** `list`. */
export const listVerb: Verb<ListFlags> = {
  name: "list",
  summary: "list the runs of a folder: settings, losses, state; newest first",
  operand: "DIR",
  examples: [
    ["list", "the runs in runs/, the last one begun first"],
    ["list DIR --json", "those of another folder, for a program"],
  ],
  flags: {
    json: jsonFlag("one JSON object per run; unknown values are null"),
    help: commonFlags.help,
  },
  sections: { Flags: ["json", "help"] },
};
