import type { ProtocolDriver } from '../../driver.ts';
import type { OptionSchema, OptionValues } from '../../options.ts';
import { attempt } from '../shared/attempt.ts';
import { invalidOption } from '../shared/errors.ts';
import { siblingPath } from '../shared/paths.ts';
import { MemoryStorage } from './storage.ts';
import { MemoryFile, MemoryStore } from './store.ts';

const PREFIX = 'memory:';

const schema = {
  name: {
    type: 'string',
    help: 'Name that finds the same bytes again; without one they are gone when they are closed',
  },
  size: { type: 'size', help: 'Bytes of zeroes that a file is made with if there is none of that name' },
  store: { type: 'any', help: 'The MemoryStore that knows the name; the driver has one of its own' },
} as const satisfies OptionSchema;

type MemoryOptions = OptionValues<typeof schema>;

function nameOf(options: MemoryOptions): string {
  if (options.name === undefined) throw invalidOption('memory', 'name', 'given to create or delete a file');
  return options.name;
}

/**
 * Makes a memory protocol whose names are its own.
 *
 * @param store the files that it starts with
 */
export function createMemoryProtocol(store: MemoryStore = new MemoryStore()): ProtocolDriver<typeof schema> {
  const storeOf = (options: MemoryOptions): MemoryStore => {
    const given = options.store ?? store;
    if (!(given instanceof MemoryStore)) throw invalidOption('memory', 'store', 'a MemoryStore');
    return given;
  };
  const fileFor = (options: MemoryOptions): MemoryFile => {
    const { name, size } = options;
    if (name === undefined) return new MemoryFile('', size ?? 0);
    const files = storeOf(options);
    return size === undefined || files.has(name) ? files.get(name) : files.create(name, size);
  };

  return {
    kind: 'protocol',
    name: 'memory',
    options: schema,
    isAvailable: () => true,
    parseFilename: (filename) =>
      filename.startsWith(PREFIX) ? { driver: 'memory', name: filename.slice(PREFIX.length) } : undefined,
    filename: (options) => `${PREFIX}${options.name ?? ''}`,
    resolve: (options, reference) => ({
      driver: 'memory',
      name: siblingPath(options.name ?? '', reference),
      ...(options.store === undefined ? {} : { store: options.store }),
    }),
    open: (options, flags) => attempt(() => new MemoryStorage(fileFor(options), flags)),
    create: (options, size) => attempt(() => void storeOf(options).create(nameOf(options), size)),
    delete: (options) => attempt(() => storeOf(options).delete(nameOf(options))),
  };
}

/** The memory protocol whose names everybody who imports it shares. */
export const memoryProtocol: ProtocolDriver<typeof schema> = /* @__PURE__ */ createMemoryProtocol();
