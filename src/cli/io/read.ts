/** `read`, `readv` and `aio_read`. */
import { readVmState, startAsync } from '../../node/index.ts';
import type { Given } from '../shared/arguments.ts';
import { CommandError, UsageError, type IoCommand } from './command.ts';
import type { IoContext } from './context.ts';
import { byteCount, checkSectors, MAX_REQUEST_BYTES, patternByte } from './numbers.ts';
import { inDisk, vectorLength } from './ranges.ts';
import { failureOf, printDump, printReport, timed } from './report.ts';

/** A byte that no test writes by chance: what was not read is seen. */
const UNREAD_BYTE = 0xab;

interface ReadOutput {
  readonly dump: boolean;
  readonly quiet: boolean;
  readonly machine: boolean;
}

const outputOf = (given: Given): ReadOutput => ({
  dump: given.has('v'),
  quiet: given.has('q'),
  machine: given.has('C'),
});

function printRead(
  context: IoContext,
  offset: number,
  buffer: Uint8Array,
  seconds: number,
  { dump, quiet, machine }: ReadOutput,
): void {
  if (quiet) return;
  if (dump) printDump(context, buffer, offset);
  printReport(context, { verb: 'read', offset, count: buffer.length, seconds, machine });
}

/** @returns whether all bytes of the range are the pattern; if not that has been printed */
function verify(
  context: IoContext,
  buffer: Uint8Array,
  pattern: number,
  { offset, from, length }: { readonly offset: number; readonly from: number; readonly length: number },
): boolean {
  if (buffer.subarray(from, from + length).every((byte) => byte === pattern)) return true;
  context.out(`Pattern verification failed at offset ${offset + from}, ${length} bytes\n`);
  return false;
}

/** What was read does not match: the command has failed, and has said so. */
const failedSilently = new CommandError('');

export const read: IoCommand = {
  name: 'read',
  aliases: ['r'],
  usage: '[-abCqv] [-P pattern [-s off] [-l len]] off len',
  summary: 'reads bytes at an offset',
  help: `
 Reads a range of the open image, and shows it with -v.

 -b, -- read machine state, not the disk
 -C, -- report as numbers between commas
 -l, -- how many bytes must match the pattern (with -P)
 -p, -- ignored
 -P, -- the byte that all of the range must be
 -q, -- print nothing but errors
 -s, -- where in the range the pattern begins (with -P)
 -v, -- print the bytes
`,
  words: [2, -1],
  options: 'bCl:pP:qs:v',
  needsImage: true,
  async run(context, given) {
    const lengthText = given.value('l');
    const patternLength = lengthText === undefined ? undefined : byteCount(lengthText);
    const patternText = given.value('P');
    const pattern = patternText === undefined ? undefined : patternByte(patternText);
    const from = byteCount(given.value('s') ?? '0');
    if (given.operands.length !== 2) throw new UsageError();
    const offset = byteCount(given.operands[0]!);
    const countText = given.operands[1]!;
    const count = byteCount(countText);
    if (count > MAX_REQUEST_BYTES) {
      throw new CommandError(`length cannot exceed ${MAX_REQUEST_BYTES}, given ${countText}`);
    }
    if (pattern === undefined && (patternLength !== undefined || given.has('s'))) throw new UsageError();
    const length = patternLength ?? count - from;
    if (length < 0 || from + length > count) {
      throw new CommandError('pattern verification range exceeds end of read data');
    }
    if (given.has('b')) {
      checkSectors('offset', offset);
      checkSectors('count', count);
    }
    const buffer = new Uint8Array(count).fill(UNREAD_BYTE);
    const seconds = await timed(context, 'read', () =>
      given.has('b')
        ? startAsync(readVmState(context.disk.node, offset, buffer))
        : inDisk(context, offset, count, () => context.disk.read(offset, buffer)),
    );
    const matches = pattern === undefined || verify(context, buffer, pattern, { offset, from, length });
    printRead(context, offset, buffer, seconds, outputOf(given));
    if (!matches) throw failedSilently;
  },
};

const VECTOR_HELP = `
 -C, -- report as numbers between commas
 -P, -- the byte that all of the range must be
 -q, -- print nothing but errors
 -v, -- print the bytes
`;

export const readv: IoCommand = {
  name: 'readv',
  aliases: ['rv'],
  usage: '[-Cqv] [-P pattern] off len [len..]',
  summary: 'reads bytes at an offset into several buffers',
  help: `\n Reads a range whose length is the sum of those that are given.\n${VECTOR_HELP}`,
  words: [2, -1],
  options: 'CP:qv',
  needsImage: true,
  async run(context, given) {
    const patternText = given.value('P');
    const pattern = patternText === undefined ? undefined : patternByte(patternText);
    if (given.operands.length < 2) throw new UsageError();
    const offset = byteCount(given.operands[0]!);
    const count = vectorLength(given.operands.slice(1));
    const buffer = new Uint8Array(count).fill(UNREAD_BYTE);
    const seconds = await timed(context, 'readv', () =>
      inDisk(context, offset, count, () => context.disk.read(offset, buffer)),
    );
    const matches = pattern === undefined || verify(context, buffer, pattern, { offset, from: 0, length: count });
    printRead(context, offset, buffer, seconds, outputOf(given));
    if (!matches) throw failedSilently;
  },
};

export const aioRead: IoCommand = {
  name: 'aio_read',
  usage: '[-Ciqv] [-P pattern] off len [len..]',
  summary: 'begins to read bytes at an offset',
  help: `
 As readv, but does not wait: the result is printed when aio_flush waits for it. It has succeeded when it has begun.
 -i, -- only count it as an invalid request
${VECTOR_HELP}`,
  words: [2, -1],
  options: 'CP:iqv',
  needsImage: true,
  run(context, given) {
    const patternText = given.value('P');
    const pattern = patternText === undefined ? undefined : patternByte(patternText);
    if (given.has('i')) {
      context.out('injecting invalid read request\n');
      return;
    }
    if (given.operands.length < 2) throw new UsageError();
    const offset = byteCount(given.operands[0]!);
    const count = vectorLength(given.operands.slice(1));
    const buffer = new Uint8Array(count).fill(UNREAD_BYTE);
    const begin = performance.now();
    context.begin(async () => {
      try {
        await inDisk(context, offset, count, () => context.disk.read(offset, buffer));
      } catch (error) {
        return () => context.out(`${failureOf('readv', error).message}\n`);
      }
      const seconds = (performance.now() - begin) / 1000;
      return () => {
        if (pattern !== undefined) verify(context, buffer, pattern, { offset, from: 0, length: count });
        printRead(context, offset, buffer, seconds, outputOf(given));
      };
    });
  },
};
