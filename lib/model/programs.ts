/** Cache of a model's compiled programs. It keeps those used last, so that new shapes do not fill the device. */

import type { Program } from "../backends/backend.ts";

/** Limits on idle programs. The program used last is always kept. */
export interface ProgramLimits {
  /** Most programs, at least 1. */
  readonly count: number;
  /** Most bytes that the programs occupy together; no limit by default. */
  readonly bytes?: number | undefined;
}

/** A cached program and the number of its users. */
interface Kept {
  readonly compiling: Promise<Program>;
  /** Compiled program; absent until compilation ends. */
  program?: Program;
  users: number;
}

/** Compiles programs on first use, and frees the least recently used ones. */
export class Programs {
  readonly #limits: ProgramLimits;
  /** Programs by key, in the order of their last use. */
  readonly #kept = new Map<unknown, Kept>();

  /** Creates an empty cache. */
  constructor(limits: ProgramLimits) {
    this.#limits = limits;
  }

  /**
   * Runs `work` with a program, which is not freed before `work` settles.
   *
   * @param key key of the program in the cache
   * @param compile compiles the program if it is not in the cache
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

  /** Frees all idle programs; returns whether there were any. */
  freeIdle(): boolean {
    return this.#free({ count: 0 });
  }

  /** Frees all programs, including those that are still compiling. */
  async dispose(): Promise<void> {
    const all = [...this.#kept.values()].map(({ compiling }) => compiling);
    this.#kept.clear();
    // If a program did not compile, the caller of `use` has received its error.
    for (const result of await Promise.allSettled(all)) {
      if (result.status === "fulfilled") result.value.destroy();
    }
  }

  /** Frees a place for a program, and starts to compile it. */
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
