/** `convert`: disks into a new image, or into one that is there. */
import {
  BlockError,
  checkBitmapsToCopy,
  copyBitmaps,
  copyDisk,
  startAsync,
  type BlockBackend,
  type FormatDriver,
} from '../../node/index.ts';
import type { Given } from '../shared/arguments.ts';
import { cacheOptions } from '../shared/cache-mode.ts';
import { createHelp, createValues, formatNamed, type CreateValues } from '../shared/create-options.ts';
import { Failure } from '../shared/failure.ts';
import { asksForHelp } from '../shared/key-values.ts';
import { NewFile } from '../shared/new-file.ts';
import { Pacer } from '../shared/pacer.ts';
import { ProgressLine } from '../shared/progress.ts';
import type { Session } from '../shared/session.ts';
import { sizeThreadPool } from '../shared/thread-pool.ts';
import { createMessage, requestMessage, strerror } from '../shared/words.ts';
import { imageNamed, loadSnapshot, optionLists, type Command } from './command.ts';
import { convertSpecs, readConvertRequest, type ConvertRequest } from './convert-options.ts';
import { creatableFormat, makeImage } from './create.ts';

export const convert: Command = {
  options: convertSpecs,
  async run(session, given) {
    const texts = optionLists(given);
    if (texts.some(asksForHelp) && !given.has('n')) {
      const format = formatNamed(session.graph.drivers, given.value('O') ?? 'raw');
      session.out(createHelp(format, given.operands.length > 1));
      return 0;
    }
    const request = readConvertRequest(given);
    // This thread writes; it has little to do where the others compress.
    sizeThreadPool(given.has('c') ? 0 : 1);
    const sources = await openSources(session, given, request);
    if (given.has('B') && request.sources.length > 1) {
      throw new Failure('Having a backing file for the target makes no sense when concatenating multiple input images');
    }
    if (given.has('bitmaps')) {
      if (sources.length > 1) throw new Failure('Copying bitmaps only possible with single source');
      const skipBroken = given.has('skip-broken-bitmaps');
      await startAsync(checkBitmapsToCopy(sources[0]!.node, { skipBroken }));
    }
    const progress = new ProgressLine(session.terminal, given.has('p') && !given.has('q'));
    try {
      if (request.existing) await intoExisting(session, given, request, sources, progress);
      else await intoNew(session, given, request, sources, progress);
      progress.finish();
    } finally {
      progress.end();
    }
    return 0;
  },
};

/** Reading ahead goes on while other pieces are decompressed, compressed and written. */
const ON_THREADS = { aio: 'threads' } as const;

async function openSources(session: Session, given: Given, request: ConvertRequest): Promise<BlockBackend[]> {
  const snapshot = given.value('l');
  if (snapshot !== undefined && request.sources.length > 1) {
    throw new Failure('No support for concatenating multiple snapshot');
  }
  const sources: BlockBackend[] = [];
  for (const name of request.sources) {
    const image = imageNamed(given, name, 'f');
    sources.push(await session.open(image, { readOnly: true, forceShare: given.has('U'), fileOptions: ON_THREADS }));
  }
  if (snapshot !== undefined) await loadSnapshot(sources[0]!, snapshot);
  return sources;
}

// ── Targets ─────────────────────────────────────────────────────────────────────────────────────────────────────────

async function intoExisting(
  session: Session,
  given: Given,
  request: ConvertRequest,
  sources: readonly BlockBackend[],
  progress: ProgressLine,
): Promise<void> {
  const imageOpts = given.has('target-image-opts');
  const format = imageOpts ? undefined : request.format;
  const target = await session.open({ name: request.target, format, imageOpts }, targetSettings(request, {}));
  if (target.length < totalLength(sources)) throw new Failure('output file is smaller than input file');
  const { driver } = target.node;
  if (request.compressed && !(driver.kind === 'format' && driver.capabilities.compress)) {
    throw new Failure('Compression not supported for this file format');
  }
  if (given.has('bitmaps')) expectBitmaps(driver.name, driver.kind === 'format' && driver.capabilities.bitmaps);
  await fill(session, given, request, sources, target, { progress, isZero: false });
  await session.close(target);
}

async function intoNew(
  session: Session,
  given: Given,
  request: ConvertRequest,
  sources: readonly BlockBackend[],
  progress: ProgressLine,
): Promise<void> {
  const driver = creatableFormat(session, request.format, request.target);
  if (given.has('bitmaps')) expectBitmaps(driver.name, driver.capabilities.bitmaps);
  const values = targetValues(driver, given, request, totalLength(sources));
  const { driver: protocol, filename } = session.fileOptions(request.target);
  const isFile = protocol === 'file';
  if (filename === '') {
    throw new Failure(`: error while converting ${driver.name}: Could not create '': No such file or directory`);
  }
  const file = new NewFile(isFile ? String(filename) : request.target, isFile);
  try {
    await begin(session, request, file, driver, values);
    const image = { name: file.path, format: request.format };
    const target = await session.open(image, targetSettings(request, values));
    if (target.length < totalLength(sources)) throw new Failure('output file is smaller than input file');
    await fill(session, given, request, sources, target, { progress, isZero: driver.hasZeroInit !== false });
    await session.close(target);
    if (isFile) publish(file, request.target);
  } catch (error) {
    await session.closeAll();
    if (isFile && !(error instanceof Begun)) file.discard();
    if (error instanceof Begun) throw error.failure;
    // Nobody has heard of the name that it has until it is whole.
    throw error instanceof Failure ? new Failure(error.message.replaceAll(file.path, request.target), error) : error;
  }
}

/** @throws Failure when the file system refuses */
function publish(file: NewFile, name: string): void {
  try {
    file.publish();
  } catch (error) {
    throw new Failure(`Could not give the new image its name '${name}': ${strerror(error)}`);
  }
}

/** @throws Failure in qemu-img's words */
function expectBitmaps(format: string, keepsBitmaps: boolean): void {
  if (!keepsBitmaps) throw new Failure(`Format driver '${format}' does not support bitmaps`);
}

/** The target could not be begun: nothing of it is there, and what was there before stays. */
class Begun extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

async function begin(
  session: Session,
  request: ConvertRequest,
  file: NewFile,
  driver: FormatDriver,
  values: CreateValues,
): Promise<void> {
  try {
    if (file.replaces) await expectFree(session, request.target);
    const fileOptions = { cache: cacheOptions(request.cache) };
    const made = await makeImage(session, driver, file.path, values, { fileOptions, finalName: request.target });
    file.consistsOf(made.map((each) => each.file));
  } catch (error) {
    if (!(error instanceof BlockError) || error.kind === 'internal') throw error;
    const text = createMessage(error, request.target);
    throw new Begun(new Failure(`${request.target}: error while converting ${driver.name}: ${text}`));
  }
}

/** What is to be replaced must not be in use. @throws BlockError */
async function expectFree(session: Session, name: string): Promise<void> {
  const node = await session.graph.add({ ...session.fileOptions(name), 'read-only': false });
  await session.graph.remove(node.nodeName);
}

function targetValues(driver: FormatDriver, given: Given, request: ConvertRequest, length: number): CreateValues {
  const values = createValues(driver, given.values('o'));
  const backing = given.value('B');
  const backingFormat = given.value('F');
  const named = backing ?? values['backing_file'];
  if (backing !== undefined && !driver.capabilities.backing) {
    throw new Failure(`Backing file not supported for file format '${driver.name}'`);
  }
  if (named !== undefined && backingFormat === undefined && values['backing_fmt'] === undefined) {
    throw new Failure('Use of backing file requires explicit backing format');
  }
  if (request.compressed && !driver.capabilities.compress) {
    throw new Failure('Compression not supported for this file format');
  }
  if (request.compressed && (values['encryption'] === 'on' || values['encrypt.format'] !== undefined)) {
    throw new Failure('Compression and encryption not supported at the same time');
  }
  if (request.compressed && (values['preallocation'] ?? 'off') !== 'off') {
    throw new Failure('Compression and preallocation not supported at the same time');
  }
  return {
    ...values,
    size: length,
    ...(backing === undefined ? {} : { backing_file: backing }),
    ...(backingFormat === undefined ? {} : { backing_fmt: backingFormat }),
  };
}

function targetSettings(request: ConvertRequest, values: CreateValues) {
  // A new image is opened with the passphrase that it was made with: luks has it as an option of its own.
  const { 'encrypt.key-secret': inside, 'key-secret': own } = values;
  const secrets = {
    ...(inside !== undefined && { encrypt: { 'key-secret': inside } }),
    ...(own !== undefined && { 'key-secret': own }),
  };
  return {
    readOnly: false,
    cache: request.cache,
    fileOptions: ON_THREADS,
    options: secrets,
  };
}

// ── Copying ─────────────────────────────────────────────────────────────────────────────────────────────────────────

async function fill(
  session: Session,
  given: Given,
  request: ConvertRequest,
  sources: readonly BlockBackend[],
  target: BlockBackend,
  { progress, isZero }: { readonly progress: ProgressLine; readonly isZero: boolean },
): Promise<void> {
  const skipBroken = given.has('skip-broken-bitmaps');
  const onBacking = given.has('B');
  const pacer = request.rate > 0 ? new Pacer(request.rate, session.terminal.signal) : undefined;
  try {
    await startAsync(
      copyDisk(
        sources.map(({ node }) => node),
        target,
        {
          targetIsZero: isZero || request.targetIsZero,
          sparseSize: request.sparseSize,
          compress: request.compressed,
          parallel: request.parallel,
          anyOrder: given.has('W'),
          onBacking,
          progress,
          ...(pacer === undefined ? {} : { pace: (bytes: number) => pacer.wait(bytes) }),
          ...(given.has('salvage') ? { onUnreadable: given.has('q') ? () => undefined : unreadable(session) } : {}),
        },
      ),
    );
  } catch (error) {
    throw copyFailure(error);
  }
  if (!given.has('bitmaps')) return;
  const onSkipped = (name: string): void => session.report(`warning: Skipping inconsistent bitmap '${name}'`);
  await startAsync(copyBitmaps(sources[0]!.node, target.node, { skipBroken, onSkipped }));
}

function unreadable(session: Session): (offset: number, error: unknown) => void {
  return (offset, error) => {
    session.report(`warning: error while reading offset ${offset}: ${requestMessage(error)}`);
  };
}

function copyFailure(error: unknown): unknown {
  if (!(error instanceof BlockError) || error.context.detail?.['side'] === undefined) return error;
  const { side, offset } = error.context.detail as { side: 'status' | 'read' | 'write'; offset: number };
  const text = requestMessage(error);
  if (side === 'status') return new Failure(`error while reading block status at offset ${offset}: ${text}`);
  return new Failure(`error while ${side === 'read' ? 'reading' : 'writing'} at byte ${offset}: ${text}`);
}

function totalLength(disks: readonly BlockBackend[]): number {
  return disks.reduce((sum, { length }) => sum + length, 0);
}
