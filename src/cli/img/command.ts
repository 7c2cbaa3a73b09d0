import type { GivenOption, OptionSpecs, ParsedArguments } from '../shared/arguments.ts';
import { Failure } from '../shared/failure.ts';
import type { Session } from '../shared/session.ts';

/** One command of spindle-img. */
export interface Command {
  readonly options: OptionSpecs;
  /** @returns the exit code. @throws Failure, and BlockError for what nobody put into better words */
  run(session: Session, given: Given): Promise<number>;
}

/** The options that a command was given. */
export class Given {
  readonly operands: readonly string[];
  readonly #options: readonly GivenOption[];

  constructor({ options, operands }: ParsedArguments) {
    this.#options = options;
    this.operands = operands;
  }

  has(key: string): boolean {
    return this.#options.some((option) => option.key === key);
  }

  /** The last value that was given. */
  value(key: string): string | undefined {
    return this.#options.findLast((option) => option.key === key)?.value;
  }

  values(key: string): string[] {
    return this.#options.filter((option) => option.key === key).map(({ value }) => value);
  }
}

/** Long options that several commands have, with their keys. */
export const COMMON_LONG = { help: 'h', object: 'object:', 'image-opts': 'image-opts' } as const;

/** `--output`: whether JSON is wanted. @throws Failure */
export function wantsJson(given: Given): boolean {
  const output = given.value('output') ?? 'human';
  if (output === 'json') return true;
  if (output === 'human') return false;
  throw new Failure('--output must be used with human or json as argument.');
}

/** The one image that a command is about, as its options name it. @throws Failure */
export function onlyImage(given: Given): { name: string; format: string | undefined; imageOpts: boolean } {
  const [name, ...others] = given.operands;
  if (name === undefined || others.length > 0) {
    throw new Failure('Expecting one image file name', { pointsToHelp: true });
  }
  return { name, format: formatOf(given), imageOpts: given.has('image-opts') };
}

function formatOf(given: Given): string | undefined {
  const format = given.value('f');
  if (format !== undefined && given.has('image-opts')) {
    throw new Failure('--image-opts and --format are mutually exclusive');
  }
  return format;
}
