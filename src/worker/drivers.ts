/** The drivers of the worker: all that a browser can have. */
import { filterDrivers } from '../block/filter/index.ts';
import { formatDrivers } from '../block/format/index.ts';
import { protocolDrivers } from '../block/protocol/index.ts';
import type { DriverSet } from '../block/registry.ts';

export const workerDrivers: DriverSet = {
  protocols: protocolDrivers,
  formats: formatDrivers,
  filters: filterDrivers,
  defaultProtocol: 'opfs',
};
