/** The core in Node, with the files of the operating system. */
import { BlockGraph, filterDrivers, formatDrivers, useEqualBytes, type DriverSet } from '../block/index.ts';
import { createFileProtocol, fileProtocol } from '../block/protocol/file/index.ts';
import { httpProtocol, httpsProtocol } from '../block/protocol/http/index.ts';
import { memoryProtocol } from '../block/protocol/memory/index.ts';
import { useAes } from '../codec/aes.ts';
import { useArgon2 } from '../codec/argon2.ts';
import { useHashes } from '../codec/hashes.ts';
import { nodeAes } from './aes.ts';
import { nodeArgon2 } from './argon2.ts';
import { readFolder } from './folder.ts';
import { nodeHashes } from './hashes.ts';
import { nodeCompression } from './compression.ts';
import { createVvfatProtocol } from '../block/protocol/vvfat/index.ts';
import { nullCoProtocol } from '../block/protocol/null-co/index.ts';

export * from '../block/index.ts';
export { createFileProtocol, fileProtocol };

/** Every driver that works in Node. A name without a prefix is a file's path. */
export const nodeDrivers: DriverSet = {
  protocols: [
    fileProtocol,
    memoryProtocol,
    httpProtocol,
    httpsProtocol,
    nullCoProtocol,
    createVvfatProtocol(readFolder),
  ],
  formats: formatDrivers,
  filters: filterDrivers,
  defaultProtocol: 'file',
  compression: nodeCompression,
};

/**
 * Makes an empty graph for Node.
 *
 * @param drivers what it may use; default: everything that works in Node
 */
export function createNodeGraph(drivers: DriverSet = nodeDrivers): BlockGraph {
  useAes(nodeAes);
  useArgon2(nodeArgon2);
  useHashes(nodeHashes);
  useEqualBytes((one, two) => Buffer.compare(one, two) === 0);
  return new BlockGraph(drivers);
}
