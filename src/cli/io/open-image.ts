/** Opening an image for spindle-io: the options of the program and of its command `open`. */
import { createImage, startAsync, type BlockBackend, type BlockdevOptions, type BlockNode } from '../../node/index.ts';
import { cacheMode, type CacheMode } from '../shared/cache-mode.ts';
import { Failure } from '../shared/failure.ts';
import type { ImageName, Session } from '../shared/session.ts';
import { openMessage } from '../shared/words.ts';
import { isMismatch } from './command.ts';

export interface OpenRequest {
  readonly image: ImageName;
  /** What messages call the image; none where it is named by options alone. */
  readonly shownName: string | undefined;
  readonly readOnly: boolean;
  readonly forceShare: boolean;
  readonly copyOnRead: boolean;
  /** Everything that is written is forgotten at the end. */
  readonly snapshot: boolean;
  readonly discard: 'ignore' | 'unmap';
  readonly cache: CacheMode;
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

/** @throws Failure */
export function discardMode(mode: string): 'ignore' | 'unmap' {
  if (mode === 'ignore' || mode === 'off') return 'ignore';
  if (mode === 'unmap' || mode === 'on') return 'unmap';
  throw new Failure(`Invalid discard option: ${mode}`);
}

/** @throws Failure */
export function checkAioMode(mode: string): void {
  if (!['threads', 'native', 'io_uring'].includes(mode)) throw new Failure(`Invalid aio option: ${mode}`);
}

/** @throws Failure `can't open device …: …` */
export async function openDisk(session: Session, request: OpenRequest): Promise<BlockBackend> {
  const { readOnly, forceShare, shownName } = request;
  const prefix = shownName === undefined ? "can't open: " : `can't open device ${shownName}: `;
  if (forceShare && !readOnly) {
    throw new Failure(`${prefix}force-share=on can only be used with read-only images`);
  }
  try {
    return await session.openImage(request.image, { readOnly, forceShare }, (options) =>
      asRequested(session, request, options),
    );
  } catch (error) {
    if (isMismatch(error)) throw error;
    if (error instanceof Failure) throw new Failure(prefix + error.message);
    throw new Failure(prefix + openMessage(error));
  }
}

async function asRequested(session: Session, request: OpenRequest, named: BlockdevOptions): Promise<BlockdevOptions> {
  const options: BlockdevOptions = { discard: request.discard, ...named, ...request.options };
  if (request.snapshot) return overlayOn(session, await openBase(session, options));
  return request.copyOnRead ? { driver: 'copy-on-read', 'read-only': request.readOnly, file: options } : options;
}

/** The image itself is only read. */
function openBase(session: Session, options: BlockdevOptions): Promise<BlockNode> {
  return session.graph.add({ ...options, 'read-only': true });
}

let overlays = 0;

async function overlayOn(session: Session, base: BlockNode): Promise<BlockdevOptions> {
  const file = { driver: 'memory', name: `snapshot-${process.pid}-${overlays++}` };
  await startAsync(createImage(session.graph, { driver: 'qcow2', file, size: base.length }));
  return { driver: 'qcow2', file, backing: base.nodeName, 'backing-identity': 'ignore' };
}
