/** A graph over storages that a test has made, with the formats `raw` and `mapped`. */
import type { Storage } from '../../src/block/driver.ts';
import { filterDrivers } from '../../src/block/filter/index.ts';
import { qcow2 } from '../../src/block/format/qcow2/driver.ts';
import { raw } from '../../src/block/format/raw/driver.ts';
import { BlockGraph } from '../../src/block/graph/graph.ts';
import { createMemoryProtocol } from '../../src/block/protocol/memory/index.ts';
import { givenProtocol } from './given-storage.ts';
import { mapped } from './mapped-format.ts';

export function coreGraph(storages: Readonly<Record<string, Storage>> = {}): BlockGraph {
  return new BlockGraph({
    protocols: [givenProtocol(new Map(Object.entries(storages))), createMemoryProtocol()],
    formats: [mapped, qcow2, raw],
    filters: filterDrivers,
    defaultProtocol: 'given',
  });
}
