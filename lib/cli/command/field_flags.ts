/** The flags of the configuration fields, made from the fields' tables. */

import type { Field } from "../../config/field.ts";
import {
  type ModelConfig,
  modelConfig,
  modelFields,
} from "../../config/model.ts";
import { DEFAULT_PRESET, presets } from "../../config/presets.ts";
import {
  type TrainConfig,
  trainConfig,
  trainFields,
} from "../../config/train.ts";
import {
  choice,
  type Flag,
  type FlagsOf,
  integer,
  number,
  numberOrOff,
  toggle,
} from "./flag.ts";

const usual = presets[DEFAULT_PRESET];

/** Flags of the architecture; help shows the values of the default preset. */
export const modelFlags: FlagsOf<ModelConfig> = fieldFlags(
  modelFields,
  modelConfig({ vocabSize: 65, ...usual.model }),
);

/** Flags of the training; help shows the values of the default preset. */
export const trainingFlags: FlagsOf<TrainConfig> = fieldFlags(
  trainFields,
  trainConfig(usual.train),
);

function fieldFlags<Config extends object>(
  fields: ReadonlyMap<keyof Config & string, Field>,
  usual: Config,
): FlagsOf<Config> {
  const flags = [...fields].map((
    [name, field],
  ) => [name, flagOf(field, usual[name])]);
  return Object.fromEntries(flags);
}

function flagOf(
  { type, help, synonyms: aliases, range = {}, choices }: Field,
  usual: unknown,
): Flag<unknown> {
  const text = { help, without: inWords(usual), aliases };
  switch (type) {
    case "boolean":
      return toggle(help, { ...text, negatable: true });
    case "integer":
      return integer(text, range);
    case "number":
      return number(text, range);
    case "number or off":
      return numberOrOff(text, range);
    case "choice":
      return choice(choices as string[], text);
  }
}

function inWords(value: unknown): string {
  if (value === null) return "off";
  if (typeof value === "boolean") return value ? "on" : "off";
  return String(value);
}
