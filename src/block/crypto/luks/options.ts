/** Options of encrypted images, with QEMU's names: `cipher-alg` of a LUKS image is `encrypt.cipher-alg` of a qcow2 image. */
import { HASH_NAMES } from '../../../codec/hashes.ts';
import { IV_GENERATORS } from '../../../codec/iv-generators.ts';
import { SECTOR_MODES } from '../../../codec/sector-modes.ts';
import { BlockError } from '../../error.ts';
import type { OptionSchema, OptionValues } from '../../options.ts';
import { CIPHER_ALGORITHMS } from '../cipher-spec.ts';
import { checkParameters, DEFAULT_ITER_TIME_MS, type LuksParameters } from './create.ts';

/** Ciphers that QEMU has and this implementation has not: they are refused by name. */
const OTHER_ALGORITHMS = [
  'cast5-128',
  'serpent-128',
  'serpent-192',
  'serpent-256',
  'twofish-128',
  'twofish-192',
  'twofish-256',
] as const;

export const luksCreateOptions = {
  'key-secret': { type: 'string', help: 'ID of the secret that provides the keyslot passphrase' },
  'cipher-alg': {
    type: 'enum',
    values: [...CIPHER_ALGORITHMS, ...OTHER_ALGORITHMS],
    help: 'Name of encryption cipher algorithm',
  },
  'cipher-mode': { type: 'enum', values: SECTOR_MODES, help: 'Name of encryption cipher mode' },
  'ivgen-alg': { type: 'enum', values: IV_GENERATORS, help: 'Name of IV generator algorithm' },
  'ivgen-hash-alg': { type: 'enum', values: HASH_NAMES, help: 'Name of IV generator hash algorithm' },
  'hash-alg': { type: 'enum', values: HASH_NAMES, help: 'Name of encryption hash algorithm' },
  'iter-time': { type: 'number', help: 'Time to spend in PBKDF in milliseconds' },
} as const satisfies OptionSchema;

export const luksAmendOptions = {
  state: {
    type: 'enum',
    values: ['active', 'inactive'],
    help: 'Select new state of affected keyslots (active/inactive)',
    required: true,
  },
  'new-secret': { type: 'string', help: 'New secret to set in the matching keyslots' },
  'old-secret': { type: 'string', help: 'Select all keyslots that match this password' },
  keyslot: { type: 'number', help: 'Select a single keyslot to modify explicitly' },
  'iter-time': { type: 'number', help: 'Time to spend in PBKDF in milliseconds' },
} as const satisfies OptionSchema;

export type LuksCreateOptions = OptionValues<typeof luksCreateOptions>;
export type AmendOptions = OptionValues<typeof luksAmendOptions>;

/** The options of one schema as options of another format: `encrypt.` before each name, and none required. */
export function prefixed<const Schema extends OptionSchema>(schema: Schema): Prefixed<Schema> {
  const entries = Object.entries(schema).map(([name, spec]) => {
    const { required: _, ...optional } = spec;
    return [PREFIX + name, optional];
  });
  return Object.fromEntries(entries) as Prefixed<Schema>;
}

const PREFIX = 'encrypt.';

type Prefixed<Schema extends OptionSchema> = {
  readonly [Name in keyof Schema & string as `encrypt.${Name}`]: Omit<Schema[Name], 'required'>;
};

/** What was given of the prefixed options, under their own names. */
export function unprefixed(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const own = Object.entries(options).filter(([name]) => name.startsWith(PREFIX));
  return Object.fromEntries(own.map(([name, value]) => [name.slice(PREFIX.length), value]));
}

/**
 * What a new LUKS header is made with; where nothing is said, as QEMU does.
 *
 * @throws BlockError `unsupported` for ciphers that are known by name only, `invalid` for what does not go together
 */
export function luksParameters(options: LuksCreateOptions): LuksParameters {
  const wanted = options['cipher-alg'] ?? 'aes-256';
  const algorithm = CIPHER_ALGORITHMS.find((name) => name === wanted);
  if (algorithm === undefined) {
    throw new BlockError('unsupported', `The cipher '${wanted}' is not supported; ${CIPHER_ALGORITHMS.join(', ')} are`);
  }
  const ivGenerator = options['ivgen-alg'] ?? 'plain64';
  const ivHash = ivGenerator === 'essiv' ? (options['ivgen-hash-alg'] ?? 'sha256') : undefined;
  return checkParameters({
    cipher: { algorithm, mode: options['cipher-mode'] ?? 'xts', ivGenerator, ivHash },
    hash: options['hash-alg'] ?? 'sha256',
    iterTimeMs: Math.max(1, options['iter-time'] ?? DEFAULT_ITER_TIME_MS),
  });
}
