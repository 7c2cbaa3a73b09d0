/** `write`, `writev` and `aio_write`. */
import { readFileSync } from 'node:fs';
import { startAsync, writeVmState, type BlockBackend, type RequestFlags } from '../../node/index.ts';
import type { Given } from '../shared/arguments.ts';
import { messageOf, systemMessage } from '../shared/words.ts';
import { CommandError, UsageError, type IoCommand } from './command.ts';
import type { IoContext } from './context.ts';
import { byteCount, checkSectors, MAX_REQUEST_BYTES, patternByte } from './numbers.ts';
import { inDisk, vectorLength } from './ranges.ts';
import { failureOf, printReport, timed } from './report.ts';

const DEFAULT_BYTE = 0xcd;

function pattern(given: Given): number {
  const text = given.value('P');
  return text === undefined ? DEFAULT_BYTE : patternByte(text);
}

/** A file's bytes, over and over. @throws CommandError */
function repeated(path: string, count: number): Uint8Array {
  let source: Uint8Array;
  try {
    source = readFileSync(path);
  } catch (error) {
    throw new CommandError(`${path}: ${systemMessage(error) ?? messageOf(error)}`, 'error');
  }
  if (source.length === 0) throw new CommandError(`${path}: file is empty`, 'error');
  const buffer = new Uint8Array(count);
  for (let at = 0; at < count; at += source.length) buffer.set(source.subarray(0, count - at), at);
  return buffer;
}

/** @throws CommandError for options that do not go together */
function checkOptions(given: Given): void {
  const has = (key: string): boolean => given.has(key);
  if (has('b') && has('z')) throw new CommandError('-b and -z cannot be specified at the same time');
  if (has('f') && (has('b') || has('c'))) {
    throw new CommandError('-f and -b or -c cannot be specified at the same time');
  }
  if (has('n') && !has('z')) throw new CommandError('-n requires -z to be specified');
  if (has('u') && !has('z')) throw new CommandError('-u requires -z to be specified');
  if (['z', 'P', 's'].filter(has).length > 1) {
    throw new CommandError('Only one of -z, -P, and -s can be specified at the same time');
  }
}

function flagsOf(given: Given): RequestFlags {
  return {
    fua: given.has('f'),
    mayUnmap: given.has('u'),
    noFallback: given.has('n'),
    compressed: given.has('c') && !given.has('b') && !given.has('z'),
  };
}

/** As stable as what is written to the disk. */
async function writeState(disk: BlockBackend, offset: number, bytes: Uint8Array): Promise<void> {
  await startAsync(writeVmState(disk.node, offset, bytes));
  if (!disk.writeCache) await disk.flush();
}

function printWritten(context: IoContext, given: Given, offset: number, count: number, seconds: number): void {
  if (given.has('q')) return;
  printReport(context, { verb: 'wrote', offset, count, seconds, machine: given.has('C') });
}

export const write: IoCommand = {
  name: 'write',
  aliases: ['w'],
  usage: '[-bcCfnquz] [-P pattern | -s source_file] off len',
  summary: 'writes bytes at an offset',
  help: `
 Writes a range of the open image, with the byte 0xcd unless told otherwise.

 -b, -- write machine state, not the disk
 -c, -- write compressed
 -C, -- report as numbers between commas
 -f, -- the write is on stable storage before it is answered
 -n, -- with -z: fail rather than write zeroes as data
 -p, -- ignored
 -P, -- the byte to write
 -q, -- print nothing but errors
 -s, -- a file whose bytes are written over and over
 -u, -- with -z: space may be given back
 -z, -- write zeroes without passing data
`,
  words: [2, -1],
  options: 'bcCfnpP:qs:uz',
  needsImage: true,
  writes: true,
  async run(context, given) {
    const byte = pattern(given);
    if (given.operands.length !== 2) throw new UsageError();
    checkOptions(given);
    const offset = byteCount(given.operands[0]!);
    const countText = given.operands[1]!;
    const count = byteCount(countText);
    if (count > MAX_REQUEST_BYTES && !given.has('n')) {
      throw new CommandError(`length cannot exceed ${MAX_REQUEST_BYTES} without -n, given ${countText}`);
    }
    if (given.has('b') || given.has('c')) {
      checkSectors('offset', offset);
      checkSectors('count', count);
    }
    const source = given.value('s');
    const data = () => (source === undefined ? new Uint8Array(count).fill(byte) : repeated(source, count));
    const { disk } = context;
    const request = (): (() => unknown) => {
      if (given.has('z'))
        return () => inDisk(context, offset, count, () => disk.writeZeroes(offset, count, flagsOf(given)));
      const bytes = data();
      if (given.has('b')) return () => writeState(disk, offset, bytes);
      return () => inDisk(context, offset, count, () => disk.write(offset, bytes, flagsOf(given)));
    };
    const seconds = await timed(context, 'write', request());
    printWritten(context, given, offset, count, seconds);
  },
};

export const writev: IoCommand = {
  name: 'writev',
  aliases: ['wv'],
  usage: '[-Cfq] [-P pattern] off len [len..]',
  summary: 'writes bytes at an offset from several buffers',
  help: `
 Writes a range whose length is the sum of those that are given.

 -C, -- report as numbers between commas
 -f, -- the write is on stable storage before it is answered
 -P, -- the byte to write
 -q, -- print nothing but errors
`,
  words: [2, -1],
  options: 'CfqP:',
  needsImage: true,
  writes: true,
  async run(context, given) {
    const byte = pattern(given);
    if (given.operands.length < 2) throw new UsageError();
    const offset = byteCount(given.operands[0]!);
    const count = vectorLength(given.operands.slice(1));
    const data = new Uint8Array(count).fill(byte);
    const seconds = await timed(context, 'writev', () =>
      inDisk(context, offset, count, () => context.disk.write(offset, data, flagsOf(given))),
    );
    printWritten(context, given, offset, count, seconds);
  },
};

export const aioWrite: IoCommand = {
  name: 'aio_write',
  usage: '[-Cfiquz] [-P pattern] off len [len..]',
  summary: 'begins to write bytes at an offset',
  help: `
 As writev, but does not wait: the result is printed when aio_flush waits for it. It has succeeded when it has begun.

 -C, -- report as numbers between commas
 -f, -- the write is on stable storage before it is answered
 -i, -- only count it as an invalid request
 -P, -- the byte to write
 -q, -- print nothing but errors
 -u, -- with -z: space may be given back
 -z, -- write zeroes without passing data
`,
  words: [2, -1],
  options: 'CfiP:quz',
  needsImage: true,
  writes: true,
  run(context, given) {
    const byte = pattern(given);
    if (given.has('i')) {
      context.out('injecting invalid write request\n');
      return;
    }
    if (given.operands.length < 2) throw new UsageError();
    const zeroes = given.has('z');
    if (zeroes && given.operands.length > 2) throw new CommandError('-z supports only a single length parameter');
    if (given.has('u') && !zeroes) throw new CommandError('-u requires -z to be specified');
    const offset = byteCount(given.operands[0]!);
    const count = zeroes ? byteCount(given.operands[1]!) : vectorLength(given.operands.slice(1));
    const data = zeroes ? undefined : new Uint8Array(count).fill(byte);
    const begin = performance.now();
    const { disk } = context;
    context.begin(async () => {
      try {
        await inDisk(context, offset, count, () =>
          data === undefined
            ? disk.writeZeroes(offset, count, flagsOf(given))
            : disk.write(offset, data, flagsOf(given)),
        );
      } catch (error) {
        return () => context.out(`${failureOf('aio_write', error).message}\n`);
      }
      const seconds = (performance.now() - begin) / 1000;
      return () => printWritten(context, given, offset, count, seconds);
    });
  },
};
