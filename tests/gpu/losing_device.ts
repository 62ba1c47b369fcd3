/** A real WebGPU device that is lost at a call of one's choice, as it would be by a driver's reset. */

/** Calls at which a device can be lost. */
export const lossPlaces = [
  "createBuffer",
  "createShaderModule",
  "createComputePipelineAsync",
  "createBindGroup",
  "popErrorScope",
  "writeBuffer",
  "submit",
  "mapAsync",
  "mapped",
] as const;

/** See {@linkcode lossPlaces}; `mapped` is the end of a `mapAsync`. */
export type LossPlace = typeof lossPlaces[number];

/**
 * Counts the calls of a device, and destroys it at one of them.
 *
 * @param at the call, counted from 1, before which the device is lost; none if left out
 * @returns the number of calls at each place so far
 */
export function loseAt(
  device: GPUDevice,
  at?: readonly [place: LossPlace, call: number],
): Readonly<Record<LossPlace, number>> {
  const calls = Object.fromEntries(
    lossPlaces.map((place) => [place, 0]),
  ) as Record<LossPlace, number>;
  const count = (place: LossPlace) => {
    if (++calls[place] === at?.[1] && place === at[0]) device.destroy();
  };
  // deno-lint-ignore no-explicit-any -- methods of any signature
  const watch = (object: any, place: LossPlace) => {
    const method = object[place];
    object[place] = (...args: unknown[]) => {
      count(place);
      return method.apply(object, args);
    };
  };
  for (const place of lossPlaces.slice(0, 5)) watch(device, place);
  watch(device.queue, "writeBuffer");
  watch(device.queue, "submit");
  const { createBuffer } = device;
  device.createBuffer = (descriptor) => {
    const buffer = createBuffer.call(device, descriptor);
    watch(buffer, "mapAsync");
    const { mapAsync } = buffer;
    buffer.mapAsync = async (...args) => {
      await mapAsync.apply(buffer, args);
      count("mapped");
    };
    return buffer;
  };
  return calls;
}
