/** The protocol drivers of the browser; those that need nothing of it work in Node too. The file protocol of Node is not here. */
import type { ProtocolDriver } from '../driver.ts';
import { blobProtocol } from './blob/index.ts';
import { httpProtocol, httpsProtocol } from './http/index.ts';
import { indexedDbProtocol } from './indexeddb/index.ts';
import { memoryProtocol } from './memory/index.ts';
import { nullCoProtocol } from './null-co/index.ts';
import { opfsProtocol } from './opfs/index.ts';
import { createVvfatProtocol } from './vvfat/index.ts';

export const protocolDrivers: readonly ProtocolDriver[] = [
  memoryProtocol,
  nullCoProtocol,
  opfsProtocol,
  indexedDbProtocol,
  httpProtocol,
  httpsProtocol,
  blobProtocol,
  createVvfatProtocol(undefined),
];
