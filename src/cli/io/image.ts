/** `alloc`, `map`, `length`, `info`, `truncate`, `flush`, `discard`, `aio_flush`: what the image is, and changes of it as a whole. */
import { imageInfo, startAsync, topLayerHolds, type BlockNode, type Preallocation } from '../../node/index.ts';
import { Failure } from '../shared/failure.ts';
import { checkNewSize } from '../shared/sizes.ts';
import { DRIVERS_WITHOUT_INFO, specificLines } from '../shared/specific.ts';
import { ownMessage, strerror } from '../shared/words.ts';
import { BlockError } from '../../node/index.ts';
import { CommandError, UsageError, type IoCommand } from './command.ts';
import { byteCount, MAX_REQUEST_BYTES, sizeText } from './numbers.ts';
import { inDisk } from './ranges.ts';
import { printReport, timed } from './report.ts';

const SECTOR_BYTES = 512;
const L2_ENTRY_BYTES = 8;
const EXTENDED_L2_ENTRY_BYTES = 16;

export const alloc: IoCommand = {
  name: 'alloc',
  usage: 'offset [count]',
  summary: 'says how much of a range the top image holds itself',
  words: [1, 2],
  needsImage: true,
  async run(context, { operands }) {
    const { disk, out } = context;
    const start = byteCount(operands[0]!);
    const wanted = operands[1] === undefined ? SECTOR_BYTES : byteCount(operands[1]);
    // What lies behind the end is in no image.
    const count = Math.max(0, Math.min(wanted, disk.length - start));
    let held = 0;
    for (let at = start; at < start + count;) {
      const piece = await startAsync(topLayerHolds(disk.node, at, start + count - at));
      if (piece.held) held += piece.length;
      at += piece.length;
    }
    context.deliver();
    out(`${held}/${count} bytes allocated at offset ${sizeText(start)}\n`);
  },
};

export const map: IoCommand = {
  name: 'map',
  usage: '',
  summary: 'prints which ranges the top image holds itself',
  words: [0, 0],
  needsImage: true,
  async run(context) {
    const { disk, out } = context;
    for (let at = 0; at < disk.length;) {
      const { held, end } = await sameFrom(disk.node, at, disk.length);
      context.deliver();
      const length = `${sizeText(end - at)} (0x${(end - at).toString(16)})`;
      out(`${length} bytes ${held ? '   ' : 'not'} allocated at offset ${sizeText(at)} (0x${at.toString(16)})\n`);
      at = end;
    }
  },
};

/** How far the answer at a place is the same. */
async function sameFrom(node: BlockNode, from: number, limit: number): Promise<{ held: boolean; end: number }> {
  const first = await startAsync(topLayerHolds(node, from, limit - from));
  let end = from + first.length;
  while (end < limit) {
    const next = await startAsync(topLayerHolds(node, end, limit - end));
    if (next.held !== first.held) break;
    end += next.length;
  }
  return { held: first.held, end };
}

export const length: IoCommand = {
  name: 'length',
  aliases: ['l'],
  usage: '',
  summary: 'prints how large the disk is',
  words: [0, 0],
  needsImage: true,
  run({ disk, out }) {
    out(`${sizeText(disk.length)}\n`);
  },
};

export const info: IoCommand = {
  name: 'info',
  aliases: ['i'],
  usage: '',
  summary: 'prints what the image is',
  words: [0, 0],
  needsImage: true,
  async run({ disk, out, request }) {
    // A filter that is there for the program's own option is not what was asked about.
    const node = request.copyOnRead && disk.node.below !== undefined ? disk.node.below : disk.node;
    const found = await startAsync(imageInfo(node));
    out(`format name: ${node.driver.name}\n`);
    // A raw image is asked by way of its file.
    const asked = node.driver.name === 'raw' ? (node.children.get('file')?.node ?? node) : node;
    if (DRIVERS_WITHOUT_INFO.has(asked.driver.name)) throw new CommandError('');
    out(`cluster size: ${sizeText(found['cluster-size'] ?? 0)}\n`);
    out(
      `vm state offset: ${sizeText(machineStateOffset(found.format, disk.length, found['cluster-size'] ?? 0, found))}\n`,
    );
    for (const line of specificLines(found)) out(`${line}\n`);
  },
};

/** Machine state in qcow2 begins where the L2 tables of the disk end. Source: qcow2 specification, "Snapshots". */
function machineStateOffset(
  format: string,
  size: number,
  clusterSize: number,
  found: { readonly 'format-specific'?: { readonly data: object } | undefined },
): number {
  if (format !== 'qcow2') return 0;
  const data: { readonly 'extended-l2'?: boolean } = found['format-specific']?.data ?? {};
  const extended = data['extended-l2'] === true;
  const span = clusterSize * (clusterSize / (extended ? EXTENDED_L2_ENTRY_BYTES : L2_ENTRY_BYTES));
  return Math.ceil(size / span) * span;
}

const PREALLOCATION: readonly Preallocation[] = ['off', 'metadata', 'falloc', 'full'];

export const truncate: IoCommand = {
  name: 'truncate',
  aliases: ['t'],
  usage: '[-m prealloc_mode] off',
  summary: 'changes the size of the disk',
  words: [1, 3],
  options: 'm:',
  operands: 1,
  needsImage: true,
  writes: true,
  async run(context, given) {
    const { disk } = context;
    const mode = given.value('m') ?? 'off';
    const preallocation = PREALLOCATION.find((known) => known === mode);
    if (preallocation === undefined) throw new Failure(`Invalid preallocation mode '${mode}'`);
    const size = byteCount(given.operands[0]!);
    checkNewSize(disk.node.driver.name, size);
    try {
      await disk.resize(size, preallocation);
    } catch (error) {
      throw new Failure(error instanceof BlockError ? ownMessage(error) : strerror(error));
    } finally {
      context.deliver();
    }
  },
};

export const flush: IoCommand = {
  name: 'flush',
  aliases: ['f'],
  usage: '',
  summary: 'makes everything that was written stable',
  words: [0, 0],
  needsImage: true,
  async run(context) {
    try {
      await context.disk.flush();
    } catch (error) {
      throw new CommandError(strerror(error), 'none');
    }
  },
};

export const aioFlush: IoCommand = {
  name: 'aio_flush',
  usage: '',
  summary: 'waits for all requests that were begun',
  words: [0, 0],
  needsImage: true,
  run: (context) => context.settleAll(),
};

export const discard: IoCommand = {
  name: 'discard',
  aliases: ['d'],
  usage: '[-Cq] off len',
  summary: 'gives space back',
  help: `
 Tells the image that a range is not needed any more.

 -C, -- report as numbers between commas
 -q, -- print nothing but errors
`,
  words: [2, -1],
  options: 'Cq',
  needsImage: true,
  writes: true,
  async run(context, given) {
    if (given.operands.length !== 2) throw new UsageError();
    const offset = byteCount(given.operands[0]!);
    const countText = given.operands[1]!;
    const count = byteCount(countText);
    if (count > MAX_REQUEST_BYTES) {
      throw new CommandError(`length cannot exceed ${MAX_REQUEST_BYTES}, given ${countText}`);
    }
    const { disk } = context;
    const seconds = await timed(context, 'discard', () =>
      inDisk(context, offset, count, () => disk.discard(offset, count)),
    );
    if (given.has('q')) return;
    printReport(context, { verb: 'discard', offset, count, seconds, machine: given.has('C') });
  },
};
