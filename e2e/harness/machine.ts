// The page of the slow end-to-end tests: a disk and a PC, worked from Node. It uses what any page may use.
import { BlockError, connect, type Disk, type Spindle } from '../../src/client/index.ts';
import type { Harness, MachineOrder, WorkerMachineOrder } from './calls.ts';
import { PageMachine } from './page-machine.ts';
import { WorkerMachine } from './page-worker-machine.ts';
import { doWork } from './page-work.ts';

let connecting: Promise<Spindle> | undefined;
let open: Disk | undefined;
let machine: PageMachine | undefined;
let workerMachine: WorkerMachine | undefined;

const spindle = (): Promise<Spindle> => (connecting ??= connect());

function disk(): Disk {
  if (open === undefined) throw new Error('The page has no disk open');
  return open;
}

function runningMachine(): PageMachine {
  if (machine === undefined) throw new Error('The page has no machine');
  return machine;
}

async function upload(name: string, content: Blob): Promise<void> {
  const response = await fetch(`upload/${name}`, { method: 'PUT', body: content });
  if (!response.ok) throw new Error(`The site did not take ${name}: ${response.status}`);
}

const functions: Harness = {
  create: async (options) => (await spindle()).create(options),
  open: async (options, settings) => {
    open = await (await spindle()).open(options, settings);
    return { size: open.size, readOnly: open.readOnly, format: open.format };
  },
  close: async () => {
    await disk().close();
    open = undefined;
  },
  check: () => disk().check(),
  delete: async (options) => (await spindle()).delete(options as Parameters<Spindle['delete']>[0]),
  storeFile: async (url, path) => {
    const bytes = new Uint8Array(await (await fetch(url)).arrayBuffer());
    const file = { driver: 'opfs', path } as const;
    await (await spindle()).create({ ...file, size: bytes.length });
    const stored = await (await spindle()).open(file);
    await stored.write(0, bytes);
    await stored.close();
  },
  uploadFile: async (path, name) => upload(name, await (await spindle()).files.read(path)),
  uploadExport: async (format, name) => upload(name, await new Response(await disk().export({ format })).blob()),
  work: (operations, together) => doWork(disk(), operations, together),

  boot: async (order: MachineOrder) => {
    machine = await PageMachine.start(disk(), order);
  },
  bootInWorker: async (order: WorkerMachineOrder) => {
    workerMachine = await WorkerMachine.start(order);
  },
  type: (text) => (workerMachine ?? runningMachine()).type(text),
  flushDrives: () => (workerMachine ?? runningMachine()).flushDrives(),
  untilStopped: () => runningMachine().untilStopped(),
  resume: () => runningMachine().resume(),
  driveFailures: () => runningMachine().failures,
  witnessReport: () => runningMachine().witnessReport(),
  unplug: async () => {
    await runningMachine().unplug();
    machine = undefined;
  },
  usage: async () => (await spindle()).files.estimate(),
};

/** A test in Node sees an error's message and nothing else of it. */
function namingKinds<T extends object>(object: T): T {
  return new Proxy(object, {
    get:
      (target, name) =>
      async (...parameters: unknown[]) => {
        try {
          return await (Reflect.get(target, name) as (...given: unknown[]) => unknown)(...parameters);
        } catch (error) {
          if (error instanceof BlockError) throw new Error(`${error.kind}: ${error.describe()}`, { cause: error });
          throw error;
        }
      },
  });
}

globalThis.harness = namingKinds(functions);
