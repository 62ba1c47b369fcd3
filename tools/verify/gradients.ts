/** Checks of gradients: element by element, and as norms. */

import type { Numbers } from "../../lib/backends/backend.ts";
import type { Pair } from "./comparison.ts";
import { isString } from "./fields.ts";
import { NotUnderstoodError } from "./not_understood.ts";
import {
  pairParameters,
  toRecorded,
  zeroGradients,
} from "./parameter_names.ts";
import type { Precision, Recording } from "./recording.ts";
import type { Subject } from "./subject.ts";

/** A record of gradients or parameters: the prefix of its tensors' names, and its precision. */
export interface Record {
  readonly prefix: string;
  readonly precision: Precision;
}

/** The two forms in which tensors per parameter are recorded. */
export function recordsOf(quantity: string): readonly Record[] {
  return [
    { prefix: `${quantity}.`, precision: "float32" },
    { prefix: `ref64.${quantity}.`, precision: "rounded" },
  ];
}

/** Whether anything about gradients is recorded. */
export function recordsGradients(
  { recording, parameters }: Subject,
  prefix: string,
): boolean {
  return recording.records(`${prefix}grad_norm`) ||
    recording.records(`${prefix}grad_norms_per_param`) ||
    parameters.some(({ recorded }) =>
      recording.records(`${prefix}grad.${recorded}`)
    );
}

/** Checks all records of gradients against the flat store. */
export function checkGradients(
  subject: Subject,
  gradients: Numbers,
  prefix: string,
): void {
  for (const record of recordsOf(`${prefix}grad`)) {
    checkElements(subject, gradients, record);
  }
  subject.compare(`${prefix}grad_norm`, [norm(gradients)], {
    kind: "gradientNorms",
    shape: [1],
  });
  checkNorms(subject, gradients, prefix);
}

function checkElements(
  { recording, report, parameters, config, tolerances }: Subject,
  gradients: Numbers,
  { prefix, precision }: Record,
): void {
  const zeros = zeroGradients(recording, parameters, config);
  const isZero = (name: string, index: number) =>
    zeros.get(name)?.has(index) ?? false;
  const pairs = pairParameters(recording, parameters, {
    prefix,
    flat: gradients,
    only: ({ recorded }) => (index) => !isZero(recorded, index),
  });
  const tolerance = tolerances.of("gradient", precision);
  const quantity = prefix.slice(0, -1);
  report.compare(quantity, pairs, tolerance);
  const noisy = pairs.map((pair) =>
    noiseOf(pair, (index) => isZero(pair.name.slice(prefix.length), index))
  );
  report.compare(
    `${quantity}, zero by symmetry`,
    noisy.filter((pair) => pair !== undefined),
    { ...tolerance, measure: "absolute" },
  );
}

/** The elements that should be 0, both sides in units of their tensor's largest gradient; undefined if there are none. */
function noiseOf(
  { name, recorded, computed }: Pair,
  only: (index: number) => boolean,
): Pair | undefined {
  let any = false;
  let largest = 0;
  for (let i = 0; i < recorded.length; i++) {
    any ||= only(i);
    largest = Math.max(largest, Math.abs(recorded[i]!));
  }
  if (!any) return undefined;
  const scaled = (values: ArrayLike<number>) =>
    Float64Array.from(values, (value) => value / (largest || 1));
  return { name, recorded: scaled(recorded), computed: scaled(computed), only };
}

/** 2-norms of the parameters' gradients, in the order that the metadata gives. */
function checkNorms(subject: Subject, gradients: Numbers, prefix: string) {
  const { recording, parameters } = subject;
  const quantity = `${prefix}grad_norms_per_param`;
  const order = readOrder(recording, subject);
  if (!recording.records(quantity)) return;
  if (order === undefined) {
    throw new NotUnderstoodError(
      `metadata param_order is missing, and ${quantity} is in its order`,
    );
  }
  const norms = order.map((name) => {
    const parameter = parameters.find(({ recorded }) => recorded === name)!;
    return norm(toRecorded(parameter, gradients));
  });
  subject.compare(quantity, norms, {
    kind: "gradientNorms",
    shape: [order.length],
  });
}

/** The names in `param_order`, all of which must be parameters. */
function readOrder(
  recording: Recording,
  { parameters }: Subject,
): readonly string[] | undefined {
  const order = recording.json("param_order");
  if (order === undefined) return undefined;
  if (!Array.isArray(order) || !order.every(isString)) {
    throw new NotUnderstoodError("metadata param_order is not a list of names");
  }
  const unknown = order.find((name) =>
    !parameters.some(({ recorded }) => recorded === name)
  );
  if (unknown !== undefined) {
    throw new NotUnderstoodError(
      `metadata param_order: ${unknown} is not a parameter of this model`,
    );
  }
  return order;
}

/** The 2-norm; the padding of a flat store is 0 and does not count. */
export function norm(values: ArrayLike<number>): number {
  let square = 0;
  for (let i = 0; i < values.length; i++) square += values[i]! ** 2;
  return Math.sqrt(square);
}
