import type { ProtocolDriver } from '../../driver.ts';
import type { OptionSchema, OptionValues } from '../../options.ts';
import { attempt } from '../shared/attempt.ts';
import { invalidOption, readOnlyProtocolError } from '../shared/errors.ts';
import { BlobStorage } from './storage.ts';

const schema = {
  blob: { type: 'any', required: true, help: 'The Blob, or the File that was chosen or dropped' },
  filename: { type: 'string', help: "What it is called; a File's own name unless given" },
  cache_size: { type: 'size', default: 16777216, help: 'Bytes of it that stay in memory' },
} as const satisfies OptionSchema;

/** A Blob or File that the page holds. */
export const blobProtocol: ProtocolDriver<typeof schema> = {
  kind: 'protocol',
  name: 'blob',
  options: schema,
  isAvailable: () => typeof Blob === 'function',
  filename: nameOf,
  open: (options, { readOnly }) =>
    attempt(() => {
      if (!(options.blob instanceof Blob)) throw invalidOption('blob', 'blob', 'a Blob or a File');
      if (!readOnly) throw readOnlyProtocolError('blob', nameOf(options));
      return new BlobStorage(options.blob, nameOf(options), options.cache_size);
    }),
};

function nameOf({ blob, filename }: OptionValues<typeof schema>): string {
  if (filename !== undefined) return filename;
  return blob instanceof Blob && 'name' in blob && typeof blob.name === 'string' ? blob.name : 'blob';
}
