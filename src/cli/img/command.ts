import type { Given, OptionSpecs } from '../shared/arguments.ts';
import { Failure } from '../shared/failure.ts';
import { cacheMode, type CacheMode } from '../shared/cache-mode.ts';
import { parseKeyValues } from '../shared/key-values.ts';
import type { ImageName, Session } from '../shared/session.ts';
import { messageOf } from '../shared/words.ts';
import { BlockError, loadSnapshot as loadSnapshotOf, startAsync, type BlockBackend } from '../../node/index.ts';

/** One command of spindle-img. */
export interface Command {
  readonly options: OptionSpecs;
  /** The last word is an operand even if it begins with a dash. */
  readonly lastIsOperand?: boolean;
  /** @returns the exit code. @throws Failure, and BlockError for what nobody put into better words */
  run(session: Session, given: Given): Promise<number>;
}

/** Long options that several commands have, with their keys. */
export const COMMON_LONG = { help: 'h', object: 'object:', 'image-opts': 'image-opts' } as const;

/** All `-o`. @throws Failure for one that begins or ends with a comma: joined to others it would be a part of their values */
export function optionLists(given: Given): string[] {
  const texts = given.values('o');
  const wrong = texts.find((text) => !/^[^,]/.test(text) || /,*$/.exec(text)![0].length % 2 === 1);
  if (wrong !== undefined) throw new Failure(`Invalid option list: ${wrong}`);
  return texts;
}

/** `--output`: whether JSON is wanted. @throws Failure */
export function wantsJson(given: Given): boolean {
  const output = given.value('output') ?? 'human';
  if (output === 'json') return true;
  if (output === 'human') return false;
  throw new Failure('--output must be used with human or json as argument.');
}

/** The one image that a command is about, as its options name it. @throws Failure */
export function onlyImage(given: Given): ImageName {
  const [name, ...others] = given.operands;
  if (name === undefined || others.length > 0) {
    throw new Failure('Expecting one image file name', { pointsToHelp: true });
  }
  return imageNamed(given, name, 'f');
}

/** An image of several, with the option that says its format. @throws Failure */
export function imageNamed(given: Given, name: string, formatKey: string): ImageName {
  const format = given.value(formatKey);
  const imageOpts = given.has('image-opts');
  if (format !== undefined && imageOpts) throw new Failure('--image-opts and --format are mutually exclusive');
  return { name, format, imageOpts };
}

/** `-T`. @throws Failure */
export function sourceCache(given: Given, exitCode = 1): CacheMode {
  const name = given.value('T') ?? 'writeback';
  const mode = cacheMode(name);
  if (mode === undefined) throw new Failure(`Invalid source cache option: ${name}`, { exitCode });
  return mode;
}

/** `-t`. @throws Failure */
export function targetCache(given: Given, standard: string): CacheMode {
  const name = given.value('t') ?? standard;
  const mode = cacheMode(name);
  if (mode === undefined) throw new Failure(`Invalid cache option: ${name}`);
  return mode;
}

/** `-l`: the disk is then as it was at a snapshot. @throws Failure */
export async function loadSnapshot(disk: BlockBackend, parameter: string): Promise<void> {
  const values = parameter.startsWith('snapshot.') ? parseKeyValues(parameter) : {};
  const unknown = Object.keys(values).find((name) => name !== 'snapshot.id' && name !== 'snapshot.name');
  if (unknown !== undefined) {
    throw new Failure(`Invalid parameter '${unknown}'`, {
      moreMessages: [`Failed in parsing snapshot param '${parameter}'`],
    });
  }
  const selector =
    Object.keys(values).length === 0 ? parameter : { id: values['snapshot.id'], name: values['snapshot.name'] };
  try {
    await startAsync(loadSnapshotOf(disk.node, selector));
  } catch (error) {
    const text =
      error instanceof BlockError && error.kind === 'not-found'
        ? "Can't find snapshot"
        : error instanceof BlockError && error.kind === 'unsupported'
          ? `Block format '${disk.node.driver.name}' used by device '' does not support temporarily loading internal snapshots`
          : messageOf(error);
    throw new Failure(`Failed to load snapshot: ${text}`);
  }
}
