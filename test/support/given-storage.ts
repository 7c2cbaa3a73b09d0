/** A protocol whose files are `Storage` objects that a test has made. */
import type { ProtocolDriver, Storage } from '../../src/block/driver.ts';
import { BlockError } from '../../src/block/error.ts';
import type { OptionSchema } from '../../src/block/options.ts';

const options = {
  name: { type: 'string', help: 'which of the given storages', required: true },
} as const satisfies OptionSchema;

/** @param storages by name; a test may add to it */
export function givenProtocol(storages: Map<string, Storage>): ProtocolDriver<typeof options> {
  return {
    kind: 'protocol',
    name: 'given',
    options,
    isAvailable: () => true,
    parseFilename: (filename) =>
      filename.startsWith('given:') ? { driver: 'given', name: filename.slice('given:'.length) } : undefined,
    filename: ({ name }) => `given:${name}`,
    resolve: (_options, reference) => ({ driver: 'given', name: reference }),
    open: ({ name }) => {
      const storage = storages.get(name);
      return storage === undefined
        ? Promise.reject(new BlockError('not-found', `No storage '${name}' was given`))
        : Promise.resolve(storage);
    },
  };
}
