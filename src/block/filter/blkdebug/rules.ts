/** Rules of blkdebug: as they are given, and what they mean. */
import { BlockError } from '../../error.ts';
import { isBlockEvent, type BlockEvent } from '../../events.ts';

/** A rule as it is written: names and values. */
export type RuleText = Readonly<Record<string, unknown>>;

export interface RuleTexts {
  readonly injectError: readonly RuleText[];
  readonly setState: readonly RuleText[];
}

export const INJECT_ERROR_OPTIONS = ['event', 'state', 'iotype', 'errno', 'sector', 'once', 'immediately'];
export const SET_STATE_OPTIONS = ['event', 'state', 'new_state'];

export const IO_TYPES = ['read', 'write', 'write-zeroes', 'discard', 'flush', 'block-status'] as const;
export type IoType = (typeof IO_TYPES)[number];

const SECTOR_BYTES = 512;
/** QEMU's default: EIO. */
const DEFAULT_ERRNO = 5;

interface RuleBase {
  readonly event: BlockEvent;
  /** The rule counts only in this state; 0: in every one. */
  readonly state: number;
}

export interface InjectError extends RuleBase {
  readonly action: 'inject-error';
  readonly iotypes: ReadonlySet<IoType>;
  readonly errno: number;
  /** Bytes: only requests that touch it fail; -1: all. */
  readonly offset: number;
  readonly once: boolean;
  readonly immediately: boolean;
}

export interface SetState extends RuleBase {
  readonly action: 'set-state';
  readonly newState: number;
}

export interface Suspend extends RuleBase {
  readonly action: 'suspend';
  readonly tag: string;
}

export type Rule = InjectError | SetState | Suspend;

/** Rules among the options: lists, or objects with the keys 0, 1, … as `inject-error.0.event=…` makes them. */
export function givenRules(injectError: unknown, setState: unknown): RuleTexts {
  return {
    injectError: listOf('inject-error', injectError, INJECT_ERROR_OPTIONS),
    setState: listOf('set-state', setState, SET_STATE_OPTIONS),
  };
}

function listOf(section: string, given: unknown, known: readonly string[]): RuleText[] {
  if (given === undefined) return [];
  const rules: unknown[] = typeof given === 'object' && given !== null ? Object.values(given) : [given];
  return rules.map((rule) => {
    if (typeof rule !== 'object' || rule === null) {
      throw new BlockError('invalid', `Option '${section}' of driver 'blkdebug' must be a list of rules`);
    }
    const unknown = Object.keys(rule).find((name) => !known.includes(name));
    if (unknown === undefined) return rule as RuleText;
    throw new BlockError('invalid', `[${section}] section doesn't support the option '${unknown}'`);
  });
}

/** @throws BlockError `invalid` for an unknown event or type, or a value that is none */
export function injectErrorRule(text: RuleText): InjectError {
  const iotype = text['iotype'];
  const sector = numberOf(text, 'sector', -1);
  return {
    action: 'inject-error',
    event: eventOf(text),
    state: numberOf(text, 'state', 0),
    // Asking what a range is was no I/O when the option was made, and counts only where it is named.
    iotypes: new Set(iotype === undefined ? IO_TYPES.filter((type) => type !== 'block-status') : [ioTypeOf(iotype)]),
    errno: numberOf(text, 'errno', DEFAULT_ERRNO),
    offset: sector < 0 ? -1 : sector * SECTOR_BYTES,
    once: booleanOf(text, 'once'),
    immediately: booleanOf(text, 'immediately'),
  };
}

/** @throws BlockError `invalid` */
export function setStateRule(text: RuleText): SetState {
  return {
    action: 'set-state',
    event: eventOf(text),
    state: numberOf(text, 'state', 0),
    newState: numberOf(text, 'new_state', 0),
  };
}

function eventOf({ event }: RuleText): BlockEvent {
  if (event === undefined) throw new BlockError('invalid', 'Missing event name for rule');
  if (typeof event === 'string' && isBlockEvent(event)) return event;
  throw invalidValue(event);
}

function ioTypeOf(value: unknown): IoType {
  const found = IO_TYPES.find((type) => type === value);
  if (found === undefined) throw invalidValue(value);
  return found;
}

function invalidValue(value: unknown): BlockError {
  return new BlockError('invalid', `invalid parameter value: ${typeof value === 'string' ? value : 'not a text'}`);
}

function numberOf(text: RuleText, name: string, fallback: number): number {
  const value = text[name];
  if (value === undefined) return fallback;
  const number = typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : value;
  if (typeof number === 'number' && Number.isSafeInteger(number)) return number;
  throw new BlockError('invalid', `Parameter '${name}' expects a number`);
}

function booleanOf(text: RuleText, name: string): boolean {
  const value = text[name] ?? false;
  if (value === true || value === 'on' || value === 'true' || value === 'yes' || value === 'y') return true;
  if (value === false || value === 'off' || value === 'false' || value === 'no' || value === 'n') return false;
  throw new BlockError('invalid', `Parameter '${name}' expects 'on' or 'off'`);
}
