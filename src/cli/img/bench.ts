/** `bench`: how fast requests are. */
import { benchImage, startAsync, type BenchSettings } from '../../node/index.ts';
import { isAioMode } from '../shared/aio-mode.ts';
import { cacheMode } from '../shared/cache-mode.ts';
import { Failure } from '../shared/failure.ts';
import type { OpenSettings } from '../shared/session.ts';
import { readInteger, sizeArgument } from '../shared/sizes.ts';
import { requestMessage } from '../shared/words.ts';
import type { Given } from '../shared/arguments.ts';
import { COMMON_LONG, onlyImage, type Command } from './command.ts';

const INT_MAX = 2_147_483_647;

export const bench: Command = {
  options: {
    short: 'hc:d:f:ni:o:qs:S:t:wU',
    long: {
      ...COMMON_LONG,
      'flush-interval': 'flush-interval:',
      pattern: 'pattern:',
      'no-drain': 'no-drain',
      'force-share': 'U',
    },
  },
  async run(session, given) {
    const access = readAccess(given);
    const settings = readSettings(given);
    const { count, depth, bufferSize, offset, stepSize, write, flushInterval } = settings;
    const image = onlyImage(given);
    if (!write && flushInterval > 0) throw new Failure('--flush-interval is only available in write tests');
    if (flushInterval > 0 && flushInterval < depth) throw new Failure("Flush interval can't be smaller than depth");
    const disk = await session.open(image, { readOnly: !write, forceShare: given.has('U'), ...access });
    session.out(
      `Sending ${count} ${write ? 'write' : 'read'} requests, ${bufferSize} bytes each, ${depth} in parallel ` +
        `(starting at offset ${offset}, step size ${stepSize})\n`,
    );
    if (flushInterval > 0) session.out(`Sending flush every ${flushInterval} requests\n`);
    const startedMs = performance.now();
    try {
      await startAsync(benchImage(disk, settings));
    } catch (error) {
      throw new Failure(`Failed request: ${requestMessage(error)}`);
    }
    const seconds = (performance.now() - startedMs) / 1000;
    session.out(`Run completed in ${seconds.toFixed(3)} seconds.\n`);
    return 0;
  },
};

/** How the image is opened. @throws Failure */
function readAccess(given: Given): Pick<OpenSettings, 'cache' | 'fileOptions'> {
  const cache = cacheMode(given.value('t') ?? 'writeback');
  if (cache === undefined) throw new Failure('Invalid cache mode');
  const named = given.value('i');
  if (named !== undefined && !isAioMode(named)) throw new Failure(`Invalid aio option: ${named}`);
  const aio = given.has('n') ? 'native' : named;
  return { cache, ...(aio === undefined ? {} : { fileOptions: { aio } }) };
}

/** @throws Failure */
function readSettings(given: Given): BenchSettings {
  const size = (key: string, what: string, standard: number, max?: number): number => {
    const text = given.value(key);
    return text === undefined ? standard : sizeArgument(what, text, max === undefined ? {} : { max });
  };
  const bufferSize = size('s', 'buffer size', 4096, INT_MAX);
  return {
    count: numberOf(given, 'c', 75_000, INT_MAX, 'Invalid request count specified'),
    depth: depthOf(given),
    bufferSize,
    offset: size('o', 'offset', 0),
    stepSize: size('S', 'step_size', 0, INT_MAX) || bufferSize,
    write: given.has('w'),
    flushInterval: numberOf(given, 'flush-interval', 0, INT_MAX, 'Invalid flush interval specified'),
    drainOnFlush: !given.has('no-drain'),
    pattern: numberOf(given, 'pattern', 0, 0xff, 'Invalid pattern byte specified'),
  };
}

/** Of none in flight nothing would come of. */
function depthOf(given: Given): number {
  const depth = numberOf(given, 'd', 64, INT_MAX, 'Invalid queue depth specified');
  if (depth === 0) throw new Failure('Invalid queue depth specified');
  return depth;
}

function numberOf(given: Given, key: string, standard: number, max: number, message: string): number {
  const text = given.value(key);
  if (text === undefined) return standard;
  const value = readInteger(text);
  if (value === undefined || value < 0 || value > max) throw new Failure(message);
  return value;
}
