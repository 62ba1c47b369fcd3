/** Reads a recorded model and makes it ready for the checks. */

import type { Backend, Numbers } from "../../lib/backends/backend.ts";
import {
  type ModelConfig,
  modelConfig,
  type ModelOptions,
} from "../../lib/config/model.ts";
import type { LayoutEntry } from "../../lib/graph/layout.ts";
import { Model } from "../../lib/model/model.ts";
import { parameterLayout } from "../../lib/model/plans.ts";
import type { TensorData } from "../../lib/formats/safetensors.ts";
import type { Report } from "./comparison.ts";
import { type Computed, type Recording, refuse } from "./recording.ts";
import { type Kind, Tolerances } from "./tolerances.ts";

/** A recorded model with the inputs of its checks. */
export class Subject {
  readonly recording: Recording;
  readonly report: Report;
  readonly config: ModelConfig;
  /** All parameters with their places in the flat stores. */
  readonly parameters: readonly LayoutEntry[];
  readonly tolerances: Tolerances;
  readonly #backend: Backend;
  readonly #tensors: ReadonlyMap<string, TensorData>;

  /** @throws {NotUnderstoodError} if the configuration or the parameters cannot be read */
  constructor(recording: Recording, report: Report, backend: Backend) {
    this.recording = recording;
    this.report = report;
    this.#backend = backend;
    this.config = recording.json(
      "config",
      (value) => readConfig(value as ModelOptions, recording),
    );
    this.parameters = parameterLayout(this.config).entries;
    this.#tensors = new Map(this.parameters.map(({ name, shape }) => {
      const { values } = recording.floats(name, shape);
      return [name, { dtype: "F32", shape, data: Float32Array.from(values) }];
    }));
    this.tolerances = new Tolerances({
      float64: backend.kind === "reference",
      sharp: !this.config.attentionScale,
    });
  }

  /** Makes the model with its recorded initial parameters. */
  model(): Promise<Model> {
    const checkpoint = { config: this.config, tensors: this.#tensors };
    return Model.load(checkpoint, { backend: this.#backend });
  }

  /** Compares a quantity with its record, if there is one. */
  compare(
    name: string,
    values: ArrayLike<number>,
    { kind, shape }: { kind: Kind; shape: readonly number[] },
  ): void {
    this.recording.compare(this.report, {
      quantity: name,
      computed: [{ name, shape, values }],
      tolerance: (precision) => this.tolerances.of(kind, precision),
    });
  }

  /** Returns the parameters whose record has this prefix, e.g. `grad.`. */
  recorded(prefix: string): readonly LayoutEntry[] {
    return this.parameters.filter(({ name }) =>
      this.recording.has(prefix + name)
    );
  }

  /** Returns the parts of a flat store for the records that begin with a prefix. */
  partsOf(
    flat: Numbers,
    prefix: string,
    only?: (parameter: LayoutEntry) => Computed["only"],
  ): Computed[] {
    return this.parameters.map((parameter) => ({
      name: prefix + parameter.name,
      shape: parameter.shape,
      values: partOf(parameter, flat),
      only: only?.(parameter),
    }));
  }
}

/** Returns a parameter's numbers in a flat store. */
export function partOf(
  { offset, length }: LayoutEntry,
  flat: Numbers,
): Numbers {
  return flat.subarray(offset, offset + length);
}

function readConfig(options: ModelOptions, recording: Recording): ModelConfig {
  const config = modelConfig(options);
  // Each layer has parameters, so more layers than tensors are false, and would cost memory.
  if (config.nLayer > recording.size) {
    refuse(
      `nLayer is ${config.nLayer}, and there are ${recording.size} tensors`,
    );
  }
  if (config.dropout !== 0) {
    refuse(`dropout is ${config.dropout}, not 0`);
  }
  return config;
}
