/** A value out of the JSON of an image, which may be anything: whoever reads it says what it must be, and messages say where it is. */
import { decodeBase64 } from '../../../codec/base64.ts';
import { BlockError } from '../../error.ts';

/** Numbers of objects and sizes in bytes are texts, since numbers in JSON have no 64 bits. */
const DECIMAL = /^(0|[1-9]\d{0,15})$/;
/** So much of a wrong value is shown. */
const SHOWN_LETTERS = 40;

export class JsonValue {
  readonly #value: unknown;
  readonly #path: string;

  /** @param path where it is, for messages: `keyslots.0.kdf` */
  constructor(value: unknown, path: string) {
    this.#value = value;
    this.#path = path;
  }

  /** @throws BlockError `corrupt` when it is no object, or has no such member */
  field(name: string): JsonValue {
    const found = this.optional(name);
    if (found === undefined) throw new BlockError('corrupt', `The LUKS2 metadata lacks '${this.#pathOf(name)}'`);
    return found;
  }

  /** @throws BlockError `corrupt` when it is no object */
  optional(name: string): JsonValue | undefined {
    const object = this.#object();
    return Object.hasOwn(object, name) ? new JsonValue(object[name], this.#pathOf(name)) : undefined;
  }

  text(): string {
    if (typeof this.#value === 'string') return this.#value;
    throw this.#wrong('a text');
  }

  /** @param least and @param most are allowed, too. */
  integer(least: number, most: number): number {
    const value = this.#value;
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
    throw this.#wrong(`a number between ${least} and ${most}`);
  }

  /** A number of 64 bits, written as a text. */
  decimal(): number {
    const value = typeof this.#value === 'string' && DECIMAL.test(this.#value) ? Number(this.#value) : Number.NaN;
    if (Number.isSafeInteger(value)) return value;
    throw this.#wrong('a number below 2^53, written as a text');
  }

  /** @param least and @param most bytes that there may be */
  base64(least: number, most: number): Uint8Array {
    const text = this.text();
    const bytes = text.length > most * 2 ? undefined : decodeBase64(text, `The LUKS2 metadata's '${this.#path}'`);
    if (bytes !== undefined && bytes.length >= least && bytes.length <= most) return bytes;
    throw this.#wrong(`${least} to ${most} bytes in base64`);
  }

  list(most: number): JsonValue[] {
    if (!Array.isArray(this.#value)) throw this.#wrong('a list');
    if (this.#value.length > most) throw this.#wrong(`a list of ${most} at most`);
    return this.#value.map((item: unknown, index) => new JsonValue(item, this.#pathOf(String(index))));
  }

  /** Members that are named by numbers, in their order. @param count the numbers are below it */
  numbered(count: number): ReadonlyMap<number, JsonValue> {
    const members = Object.entries(this.#object()).map(([name, value]): [number, JsonValue] => {
      const member = new JsonValue(value, this.#pathOf(name));
      if (!DECIMAL.test(name) || Number(name) >= count) throw this.#wrong(`named by numbers below ${count}`);
      return [Number(name), member];
    });
    return new Map(members.toSorted(([a], [b]) => a - b));
  }

  #object(): Readonly<Record<string, unknown>> {
    const value = this.#value;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw this.#wrong('an object');
    return value as Readonly<Record<string, unknown>>;
  }

  #pathOf(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`;
  }

  #wrong(wanted: string): BlockError {
    const text = (JSON.stringify(this.#value) ?? 'nothing').replaceAll(/\p{C}/gu, '');
    const shown = text.length > SHOWN_LETTERS ? `${text.slice(0, SHOWN_LETTERS)}…` : text;
    return new BlockError('corrupt', `The LUKS2 metadata's '${this.#path}' must be ${wanted}, and is ${shown}`);
  }
}
