/** A recorded network, read and ready to be run: what every check of networks starts from. */

import type { Backend } from "../../lib/backends/backend.ts";
import type { ModelConfig } from "../../lib/config/model.ts";
import { Model } from "../../lib/model/model.ts";
import { parameterLayout } from "../../lib/model/plans.ts";
import type { TensorData } from "../../lib/formats/safetensors.ts";
import type { Report } from "./comparison.ts";
import {
  type Family,
  readNetwork,
  type RecordedNetwork,
} from "./configuration.ts";
import { NotUnderstoodError } from "./not_understood.ts";
import {
  nameParameters,
  type Parameter,
  readParameters,
} from "./parameter_names.ts";
import type { Recording } from "./recording.ts";
import { type Kind, Tolerances } from "./tolerances.ts";

/** A recorded network and what its checks need. */
export class Subject {
  readonly recording: Recording;
  readonly report: Report;
  readonly backend: Backend;
  readonly network: RecordedNetwork;
  /** All parameters, in our layout's order. */
  readonly parameters: readonly Parameter[];
  readonly tolerances: Tolerances;
  readonly #tensors: ReadonlyMap<string, TensorData>;

  /** @throws {NotUnderstoodError} if the architecture or its parameters cannot be read */
  constructor(
    recording: Recording,
    report: Report,
    { family, backend }: { family: Family; backend: Backend },
  ) {
    this.recording = recording;
    this.report = report;
    this.backend = backend;
    const length = longestSequence(recording);
    this.network = readNetwork(recording, report, { family, length });
    const { config } = this.network;
    this.parameters = nameParameters(this.network, parameterLayout(config));
    this.#tensors = readParameters(recording, this.parameters);
    this.tolerances = new Tolerances({
      float64: backend.kind === "reference",
      sharp: !config.attentionScale,
    });
  }

  /** The architecture as recorded. */
  get config(): ModelConfig {
    return this.network.config;
  }

  /** The model with its recorded initial parameters, or a variant of it with the same ones. */
  model(variant: Partial<ModelConfig> = {}): Promise<Model> {
    const config = { ...this.config, ...variant };
    const checkpoint = { config, tensors: this.#tensors };
    return Model.load(checkpoint, { backend: this.backend });
  }

  /** Compares with every record of a quantity. */
  compare(
    quantity: string,
    computed: ArrayLike<number>,
    { kind, shape }: { kind: Kind; shape: readonly number[] },
  ): void {
    for (const source of this.recording.sources(quantity, shape)) {
      const { name, precision, values: recorded } = source;
      const tolerance = this.tolerances.of(kind, precision);
      this.report.compare(name, [{ name, recorded, computed }], tolerance);
    }
  }
}

/** The most tokens that a row of this file's sequences has. */
function longestSequence(recording: Recording): number {
  const lengths = ["tokens", "batch.tokens", "sequence", "prompt"]
    .filter((name) => recording.has(name))
    .map((name) => recording.shape(name).at(-1) ?? 0);
  if (recording.has("prompt") && recording.has("generated")) {
    const generated = recording.shape("generated").at(-1) ?? 0;
    lengths.push(lengths.at(-1)! + generated);
  }
  if (lengths.length === 0) {
    throw new NotUnderstoodError(
      "tensor tokens is missing, and so are batch.tokens, prompt and sequence",
    );
  }
  return Math.max(...lengths);
}
