/** Training that continues after a step whose loss or gradient is not finite. */

import type { TrainEvent } from "./events.ts";
import { NonFiniteError } from "./metrics.ts";

/** Number of consecutive skipped steps that ends training. */
const MOST_SKIPS = 10;

/**
 * Restarts a training loop after each step that is not finite. The skipped step counts as done and changes no weight.
 *
 * @param loop starts or continues training
 * @param skip called with the skipped step before the loop continues
 * @throws {NonFiniteError} at the tenth consecutive step that is not finite
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
      const { step, reason: message } = error;
      inARow = step === last + 1 ? inARow + 1 : 1;
      last = step;
      if (inARow === MOST_SKIPS) throw error;
      skip(step);
      yield { kind: "skip", step, message };
    }
  }
}
