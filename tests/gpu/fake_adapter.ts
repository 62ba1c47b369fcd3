/** WebGPU adapters that are not as the machine's are, or whose devices are not. */

/** Calls `use` while the machine's adapter passes for hardware. */
export async function asHardware<T>(use: () => Promise<T>): Promise<T> {
  return await withAdapters(passForHardware, use);
}

/** Makes an adapter say that it is hardware. */
export function passForHardware(adapter: GPUAdapter): void {
  const { vendor, architecture, device, description } = adapter.info;
  const value = { vendor, architecture, device, description };
  Object.defineProperty(adapter, "info", { value });
}

/**
 * Calls `use` while every device that is opened is first changed by `change`.
 *
 * @param change gives properties and methods of its own to the device, before anything else sees it;
 * what it throws is why the device cannot be opened
 */
export async function withDevices<T>(
  change: (device: GPUDevice) => void,
  use: () => Promise<T>,
): Promise<T> {
  return await withAdapters((adapter) => withDevice(adapter, change), use);
}

/** Makes an adapter change its device before it gives it. */
export function withDevice(
  adapter: GPUAdapter,
  change: (device: GPUDevice) => void,
): void {
  const requestDevice = adapter.requestDevice.bind(adapter);
  adapter.requestDevice = async (descriptor) => {
    const device = await requestDevice(descriptor);
    change(device);
    return device;
  };
}

/** Changes every adapter from now on. */
export function replaceAdapters(change: (adapter: GPUAdapter) => void): void {
  const { gpu } = navigator;
  const requestAdapter: GPU["requestAdapter"] = async (options) => {
    const adapter = (await gpu.requestAdapter(options))!;
    change(adapter);
    return adapter;
  };
  Object.defineProperty(navigator, "gpu", {
    value: { requestAdapter },
    configurable: true,
  });
}

/** Calls `use` while every adapter is first changed by `change`. */
export async function withAdapters<T>(
  change: (adapter: GPUAdapter) => void,
  use: () => Promise<T>,
): Promise<T> {
  replaceAdapters(change);
  try {
    return await use();
  } finally {
    // Uncovers the prototype's own.
    Reflect.deleteProperty(navigator, "gpu");
  }
}
