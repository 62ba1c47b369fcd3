/** WebGPU adapters whose devices are not as the machine's are. */

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
  const { gpu } = navigator;
  const requestAdapter: GPU["requestAdapter"] = async (options) => {
    const adapter = (await gpu.requestAdapter(options))!;
    const requestDevice = adapter.requestDevice.bind(adapter);
    adapter.requestDevice = async (descriptor) => {
      const device = await requestDevice(descriptor);
      change(device);
      return device;
    };
    return adapter;
  };
  Object.defineProperty(navigator, "gpu", {
    value: { requestAdapter },
    configurable: true,
  });
  try {
    return await use();
  } finally {
    // Uncovers the prototype's own.
    Reflect.deleteProperty(navigator, "gpu");
  }
}
