/** The programs that a model keeps compiled: those of its latest shapes, so that new shapes do not fill the device. */

import type { Program } from "../backends/backend.ts";

/** How many programs are kept while nobody uses them. The one used last is always kept. */
export interface ProgramLimits {
  /** At most this many, at least 1. */
  readonly count: number;
  /** At most this many bytes of their own, all together; no limit if left out. */
  readonly bytes?: number | undefined;
}

/** A program, and how many work with it. */
interface Kept {
  readonly compiling: Promise<Program>;
  /** Absent until it is compiled. */
  program?: Program;
  users: number;
}

/** Compiles programs when they are first used, and frees those that were not used for longest. */
export class Programs {
  readonly #limits: ProgramLimits;
  /** By key, in the order of their last use. */
  readonly #kept = new Map<unknown, Kept>();

  /** Nothing is compiled yet. */
  constructor(limits: ProgramLimits) {
    this.#limits = limits;
  }

  /**
   * Runs `work` with a program, which is not freed before `work` has settled.
   *
   * @param key says which program: the same key, the same program for as long as it is kept
   * @param compile makes it; called again after it was freed or could not be made
   */
  async use<Value>(
    key: unknown,
    compile: () => Promise<Program>,
    work: (program: Program) => Value | Promise<Value>,
  ): Promise<Value> {
    const kept = this.#kept.get(key) ?? this.#begin(compile);
    this.#kept.delete(key);
    this.#kept.set(key, kept); // now the last
    kept.users++;
    try {
      kept.program = await kept.compiling;
      return await work(kept.program);
    } finally {
      kept.users--;
      const isRefused = kept.program === undefined;
      if (isRefused && this.#kept.get(key) === kept) this.#kept.delete(key);
      this.#free(this.#limits);
    }
  }

  /** Frees all programs that nobody uses; returns whether there were any. */
  freeIdle(): boolean {
    return this.#free({ count: 0 });
  }

  /** Frees all programs, those included that are compiling at present. */
  async dispose(): Promise<void> {
    const all = [...this.#kept.values()].map(({ compiling }) => compiling);
    this.#kept.clear();
    // The caller of `use` got the error of a program that did not compile.
    for (const result of await Promise.allSettled(all)) {
      if (result.status === "fulfilled") result.value.destroy();
    }
  }

  /** Makes room for a program, and begins to compile it. */
  #begin(compile: () => Promise<Program>): Kept {
    this.#free({ ...this.#limits, count: this.#limits.count - 1 });
    return { compiling: compile(), users: 0 };
  }

  #free({ count, bytes = Infinity }: ProgramLimits): boolean {
    const before = this.#kept.size;
    const last = [...this.#kept.keys()].at(-1);
    let size = 0;
    for (const { program } of this.#kept.values()) size += program?.bytes ?? 0;
    for (const [key, { program, users }] of this.#kept) {
      if (this.#kept.size <= count && size <= bytes) break;
      if (users > 0 || program === undefined) continue;
      if (key === last && count > 0) continue;
      this.#kept.delete(key);
      size -= program.bytes;
      program.destroy();
    }
    return this.#kept.size < before;
  }
}
