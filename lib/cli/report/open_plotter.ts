/** Opens a plotter, or says how to get its packages. */

import { type Packages, packages, Plotter } from "../../report/plotter.ts";
import { CommandError } from "../command/errors.ts";

/**
 * Loads the packages that draw charts.
 *
 * @throws {CommandError} if they are not cached and cannot be downloaded
 */
export async function openPlotter(
  load?: () => Promise<Packages>,
): Promise<Plotter> {
  try {
    return await Plotter.open(load);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new CommandError(
      `Cannot draw: the packages ${
        packages.map((name) => name.replace("npm:", "")).join(" and ")
      } are not cached and cannot be downloaded (${message.split("\n")[0]})`,
      `with a network, deno cache ${packages.join(" ")} downloads them once`,
    );
  }
}
