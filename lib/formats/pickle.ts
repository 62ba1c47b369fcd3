/**
 * A reader of Python's pickles that executes nothing. A pickle is a program for a stack machine; this one knows the
 * opcodes that build plain data, and makes a named thing only if its reader lists the name. All else is refused
 * (https://github.com/python/cpython/blob/main/Lib/pickletools.py has the opcodes).
 *
 * Values: None is null; integers and floats are numbers; text is a string; lists and tuples are arrays;
 * dicts are maps.
 */

import { cannotImport } from "./imported.ts";
import { quote } from "./safetensors_header.ts";

/** Names that a pickle may use. */
export interface PickleNames {
  /** Functions and classes that it may call, by module and name with a dot between them; called with the arguments. */
  readonly calls: ReadonlyMap<string, (args: readonly unknown[]) => unknown>;
  /** Classes that it may only mention. */
  readonly mentions?: ReadonlySet<string>;
  /** Returns the value of a persistent id. */
  readonly persistent?: (id: unknown) => unknown;
}

/** A function or class that a pickle names. */
export class PickleName {
  /** Its module and name. */
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/**
 * Reads a pickle.
 *
 * @throws {SyntaxError} if it is damaged, has an opcode that builds no plain data, or names something that is not listed
 */
export function readPickle(bytes: Uint8Array, names: PickleNames): unknown {
  return new PickleMachine(bytes, names).run();
}

/** Opcodes, by their names in pickletools. */
const op = {
  MARK: 0x28,
  EMPTY_TUPLE: 0x29,
  STOP: 0x2e,
  BINFLOAT: 0x47,
  BININT: 0x4a,
  BININT1: 0x4b,
  BININT2: 0x4d,
  NONE: 0x4e,
  BINPERSID: 0x51,
  REDUCE: 0x52,
  BINUNICODE: 0x58,
  EMPTY_LIST: 0x5d,
  APPEND: 0x61,
  BUILD: 0x62,
  GLOBAL: 0x63,
  APPENDS: 0x65,
  BINGET: 0x68,
  LONG_BINGET: 0x6a,
  BINPUT: 0x71,
  LONG_BINPUT: 0x72,
  SETITEM: 0x73,
  TUPLE: 0x74,
  SETITEMS: 0x75,
  EMPTY_DICT: 0x7d,
  PROTO: 0x80,
  TUPLE1: 0x85,
  TUPLE2: 0x86,
  TUPLE3: 0x87,
  NEWTRUE: 0x88,
  NEWFALSE: 0x89,
  LONG1: 0x8a,
  SHORT_BINUNICODE: 0x8c,
  STACK_GLOBAL: 0x93,
  MEMOIZE: 0x94,
  FRAME: 0x95,
} as const;

class PickleMachine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #names: PickleNames;
  readonly #stack: unknown[] = [];
  /** Lengths of the stack at the marks. */
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, unknown>();
  #at = 0;

  constructor(bytes: Uint8Array, names: PickleNames) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#names = names;
  }

  run(): unknown {
    for (;;) {
      const at = this.#at;
      const code = this.#view.getUint8(this.#take(1));
      if (code === op.STOP) return this.#pop();
      this.#step(code, at);
    }
  }

  #step(code: number, at: number): void {
    switch (code) {
      case op.PROTO:
        this.#take(1);
        return;
      case op.FRAME:
        this.#take(8);
        return;
      case op.NONE:
        return this.#push(null);
      case op.NEWTRUE:
        return this.#push(true);
      case op.NEWFALSE:
        return this.#push(false);
      case op.BININT1:
        return this.#push(this.#view.getUint8(this.#take(1)));
      case op.BININT2:
        return this.#push(this.#view.getUint16(this.#take(2), true));
      case op.BININT:
        return this.#push(this.#view.getInt32(this.#take(4), true));
      case op.LONG1:
        return this.#push(this.#long());
      case op.BINFLOAT:
        return this.#push(this.#view.getFloat64(this.#take(8)));
      case op.SHORT_BINUNICODE:
        return this.#push(this.#text(this.#view.getUint8(this.#take(1))));
      case op.BINUNICODE:
        return this.#push(
          this.#text(this.#view.getUint32(this.#take(4), true)),
        );
      case op.EMPTY_TUPLE:
      case op.EMPTY_LIST:
        return this.#push([]);
      case op.EMPTY_DICT:
        return this.#push(new Map());
      case op.MARK:
        this.#marks.push(this.#stack.length);
        return;
      case op.TUPLE:
        return this.#push(this.#sinceMark());
      case op.TUPLE1:
      case op.TUPLE2:
      case op.TUPLE3:
        return this.#push(this.#last(code - op.TUPLE1 + 1));
      case op.APPEND:
        return this.#append(this.#last(1));
      case op.APPENDS:
        return this.#append(this.#sinceMark());
      case op.SETITEM:
        return this.#set(this.#last(2));
      case op.SETITEMS:
        return this.#set(this.#sinceMark());
      case op.BINPUT:
        return this.#put(this.#view.getUint8(this.#take(1)));
      case op.LONG_BINPUT:
        return this.#put(this.#view.getUint32(this.#take(4), true));
      case op.MEMOIZE:
        return this.#put(this.#memo.size);
      case op.BINGET:
        return this.#get(this.#view.getUint8(this.#take(1)));
      case op.LONG_BINGET:
        return this.#get(this.#view.getUint32(this.#take(4), true));
      case op.GLOBAL: {
        const module = this.#line();
        return this.#global(module, this.#line());
      }
      case op.STACK_GLOBAL: {
        const [module, name] = this.#last(2);
        return this.#global(module, name);
      }
      case op.REDUCE:
        return this.#reduce();
      case op.BUILD: {
        // The attributes of an OrderedDict hold nothing that is needed.
        this.#pop();
        if (this.#top() instanceof Map) return;
        throw this.#damaged("sets attributes of something other than a dict");
      }
      case op.BINPERSID:
        return this.#persistent(this.#pop());
      default:
        throw cannotImport(
          `the pickle has the opcode 0x${
            code.toString(16).padStart(2, "0")
          } at byte ${at}, which builds no plain data`,
        );
    }
  }

  #damaged(reason: string): SyntaxError {
    return cannotImport(`the pickle ${reason} before byte ${this.#at}`);
  }

  /** Passes over some bytes and returns the offset of the first. */
  #take(count: number): number {
    const at = this.#at;
    if (count > this.#bytes.length - at) {
      throw cannotImport(
        `the pickle has ${this.#bytes.length} bytes, and is cut short`,
      );
    }
    this.#at = at + count;
    return at;
  }

  #push(value: unknown): void {
    this.#stack.push(value);
  }

  #pop(): unknown {
    return this.#last(1)[0];
  }

  #top(): unknown {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) {
      throw this.#damaged("takes a value from an empty stack");
    }
    return this.#stack.at(-1);
  }

  #last(count: number): unknown[] {
    const from = this.#stack.length - count;
    if (from < (this.#marks.at(-1) ?? 0)) {
      throw this.#damaged("takes a value from an empty stack");
    }
    return this.#stack.splice(from);
  }

  #sinceMark(): unknown[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw this.#damaged("lacks a mark");
    return this.#stack.splice(mark);
  }

  #append(values: readonly unknown[]): void {
    const list = this.#top();
    if (!Array.isArray(list)) {
      throw this.#damaged("appends to something other than a list");
    }
    for (const value of values) list.push(value);
  }

  #set(pairs: readonly unknown[]): void {
    const map = this.#top();
    if (!(map instanceof Map) || pairs.length % 2 !== 0) {
      throw this.#damaged("sets an item of something other than a dict");
    }
    for (let i = 0; i < pairs.length; i += 2) map.set(pairs[i], pairs[i + 1]);
  }

  #put(index: number): void {
    this.#memo.set(index, this.#top());
  }

  #get(index: number): void {
    if (!this.#memo.has(index)) throw this.#damaged(`has no memo ${index}`);
    this.#push(this.#memo.get(index));
  }

  /** Reads an integer of up to 255 bytes, little-endian; one that a number cannot hold is refused. */
  #long(): number {
    const count = this.#view.getUint8(this.#take(1));
    const at = this.#take(count);
    let value = 0n;
    for (let i = count - 1; i >= 0; i--) {
      value = value << 8n | BigInt(this.#bytes[at + i]!);
    }
    const signed = BigInt.asIntN(8 * count, value);
    if (Number.isSafeInteger(Number(signed))) return Number(signed);
    throw this.#damaged("has an integer of more than 53 bits");
  }

  #text(length: number): string {
    const at = this.#take(length);
    return this.#decoded(this.#bytes.subarray(at, at + length));
  }

  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    const at = this.#take(
      (end < 0 ? this.#bytes.length : end) + 1 - this.#at,
    );
    return this.#decoded(this.#bytes.subarray(at, end));
  }

  #decoded(bytes: Uint8Array): string {
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      throw this.#damaged("has a text that is not UTF-8");
    }
  }

  #global(module: unknown, name: unknown): void {
    if (typeof module !== "string" || typeof name !== "string") {
      throw this.#damaged("names something by a value that is not text");
    }
    const full = `${module}.${name}`;
    const { calls, mentions } = this.#names;
    if (calls.has(full) || mentions?.has(full)) {
      return this.#push(new PickleName(full));
    }
    throw cannotImport(
      `the pickle names ${quote(full)}; this program makes no such thing`,
    );
  }

  #reduce(): void {
    const [callable, args] = this.#last(2);
    const call = callable instanceof PickleName
      ? this.#names.calls.get(callable.name)
      : undefined;
    if (call === undefined || !Array.isArray(args)) {
      throw this.#damaged("calls something other than a listed function");
    }
    this.#push(call(args));
  }

  #persistent(id: unknown): void {
    const { persistent } = this.#names;
    if (persistent === undefined) throw this.#damaged("has a persistent id");
    this.#push(persistent(id));
  }
}
