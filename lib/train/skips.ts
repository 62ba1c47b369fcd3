/** Training that goes on after a step whose loss or gradient is not finite. */

import type { TrainEvent } from "./events.ts";
import { NonFiniteError } from "./metrics.ts";

/** Steps in a row that may be skipped. */
const MOST_SKIPS = 10;

/**
 * Runs a training loop again after each step that was not finite: that step counts, and changed nothing.
 *
 * @param loop begins or continues training
 * @param skip receives the step that is skipped, before the loop continues
 * @throws {NonFiniteError} at the tenth such step in a row
 */
export async function* skippingNonFinite(
  loop: () => AsyncGenerator<TrainEvent>,
  skip: (step: number) => void,
): AsyncGenerator<TrainEvent> {
  let last = 0;
  let inARow = 0;
  while (true) {
    try {
      yield* loop();
      return;
    } catch (error) {
      if (!(error instanceof NonFiniteError)) throw error;
      const { step, message } = error;
      inARow = step === last + 1 ? inARow + 1 : 1;
      last = step;
      if (inARow === MOST_SKIPS) throw error;
      skip(step);
      yield { event: "skip", step, message };
    }
  }
}
