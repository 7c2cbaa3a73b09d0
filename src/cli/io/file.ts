/** `open`, `close` and `reopen`. */
import type { Given } from '../shared/arguments.ts';
import { Failure } from '../shared/failure.ts';
import { parseKeyValues } from '../shared/key-values.ts';
import { CommandError, UsageError, type IoCommand } from './command.ts';
import { checkAioMode, discardMode, requireCacheMode, type OpenRequest } from './open-image.ts';
import { reopenRequest } from './reopen-options.ts';

/** The request that the options of the program and of `open` make. @throws Failure */
export function openRequest(given: Given, path: string | undefined, imageOpts: boolean): OpenRequest {
  const cache = requireCacheMode(given.value('t') ?? (given.has('n') ? 'none' : undefined));
  for (const mode of given.values('i')) checkAioMode(mode);
  const aio = given.has('k') ? 'native' : given.value('i');
  const discardText = given.value('d') ?? 'unmap';
  const discard = discardMode(discardText);
  if (discard === undefined) throw new Failure(`Invalid discard option: ${discardText}`);
  const options: Record<string, unknown> = Object.assign({}, ...given.values('o').map((text) => parseKeyValues(text)));
  const shared = {
    readOnly: given.has('r'),
    forceShare: given.has('U'),
    copyOnRead: given.has('C'),
    snapshot: given.has('s'),
    discard,
    cache,
    aio,
  };
  if (imageOpts) return { ...shared, image: { name: path!, imageOpts: true }, shownName: undefined, options: {} };
  if (path === undefined) {
    const text = given.values('o').join(',');
    return { ...shared, image: { name: text, imageOpts: true }, shownName: undefined, options: {} };
  }
  const { driver, ...own } = options;
  const format = given.value('f') ?? (driver as string | undefined);
  return { ...shared, image: { name: path, format }, shownName: path, options: own };
}

export const open: IoCommand = {
  name: 'open',
  aliases: ['o'],
  usage: '[-rsCnkU] [-t cache] [-d discard] [-o options] [path]',
  summary: 'opens an image',
  help: `
 Opens an image for all other commands.

 -C, -- copy on read
 -d, -- what becomes of discards: ignore or unmap
 -i, -- how I/O is done: threads, native (which needs -n) or io_uring
 -k, -- short for -i native
 -n, -- short for -t none
 -o, -- options of the driver
 -r, -- only read
 -s, -- forget everything that is written
 -t, -- cache mode: whether writes are stable when they are answered (writethrough, directsync), and flushes are done (not with unsafe)
 -U, -- others may write meanwhile (with -r)
`,
  words: [1, -1],
  options: 'snCro:ki:t:d:U',
  needsImage: false,
  async run(context, given) {
    if (given.operands.length > 1) throw new UsageError();
    const path = given.operands[0];
    if (path === undefined && !given.has('o')) throw new UsageError();
    const request = openRequest(given, path, false);
    if (given.has('o') && context.imageOpts)
      throw new CommandError("--image-opts and 'open -o' are mutually exclusive");
    if (context.isOpen) throw new Failure("file open already, try 'help close'");
    await context.open(request);
  },
};

export const close: IoCommand = {
  name: 'close',
  aliases: ['c'],
  usage: '',
  summary: 'closes the image',
  words: [0, 0],
  needsImage: true,
  run: (context) => context.close(),
};

export const reopen: IoCommand = {
  name: 'reopen',
  usage: '[(-r|-w)] [-c cache] [-o options]',
  summary: 'opens the image anew with other options',
  help: `
 Closes the image and opens it again; if that fails it is open as before.

 -c, -- cache mode
 -o, -- options of the driver
 -r, -- only read
 -w, -- read and write
`,
  words: [0, -1],
  options: 'c:o:rw',
  needsImage: true,
  async run(context, given) {
    if (given.has('r') && given.has('w')) throw new Failure('Only one -r/-w option may be given');
    if (given.operands.length > 0) throw new UsageError();
    await context.reopen(reopenRequest(context, given));
  },
};
