/** Finds the ladder of a text: the rungs that a working model of the text must reach. */

import { splitsOf } from "../../lab/trial.ts";
import { Examiner, type Rung } from "../../lab/works.ts";
import type { Plan } from "../../lab/plan.ts";
import { Interrupt } from "../terminal/interrupt.ts";
import { loadCorpus } from "../text/corpus.ts";
import { openTokenizer } from "../text/tokenizer_choice.ts";

/**
 * Reads a text and finds its ladder; this takes seconds.
 *
 * @throws {CommandError} if the text is unavailable
 * @throws {RangeError} if the text is too short
 */
export async function ladderOf(
  { data, documents, tokenizer: choice }: Pick<
    Plan,
    "data" | "documents" | "tokenizer"
  >,
): Promise<{ readonly rungs: readonly Rung[]; readonly vocabSize: number }> {
  using interrupt = new Interrupt();
  const { signal } = interrupt;
  const { tokens, tokenizer } = await loadCorpus(data, {
    tokenizer: await openTokenizer(choice, signal),
    ...{ documents: documents ?? false, signal, mayAddEnd: true },
  });
  const examiner = new Examiner({ ...splitsOf(tokens), tokenizer, signal });
  return { rungs: examiner.ladder(), vocabSize: tokenizer.vocabSize };
}
