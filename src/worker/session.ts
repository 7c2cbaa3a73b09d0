/** What a page has in the worker: a graph, and the disks that it opened. Each method is a call of `WorkerApi`. */
import { releaseProxy, transfer, type ProxyMethods } from 'comlink';
import { startAsync, type Co } from '../block/co.ts';
import type { BlockdevOptions as CoreOptions, CheckFix, CheckResult, SnapshotInfo } from '../block/driver.ts';
import { BlockError } from '../block/error.ts';
import type { BlockStatus } from '../block/extent.ts';
import type { BlockBackend } from '../block/graph/backend.ts';
import { allowNames, type ReferenceAnswer, type ReferenceRequest } from '../block/graph/gate.ts';
import { BlockGraph } from '../block/graph/graph.ts';
import type { BlockNode } from '../block/graph/node.ts';
import type { OpenPolicy } from '../block/graph/opener.ts';
import { amendImage } from '../block/image/amend.ts';
import { changeBitmap, listBitmaps, type BitmapAction, type BitmapInfo } from '../block/image/bitmap.ts';
import { checkImage } from '../block/image/check.ts';
import { createImage, type CreateImageOptions } from '../block/image/create.ts';
import { openExport } from '../block/image/export.ts';
import { imageInfo, type ImageInfo } from '../block/image/info.ts';
import { imageMap } from '../block/image/map.ts';
import { probeImage, type ImageProbe } from '../block/image/probe.ts';
import { applySnapshot, deleteSnapshot, listSnapshots, loadSnapshot } from '../block/image/snapshot.ts';
import { probeArchive, unpackImage, type Archive } from '../block/image/unpack.ts';
import { parseOptions } from '../block/options.ts';
import { listFiles, openFile, renameFile, type StoredFile } from '../block/protocol/opfs/index.ts';
import { findProtocol, parseFilename, type DriverSet } from '../block/registry.ts';
import type {
  AppliedSnapshot,
  BitmapChange,
  FileQuestion,
  FileRequest,
  NodeStatistics,
  OpenedDisk,
  OpenedExport,
  OpenSettings,
  UnpackRequest,
  WorkerApi,
} from './api.ts';
import type { BlockdevOptions, CreateOptions, ProtocolOptions } from './blockdev.ts';
import { withControl, type CallControl } from './call.ts';
import { DataPort } from './data-port.ts';
import { ExportPort } from './export-port.ts';
import { createWithState, readState } from './machine-state.ts';

/** A map of more extents than this is asked for in parts: it would take hundreds of megabytes. */
const MAX_MAP_EXTENTS = 1_000_000;

interface Disk {
  readonly backend: BlockBackend;
  readonly data: DataPort;
  readonly exports: Set<ExportPort>;
}

export class Session implements WorkerApi {
  readonly #graph: BlockGraph;
  readonly #disks = new Map<number, Disk>();
  #nextDisk = 1;
  #ended = false;

  /** @param drivers what the graph may use */
  constructor(drivers: DriverSet) {
    this.#graph = new BlockGraph(drivers);
  }

  setSecret(id: string, data: Uint8Array | undefined): Promise<void> {
    const { secrets } = this.#graph;
    return startAsync(
      // A coroutine so that what is thrown rejects the call.
      // oxlint-disable-next-line require-yield
      (function* (): Co<void> {
        if (data === undefined) secrets.remove(id);
        else secrets.add(id, data);
        data?.fill(0);
      })(),
    );
  }

  create(options: CreateOptions, overwrite: boolean, call: MessagePort | undefined): Promise<void> {
    return withControl(call, (progress) =>
      startAsync(createImage(this.#graph, options as CreateImageOptions, { overwrite, progress })),
    );
  }

  open(
    options: BlockdevOptions | string,
    settings: OpenSettings,
    question: FileQuestion | undefined,
    call: MessagePort | undefined,
  ): Promise<OpenedDisk> {
    return withControl(call, async (control) => {
      const policy = policyOf(settings, question, control);
      const opening = this.#graph.open(options as CoreOptions | string, policy).finally(() => release(question));
      const backend = await control.waitFor(opening, (late) => this.#graph.close(late));
      if (this.#ended) await this.#refuseLate(backend);
      if (settings.snapshot !== undefined) await this.#show(backend, settings.snapshot);
      return this.#register(backend, settings.inspect);
    });
  }

  probe(file: ProtocolOptions | string, call: MessagePort | undefined): Promise<ImageProbe> {
    return withControl(call, (control) =>
      control.waitFor(startAsync(probeImage(this.#graph, file as CoreOptions | string))),
    );
  }

  async delete(file: ProtocolOptions | string): Promise<void> {
    const { drivers } = this.#graph;
    const { driver, ...own } = typeof file === 'string' ? parseFilename(drivers, file) : (file as CoreOptions);
    const protocol = findProtocol(drivers, driver ?? drivers.defaultProtocol);
    const options = parseOptions(protocol.options, own, `driver '${protocol.name}'`);
    if (protocol.delete === undefined) {
      throw new BlockError('unsupported', `The protocol '${protocol.name}' cannot delete files`, {
        filename: protocol.filename(options),
      });
    }
    await protocol.delete(options);
  }

  probeArchive(file: ProtocolOptions | string, call: MessagePort | undefined): Promise<Archive | undefined> {
    return withControl(call, (control) =>
      control.waitFor(startAsync(probeArchive(this.#graph, file as CoreOptions | string))),
    );
  }

  unpack(
    file: ProtocolOptions | string,
    target: ProtocolOptions,
    settings: UnpackRequest,
    call: MessagePort | undefined,
  ): Promise<number> {
    return withControl(call, (progress) =>
      startAsync(
        unpackImage(this.#graph, file as CoreOptions | string, target as CreateImageOptions, { ...settings, progress }),
      ),
    );
  }

  info(disk: number): Promise<ImageInfo> {
    return startAsync(imageInfo(this.#disk(disk).backend.node));
  }

  map(disk: number, offset: number, length: number, call: MessagePort | undefined): Promise<BlockStatus[]> {
    return withControl(call, (control) => startAsync(this.#map(this.#disk(disk).backend, offset, length, control)));
  }

  check(disk: number, fix: CheckFix, call: MessagePort | undefined): Promise<CheckResult> {
    return withControl(call, (progress) =>
      startAsync(checkImage(this.#graph, this.#disk(disk).backend.node, fix, progress)),
    );
  }

  async resize(disk: number, size: number, shrink: boolean): Promise<number> {
    const { backend } = this.#disk(disk);
    if (!Number.isSafeInteger(size) || size < 0) {
      throw new BlockError('invalid', `A size is a whole number of bytes below 2^53, not ${size}`, { op: 'resize' });
    }
    if (size < backend.length && !shrink) {
      throw new BlockError(
        'invalid',
        `The disk has ${backend.length} bytes; making it smaller loses what lies beyond ${size}. Pass 'shrink' if that is meant`,
        { node: backend.node.nodeName, op: 'resize' },
      );
    }
    await backend.resize(size);
    return backend.length;
  }

  listBitmaps(disk: number): Promise<BitmapInfo[]> {
    return startAsync(listBitmaps(this.#disk(disk).backend.node));
  }

  changeBitmap(disk: number, name: string, change: BitmapChange): Promise<void> {
    const { node } = this.#disk(disk).backend;
    const action: BitmapAction =
      change.action === 'merge' ? { ...change, node: this.#disk(change.disk).backend.node } : change;
    return startAsync(changeBitmap(this.#graph, node, name, [action]));
  }

  async amend(
    disk: number,
    options: Readonly<Record<string, unknown>>,
    call: MessagePort | undefined,
  ): Promise<number> {
    const { backend } = this.#disk(disk);
    await withControl(call, (progress) => startAsync(amendImage(this.#graph, backend.node, options, { progress })));
    return backend.length;
  }

  listSnapshots(disk: number): Promise<SnapshotInfo[]> {
    return Promise.resolve([...listSnapshots(this.#disk(disk).backend.node)]);
  }

  createSnapshot(disk: number, name: string, state: ArrayBuffer | undefined): Promise<SnapshotInfo> {
    const { node } = this.#disk(disk).backend;
    return startAsync(createWithState(node, name, state));
  }

  async applySnapshot(disk: number, idOrName: string, withState: boolean): Promise<AppliedSnapshot> {
    const { backend } = this.#disk(disk);
    const snapshot = await startAsync(applySnapshot(backend.node, idOrName));
    const state =
      withState && snapshot.vmStateSize > 0 ? await startAsync(readState(backend.node, snapshot)) : undefined;
    const applied = { snapshot, size: backend.length, state };
    return state === undefined ? applied : transfer(applied, [state]);
  }

  async deleteSnapshot(disk: number, idOrName: string): Promise<void> {
    await startAsync(deleteSnapshot(this.#disk(disk).backend.node, idOrName));
  }

  stats(disk: number): Promise<NodeStatistics> {
    return Promise.resolve(statisticsOf(this.#disk(disk).backend.node));
  }

  export(disk: number, format: string, call: MessagePort | undefined): Promise<OpenedExport> {
    return withControl(call, async (control) => {
      const { backend, exports } = this.#disk(disk);
      const opening = startAsync(openExport(this.#graph, backend.node, format));
      const source = await control.waitFor(opening, (late) => Promise.resolve(late.close()));
      const { port1, port2 } = new MessageChannel();
      const port: ExportPort = new ExportPort(source, port1, () => exports.delete(port));
      exports.add(port);
      return transfer({ totalBytes: source.totalBytes, pieces: port2 }, [port2]);
    });
  }

  async close(disk: number): Promise<void> {
    const { backend, data, exports } = this.#disk(disk);
    this.#disks.delete(disk);
    for (const port of exports) port.close();
    try {
      await this.#graph.close(backend);
    } finally {
      data.close();
    }
  }

  listFiles(folder: string): Promise<StoredFile[]> {
    return listFiles(folder);
  }

  renameFile(from: string, to: string): Promise<void> {
    return renameFile(from, to);
  }

  readFile(path: string): Promise<File> {
    return openFile(path);
  }

  /** @throws BlockError the first error of a disk that could not be closed well; all are closed all the same */
  async end(): Promise<void> {
    this.#ended = true;
    const closed = await Promise.allSettled([...this.#disks.keys()].map((disk) => this.close(disk)));
    const failed = closed.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  /** Shows a snapshot in place of the disk. @throws BlockError when it cannot; the disk is closed then */
  async #show(backend: BlockBackend, snapshot: string): Promise<void> {
    try {
      await startAsync(loadSnapshot(backend.node, snapshot));
    } catch (error) {
      await this.#graph.close(backend);
      throw error;
    }
  }

  #register(backend: BlockBackend, inspect: boolean): OpenedDisk {
    const { port1, port2 } = new MessageChannel();
    const id = this.#nextDisk++;
    this.#disks.set(id, { backend, data: new DataPort(backend, port1, inspect), exports: new Set() });
    const { node } = backend;
    const opened: OpenedDisk = {
      id,
      size: backend.length,
      readOnly: backend.readOnly,
      nodeName: node.nodeName,
      format: node.driver.name,
      data: port2,
    };
    return transfer(opened, [port2]);
  }

  /** A disk that came to be open after the page had gone: nobody would ever close it. */
  async #refuseLate(backend: BlockBackend): Promise<never> {
    await this.#graph.close(backend);
    throw new BlockError('closed', 'The connection was closed while the disk was being opened');
  }

  #disk(id: number): Disk {
    const disk = this.#disks.get(id);
    if (disk === undefined) throw new BlockError('closed', `The disk ${id} is closed`);
    return disk;
  }

  *#map(backend: BlockBackend, offset: number, length: number, control: CallControl): Co<BlockStatus[]> {
    const isRange = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
    if (!isRange || offset + length > backend.length) {
      throw new BlockError('invalid', `The range to map is not inside the disk of ${backend.length} bytes`, {
        node: backend.node.nodeName,
        op: 'map',
        offset,
        length,
      });
    }
    const extents: BlockStatus[] = [];
    yield* imageMap(backend.node, offset, length, (extent) => {
      if (extents.length >= MAX_MAP_EXTENTS) throw tooManyExtents(backend, extent.offset);
      extents.push(extent);
      control.report(extent.offset + extent.length - offset, length);
    });
    return extents;
  }
}

function tooManyExtents(backend: BlockBackend, offset: number): BlockError {
  return new BlockError(
    'invalid',
    `The map has more than ${MAX_MAP_EXTENTS} extents up to here: ask for parts of it with 'offset' and 'length'`,
    { node: backend.node.nodeName, op: 'map', offset },
  );
}

function policyOf(
  { allow, maxChainDepth, check, inspect }: OpenSettings,
  question: FileQuestion | undefined,
  control: CallControl,
): Partial<OpenPolicy> {
  return {
    // The graph makes one change at a time: a question that nobody answers any more must not hold up the next.
    references: question === undefined ? allowNames(allow) : (request) => control.waitFor(ask(question, request)),
    check,
    inspect,
    ...(maxChainDepth === undefined ? {} : { maxChainDepth }),
  };
}

async function ask(question: FileQuestion, request: ReferenceRequest): Promise<ReferenceAnswer> {
  return (await question(request as FileRequest)) as ReferenceAnswer;
}

/** The page's function is not asked any more: its port can go. */
function release(question: (FileQuestion & Partial<ProxyMethods>) | undefined): void {
  question?.[releaseProxy]?.();
}

function statisticsOf(node: BlockNode): NodeStatistics {
  const children = [...node.children].map(([name, child]) => [name, statisticsOf(child.node)] as const);
  return {
    'node-name': node.nodeName,
    driver: node.driver.name,
    stats: node.statistics.snapshot(),
    children: Object.fromEntries(children),
  };
}
