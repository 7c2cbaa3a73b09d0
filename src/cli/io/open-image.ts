/** Opening an image for spindle-io: the options of the program and of its command `open`. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createImage, startAsync, type BlockBackend, type BlockdevOptions, type BlockNode } from '../../node/index.ts';
import { isAioMode } from '../shared/aio-mode.ts';
import { cacheMode, type CacheMode } from '../shared/cache-mode.ts';
import { Failure } from '../shared/failure.ts';
import type { ImageName, Session } from '../shared/session.ts';
import { openMessage } from '../shared/words.ts';
import { isMismatch } from './command.ts';

export interface OpenRequest {
  readonly image: ImageName;
  /** What messages call the image; none where it is named by options alone. */
  readonly shownName: string | undefined;
  /** What was said of its format when it was opened first is not said again. */
  readonly isOpenAgain?: boolean;
  readonly readOnly: boolean;
  readonly forceShare: boolean;
  readonly copyOnRead: boolean;
  /** Everything that is written is forgotten at the end. */
  readonly snapshot: boolean;
  readonly discard: 'ignore' | 'unmap';
  readonly cache: CacheMode;
  /** QEMU's way to do I/O, where one was asked for. */
  readonly aio?: string | undefined;
  /** Options of the driver, beside those in the name. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** Without a mode every write is on stable storage before it is answered, as in qemu-io. */
const DEFAULT_CACHE_MODE = 'writethrough';

/** @throws Failure */
export function requireCacheMode(mode: string = DEFAULT_CACHE_MODE): CacheMode {
  const found = cacheMode(mode);
  if (found === undefined) throw new Failure(`Invalid cache option: ${mode}`);
  return found;
}

/** @returns undefined for a word that is no mode */
export function discardMode(mode: string): OpenRequest['discard'] | undefined {
  if (mode === 'ignore' || mode === 'off') return 'ignore';
  return mode === 'unmap' || mode === 'on' ? 'unmap' : undefined;
}

/** @throws Failure */
export function checkAioMode(mode: string): void {
  if (!isAioMode(mode)) throw new Failure(`Invalid aio option: ${mode}`);
}

/** What messages about an image that cannot be opened begin with. */
export function openPrefix({ shownName }: OpenRequest): string {
  return shownName === undefined ? "can't open: " : `can't open device ${shownName}: `;
}

/** @throws Failure `can't open device …: …` */
export async function openDisk(session: Session, request: OpenRequest): Promise<BlockBackend> {
  const { readOnly, forceShare } = request;
  const prefix = openPrefix(request);
  if (forceShare && !readOnly) {
    throw new Failure(`${prefix}force-share=on can only be used with read-only images`);
  }
  const scratch = request.snapshot ? new Scratch(session) : undefined;
  try {
    const settings = {
      readOnly,
      forceShare,
      // An image that is only read is in no danger.
      guessesSilently: request.isOpenAgain === true || request.snapshot,
      cache: request.cache,
      ...(request.aio === undefined ? {} : { fileOptions: { aio: request.aio } }),
    };
    return await session.openImage(request.image, settings, (options) => asRequested(request, options, scratch));
  } catch (error) {
    await scratch?.giveUp();
    if (isMismatch(error)) throw error;
    if (error instanceof Failure && error.message.endsWith(' conflicts with image options')) throw error;
    if (error instanceof Failure) throw new Failure(prefix + error.message);
    throw new Failure(prefix + openMessage(error));
  } finally {
    scratch?.forgetFile();
  }
}

function asRequested(
  request: OpenRequest,
  named: BlockdevOptions,
  scratch: Scratch | undefined,
): BlockdevOptions | Promise<BlockdevOptions> {
  const options: BlockdevOptions = { discard: request.discard, ...named, ...request.options };
  const above = (file: BlockdevOptions): BlockdevOptions =>
    request.copyOnRead ? { driver: 'copy-on-read', 'read-only': request.readOnly, file } : file;
  return scratch === undefined ? above(options) : scratch.over(options, request.readOnly).then(above);
}

/** An overlay in a temporary file, which takes what is written to an image and is gone at the end. */
class Scratch {
  readonly #session: Session;
  readonly #folder = mkdtempSync(join(tmpdir(), 'spindle-io-'));
  #base: BlockNode | undefined;

  constructor(session: Session) {
    this.#session = session;
  }

  /** The image itself is only read. */
  async over(options: BlockdevOptions, readOnly: boolean): Promise<BlockdevOptions> {
    const { graph } = this.#session;
    const base = await this.#session.addNode({ ...options, 'read-only': true });
    this.#base = base;
    const file = { driver: 'file', filename: join(this.#folder, 'overlay.qcow2') };
    await startAsync(createImage(graph, { driver: 'qcow2', file, size: base.length }));
    return {
      driver: 'qcow2',
      'read-only': readOnly,
      file,
      backing: base.nodeName,
      'backing-identity': 'ignore',
      // It is gone after a power cut, whatever was flushed.
      cache: { 'no-flush': true },
    };
  }

  /** Nothing stands on the image: it is closed again. */
  async giveUp(): Promise<void> {
    if (this.#base !== undefined) await this.#session.graph.remove(this.#base.nodeName);
  }

  /** What has it open keeps it. */
  forgetFile(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
