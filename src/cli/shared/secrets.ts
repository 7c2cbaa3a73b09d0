/** `--object secret,…`: passphrases for encrypted images. */
import { readFileSync } from 'node:fs';
import type { BlockGraph } from '../../node/index.ts';
import { Failure } from './failure.ts';
import { systemMessage } from './words.ts';

/**
 * Gives a graph a secret.
 *
 * @param values `data=TEXT` or `file=PATH`, with `format=raw` or `base64`
 * @throws Failure
 */
export function addSecret(graph: BlockGraph, id: string, values: Readonly<Partial<Record<string, string>>>): void {
  const { data, file, format = 'raw', ...others } = values;
  const unknown = Object.keys(others)[0];
  if (unknown !== undefined) throw new Failure(`Parameter '${unknown}' is unexpected`);
  if (format !== 'raw' && format !== 'base64') {
    throw new Failure(`Parameter 'format' does not accept value '${format}'`);
  }
  graph.secrets.add(id, decode(readSecret(data, file), format));
}

function readSecret(data: string | undefined, file: string | undefined): Uint8Array {
  if (data !== undefined && file !== undefined) throw new Failure("'file' and 'data' are mutually exclusive");
  if (data !== undefined) return new TextEncoder().encode(data);
  if (file === undefined) throw new Failure("Either 'file' or 'data' must be provided");
  try {
    return readFileSync(file);
  } catch (error) {
    throw new Failure(
      `Unable to read ${file}: Failed to open file “${file}”: ${systemMessage(error) ?? String(error)}`,
    );
  }
}

function decode(bytes: Uint8Array, format: 'raw' | 'base64'): Uint8Array {
  if (format === 'raw') return bytes;
  const text = new TextDecoder().decode(bytes).replace(/\s+/g, '');
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4 !== 0) throw new Failure('Base64 data is not valid');
  return Buffer.from(text, 'base64');
}
