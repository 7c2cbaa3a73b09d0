/** What a command of spindle-io is. */
import { BlockError } from '../../node/index.ts';
import type { Given } from '../shared/arguments.ts';
import type { IoContext } from './context.ts';

export interface IoCommand {
  readonly name: string;
  /** Short names for it. */
  readonly aliases?: readonly string[];
  /** Its arguments, as the help shows them. */
  readonly usage: string;
  /** What it does, in one line. */
  readonly summary: string;
  /** More, for `help NAME`. */
  readonly help?: string;
  /** How many words may follow the name, options included; -1: any number. */
  readonly words: readonly [least: number, most: number];
  /** Letters, as for getopt. */
  readonly options?: string;
  /** How many of the words are no options, where that is the same always. */
  readonly operands?: number;
  /** It works on an open image. */
  readonly needsImage: boolean;
  /** It changes the image: refused at once when that is open read-only. */
  readonly writes?: boolean;
  /** @throws CommandError, UsageError, and BlockError for what nobody put into better words */
  run(context: IoContext, given: Given): void | Promise<void>;
}

/** A command failed, and this is what is printed. */
export class CommandError extends Error {
  readonly stream: 'out' | 'error' | 'none';

  constructor(message: string, stream: 'out' | 'error' | 'none' = 'out') {
    super(message);
    this.name = 'CommandError';
    this.stream = stream;
  }
}

/** The words of a command are wrong: its usage is printed. */
export class UsageError extends Error {
  constructor() {
    super('wrong usage');
    this.name = 'UsageError';
  }
}

/** A difference that blkverify has found ends the program, as in QEMU. */
export function isMismatch(error: unknown): boolean {
  return error instanceof BlockError && error.context.detail?.['blkverify'] === true;
}

/** The session ends without another command. */
export class QuitRequest extends Error {
  constructor() {
    super('quit');
    this.name = 'QuitRequest';
  }
}
