/** File of the times of devices, so that `--device auto` measures a machine once. */

import { dirname } from "@std/path";
import type {
  DeviceVerdict,
  VerdictStore,
} from "../../checks/device_choice.ts";

/** Verdicts in a file of JSON. A file of another version, or one that cannot be read, counts as empty. */
export class VerdictFile implements VerdictStore {
  readonly #path: string;
  readonly #version: string;

  /** @param version versions of the programs that measured; verdicts of others do not count */
  constructor(path: string, version: string) {
    this.#path = path;
    this.#version = version;
  }

  async get(key: string): Promise<DeviceVerdict | undefined> {
    const verdict = (await this.#read())[key];
    return isVerdict(verdict) ? verdict : undefined;
  }

  /** Keeps a verdict; without effect if the file cannot be written, as the device is then measured again. */
  async set(key: string, verdict: DeviceVerdict): Promise<void> {
    const verdicts = { ...await this.#read(), [key]: verdict };
    const text = JSON.stringify({ version: this.#version, verdicts }, null, 1);
    try {
      await Deno.mkdir(dirname(this.#path), { recursive: true });
      const partial = `${this.#path}.${Deno.pid}.partial`;
      await Deno.writeTextFile(partial, `${text}\n`);
      await Deno.rename(partial, this.#path);
    } catch (error) {
      if (!isFileError(error)) throw error;
    }
  }

  async #read(): Promise<Record<string, unknown>> {
    try {
      const { version, verdicts } = Object(JSON.parse(
        await Deno.readTextFile(this.#path),
      ));
      return version === this.#version ? Object(verdicts) : {};
    } catch (error) {
      if (error instanceof SyntaxError || isFileError(error)) return {};
      throw error;
    }
  }
}

function isVerdict(value: unknown): value is DeviceVerdict {
  const { gpuMs, cpuMs, refused } = Object(value);
  return (gpuMs === null || typeof gpuMs === "number") &&
    typeof cpuMs === "number" &&
    (refused === null || typeof refused === "string");
}

function isFileError(error: unknown): boolean {
  return error instanceof Error && error.name in Deno.errors;
}
