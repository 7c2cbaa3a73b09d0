/** What `reopen` changes of the way in which an image is open. */
import { parseBoolean } from '../../block/options.ts';
import type { BlockNode } from '../../node/index.ts';
import type { Given } from '../shared/arguments.ts';
import type { CacheMode } from '../shared/cache-mode.ts';
import { Failure } from '../shared/failure.ts';
import { parseKeyValues } from '../shared/key-values.ts';
import type { IoContext } from './context.ts';
import { discardMode, requireCacheMode, type OpenRequest } from './open-image.ts';

/** Everything that is not given stays. @throws Failure in qemu-io's words */
export function reopenRequest(context: IoContext, given: Given): OpenRequest {
  const before = context.request;
  const changed: Record<string, string> = Object.assign({}, ...given.values('o').map((text) => parseKeyValues(text)));
  const {
    'read-only': readOnlyText,
    'cache.direct': direct,
    'cache.no-flush': noFlush,
    discard,
    driver,
    'node-name': nodeName,
    ...own
  } = changed;
  const { node } = context.disk;
  const givesMode = given.has('r') || given.has('w');
  if (givesMode && readOnlyText !== undefined) throw new Failure("Cannot set both -r/-w and 'read-only'");
  const namesCache = direct !== undefined || noFlush !== undefined;
  if (given.has('c') && namesCache) throw new Failure('Cannot set both -c and the cache options');
  expectSame('driver', driver, node.driver.name);
  expectSame('node-name', nodeName, node.nodeName);
  checkOwnOptions(node, own);
  const newDiscard = discard === undefined ? before.discard : discardMode(discard);
  if (newDiscard === undefined) throw new Failure('Invalid discard option');
  const request: OpenRequest = {
    ...before,
    readOnly: readOnlyText === undefined ? modeOf(before, given) : onOrOff('read-only', readOnlyText),
    cache: given.has('c') ? requireCacheMode(given.value('c')) : cacheOf(before.cache, direct, noFlush),
    discard: newDiscard,
    options: { ...before.options, ...own },
  };
  if (own['detect-zeroes'] === 'unmap' && request.discard !== 'unmap') {
    throw new Failure('setting detect-zeroes to unmap is not allowed without setting discard operation to unmap');
  }
  return request;
}

function modeOf(before: OpenRequest, given: Given): boolean {
  return given.has('r') || (before.readOnly && !given.has('w'));
}

function cacheOf(before: CacheMode, direct: string | undefined, noFlush: string | undefined): CacheMode {
  return {
    ...before,
    ...(direct === undefined ? {} : { direct: onOrOff('cache.direct', direct) }),
    ...(noFlush === undefined ? {} : { noFlush: onOrOff('cache.no-flush', noFlush) }),
  };
}

function onOrOff(name: string, text: string): boolean {
  const value = parseBoolean(text);
  if (value === undefined) throw new Failure(`Parameter '${name}' expects 'on' or 'off'`);
  return value;
}

function expectSame(name: string, wanted: string | undefined, present: string): void {
  if (wanted !== undefined && wanted !== present) throw new Failure(`Cannot change the option '${name}'`);
}

/** @throws Failure for an option that neither every node has nor this one's driver */
function checkOwnOptions({ driver }: BlockNode, own: Readonly<Record<string, unknown>>): void {
  const known = driver.kind === 'format' ? driver.openOptions : driver.options;
  const unknown = Object.keys(own).find((name) => name !== 'detect-zeroes' && !Object.hasOwn(known, name));
  if (unknown !== undefined) throw new Failure(`Cannot change the option '${unknown}'`);
}
