// What the benchmarks call in the page. Each call has a tab of its own.
import { measureBoot } from './boot.ts';
import { measurePort } from './port.ts';
import { askWorker } from './work.ts';

const bench = {
  /** Requests to disks in OPFS against the handle itself, in one worker. */
  core: () => askWorker('core'),
  /** Reads through chains of overlays in OPFS. */
  chain: () => askWorker('chain'),
  /** Reads of a page through the worker. */
  port: measurePort,
  /** A guest's way to its prompt. */
  boot: measureBoot,
};

export type BenchPage = typeof bench;

Object.assign(globalThis, { bench });
