import type { OpenFlags, ProtocolDriver, Storage } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import type { OptionSchema, OptionValues } from '../../options.ts';
import { invalidOption } from '../shared/errors.ts';
import { siblingPath } from '../shared/paths.ts';
import { takeLock, withLock } from '../shared/web-lock.ts';
import { DiskStore, isChunkSize, MAX_CHUNK_BYTES, MIN_CHUNK_BYTES } from './disk-store.ts';
import { IndexedDbStorage } from './storage.ts';

const PREFIX = 'indexeddb:';

const schema = {
  name: { type: 'string', required: true, help: "The disk's name in the database" },
  database: { type: 'string', default: 'spindle', help: 'Name of the IndexedDB database' },
  chunk_size: {
    type: 'size',
    default: 262144,
    help: 'Bytes of a stored value, a power of two; used when a disk is created',
  },
  cache_size: { type: 'size', default: 33554432, help: 'Bytes of unchanged chunks that stay in memory' },
  dirty_size: {
    type: 'size',
    default: 33554432,
    help: 'Bytes of changes that gather in memory before they are committed early',
  },
} as const satisfies OptionSchema;

type IndexedDbOptions = OptionValues<typeof schema>;

/** Disks in IndexedDB, for pages and for browsers that have no synchronous file handles. */
export const indexedDbProtocol: ProtocolDriver<typeof schema> = {
  kind: 'protocol',
  name: 'indexeddb',
  options: schema,
  isAvailable: () => typeof indexedDB === 'object' && indexedDB !== null,
  parseFilename: (filename) =>
    filename.startsWith(PREFIX) ? { driver: 'indexeddb', name: filename.slice(PREFIX.length) } : undefined,
  filename: ({ name }) => `${PREFIX}${name}`,
  resolve: ({ name, database }, reference) => ({
    driver: 'indexeddb',
    name: siblingPath(name, reference),
    ...(database === undefined ? {} : { database }),
  }),
  open: openDisk,
  create: createDisk,
  delete: deleteDisk,
};

async function openDisk(options: IndexedDbOptions, { readOnly }: OpenFlags): Promise<Storage> {
  const store = storeOf(options);
  const lock = await takeLock('indexeddb', store.filename, readOnly);
  try {
    await store.open();
    const record = await store.readRecord();
    const chunkNumbers = await store.readChunkNumbers(record);
    const { cache_size: cacheBytes, dirty_size: dirtyBytes } = options;
    return new IndexedDbStorage({ store, record, chunkNumbers, lock, readOnly, cacheBytes, dirtyBytes });
  } catch (error) {
    await store.close();
    await lock.release();
    throw error;
  }
}

async function createDisk(options: IndexedDbOptions, size: number): Promise<void> {
  const { chunk_size: chunkBytes } = options;
  if (!isChunkSize(chunkBytes)) {
    throw invalidOption('indexeddb', 'chunk_size', `a power of two from ${MIN_CHUNK_BYTES} to ${MAX_CHUNK_BYTES}`);
  }
  await whileLocked(options, (store) => store.create({ length: size, chunkBytes, modifiedMs: Date.now() }));
}

async function deleteDisk(options: IndexedDbOptions): Promise<void> {
  await whileLocked(options, async (store) => {
    // A damaged disk must be deletable, so only its absence matters.
    await store.readRecord().catch((error: unknown) => {
      if (error instanceof BlockError && error.kind === 'corrupt') return;
      throw error;
    });
    await store.delete();
  });
}

async function whileLocked(options: IndexedDbOptions, work: (store: DiskStore) => Promise<void>): Promise<void> {
  const store = storeOf(options);
  await withLock('indexeddb', store.filename, false, async () => {
    try {
      await store.open();
      await work(store);
    } finally {
      await store.close();
    }
  });
}

function storeOf({ database, name }: IndexedDbOptions): DiskStore {
  if (!indexedDbProtocol.isAvailable()) {
    const message = 'There is no IndexedDB here: keep the disk in a file or in memory';
    throw new BlockError('unsupported', message, { driver: 'indexeddb', filename: name });
  }
  if (name === '') throw invalidOption('indexeddb', 'name', 'a name');
  return new DiskStore(database, name);
}
