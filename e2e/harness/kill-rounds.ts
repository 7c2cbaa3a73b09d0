/**
 * Random work on a qcow2 overlay, and a browser that is killed in the middle of it, again and again on the same disk. After each
 * kill the image must be sound in QEMU's eyes, and every sector must hold what a flush had brought there or something later.
 */
import { createHash } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { BlockdevOptions, CreateOptions } from '../../src/client/index.ts';
import { DiskModel, type PendingChange } from '../../test/support/disk-model.ts';
import { qemuImg } from '../../test/support/qemu.ts';
import { equalBytes, patternedBytes, Random } from '../../test/support/random.ts';
import { generateWorkload, type Operation } from '../../test/support/workload.ts';
import { Profile, type Browser } from './browser.ts';
import type { WorkEvent } from './calls.ts';
import { expectSound, rawOf } from './images.ts';
import { BASE_NAME, overlay, storedAt, type OverlayStorage } from './overlay.ts';
import type { Site } from './site.ts';
import type { Tab } from './tab.ts';

const DISK_BYTES = 16 * 2 ** 20;
/** The base ends before the overlay does: what lies beyond it is zeroes. */
const BASE_BYTES = DISK_BYTES - 2 ** 20;
/** The number of the write that the base looks like; the work's own numbers begin above. */
const BASE_WRITE = 1;
const LONGEST_REQUEST_BYTES = 512 * 1024;
/** More than a round gets to before it is killed. */
const OPERATIONS_PER_ROUND = 800;

export interface KillOptions {
  readonly seed: number;
  readonly kills: number;
  readonly storage: OverlayStorage;
}

export interface KillCounts {
  readonly kills: number;
  /** That the page was told had been done. */
  readonly operations: number;
  readonly flushes: number;
}

/** @throws Error, or ModelMismatch, with what is wrong after a kill */
export async function runKillRounds(site: Site, options: KillOptions): Promise<KillCounts> {
  await using disk = new KilledDisk(site, options);
  return await disk.run();
}

class KilledDisk implements AsyncDisposable {
  readonly #site: Site;
  readonly #options: KillOptions;
  readonly #random: Random;
  readonly #profile = new Profile();
  readonly #clusterBytes: number;
  readonly #base: string;
  readonly #counts = { kills: 0, operations: 0, flushes: 0 };
  /** What the disk holds, as far as somebody has looked. */
  #content: Uint8Array;

  constructor(site: Site, options: KillOptions) {
    this.#site = site;
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#clusterBytes = this.#random.pick([4096, 65_536, 65_536]);
    this.#base = `base-${options.seed}.img`;
    const base = patternedBytes(BASE_WRITE, 0, BASE_BYTES);
    writeFileSync(site.fileToServe(this.#base), base);
    // The overlay's image names its base; QEMU looks for it beside the upload.
    writeFileSync(site.uploaded(BASE_NAME), base);
    this.#content = new Uint8Array(DISK_BYTES);
    this.#content.set(base);
  }

  async run(): Promise<KillCounts> {
    let browser = await this.#profile.start();
    let tab = await browser.newTab(this.#site.page);
    await tab.call('create', this.#newDisk());
    for (let round = 1; round <= this.#options.kills; round += 1) {
      const model = await this.#workUntilKilled(browser, tab, round);
      browser = await this.#profile.start();
      tab = await browser.newTab(this.#site.page);
      const found = await this.#contentAfterKill(tab);
      model.verifyAfterCut(0, found);
      this.#content = found;
    }
    return this.#counts;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#profile[Symbol.asyncDispose]();
    rmSync(this.#site.fileToServe(this.#base), { force: true });
  }

  #newDisk(): CreateOptions {
    const lazy = this.#random.chance(0.5);
    return {
      driver: 'qcow2',
      file: storedAt(this.#options.storage),
      size: DISK_BYTES,
      cluster_size: this.#clusterBytes,
      lazy_refcounts: lazy,
      backing_file: BASE_NAME,
      backing_fmt: 'raw',
    };
  }

  #disk(): BlockdevOptions {
    return overlay(this.#options.storage, this.#base);
  }

  /** @returns what may be on the disk now */
  async #workUntilKilled(browser: Browser, tab: Tab, round: number): Promise<DiskModel> {
    const watched = new WatchedWork(this.#operations(round), this.#content);
    const killAfter = this.#random.between(10, 700);
    await tab.call('open', this.#disk());
    const killed = new Promise<void>((resolve, reject) => {
      let events = 0;
      tab.onWork = (event) => {
        if (event.state === 'failed') reject(new Error(`operation ${event.id} failed: ${event.kind}`));
        watched.heard(event);
        events += 1;
        if (events === killAfter) {
          browser.kill();
          resolve();
        }
      };
    });
    const working = tab.call('work', watched.operations, this.#random.between(1, 6));
    // It ends by the kill; until then, an error is one of the page.
    const failed = working.then(() => Promise.reject(new Error('The work was done before the browser was killed')));
    await Promise.race([killed, failed]);
    failed.catch(() => undefined);
    tab.onWork = () => undefined;
    await browser.close();
    this.#counts.kills += 1;
    this.#counts.operations += watched.done;
    this.#counts.flushes += watched.flushed;
    return watched.model;
  }

  #operations(round: number): Operation[] {
    const operations = generateWorkload({
      random: this.#random.fork(),
      count: OPERATIONS_PER_ROUND,
      size: DISK_BYTES,
      boundaries: [512, 4096, this.#clusterBytes, 2 ** 20],
      maxLength: LONGEST_REQUEST_BYTES,
      weights: { write: 12, zero: 3, discard: 3, flush: 3, read: 1 },
    });
    return operations.map((operation) => ({
      ...operation,
      id: BASE_WRITE + round * OPERATIONS_PER_ROUND + operation.id,
    }));
  }

  /** Looks at the disk with QEMU's eyes first, then with ours, which may repair what they open. They must see the same. */
  async #contentAfterKill(tab: Tab): Promise<Uint8Array> {
    const name = `killed-${this.#options.seed}-${this.#counts.kills}`;
    const seenByQemu = this.#options.storage === 'opfs' ? await this.#stored(tab, `${name}.qcow2`) : undefined;
    await tab.call('open', this.#disk());
    const { corruptions } = await tab.call('check');
    if (corruptions > 0) throw new Error(`${name}: our own check finds ${corruptions} corruptions`);
    await tab.call('uploadExport', 'raw', `${name}.img`);
    await tab.call('close');
    const content = this.#taken(`${name}.img`);
    if (seenByQemu !== undefined && !equalBytes(content, seenByQemu)) {
      throw new Error(`${name}: QEMU reads ${digest(seenByQemu)}, Spindle ${digest(content)}`);
    }
    return content;
  }

  /** The image as it lay there after the kill, checked and read by QEMU. */
  async #stored(tab: Tab, upload: string): Promise<Uint8Array> {
    await tab.call('uploadFile', 'disks/overlay.qcow2', upload);
    const path = this.#site.uploaded(upload);
    // With lazy refcounts a dirty image's are to be counted anew: QEMU does that when it opens the image for writing.
    const facts = JSON.parse(await qemuImg('info', '--output=json', path)) as { 'dirty-flag': boolean };
    if (facts['dirty-flag']) await qemuImg('check', '-r', 'all', path);
    await expectSound(path, 'allowed');
    await rawOf(path);
    rmSync(path);
    return this.#taken(`${upload}.raw`);
  }

  #taken(upload: string): Uint8Array {
    const path = this.#site.uploaded(upload);
    const bytes = new Uint8Array(readFileSync(path));
    rmSync(path);
    return bytes;
  }
}

/**
 * Follows the work from Node. The page begins an operation when Node has answered that it heard of it, so that none can have
 * left a trace on the disk which the model does not know.
 */
class WatchedWork {
  readonly operations: readonly Operation[];
  readonly model: DiskModel;
  done = 0;
  flushed = 0;
  readonly #byId: ReadonlyMap<number, Operation>;
  readonly #pending = new Map<number, PendingChange>();

  constructor(operations: readonly Operation[], content: Uint8Array) {
    this.operations = operations;
    this.model = new DiskModel(content.length, { initial: content });
    this.#byId = new Map(operations.map((operation) => [operation.id, operation]));
  }

  heard({ id, state }: WorkEvent): void {
    const operation = this.#byId.get(id)!;
    if (state === 'begun') {
      const pending = this.#change(operation);
      if (pending !== undefined) this.#pending.set(id, pending);
    } else if (state === 'done') {
      this.#pending.get(id)?.succeeded();
      this.done += 1;
      if (operation.verb === 'flush') this.flushed += 1;
    }
  }

  #change(operation: Operation): PendingChange | undefined {
    const label = `operation ${operation.id}`;
    switch (operation.verb) {
      case 'write':
        return this.model.write(
          operation.offset,
          patternedBytes(operation.id, operation.offset, operation.length),
          label,
        );
      case 'zero':
        return this.model.writeZeroes(operation.offset, operation.length, label);
      case 'discard':
        return this.model.discard(operation.offset, operation.length, label);
      case 'flush':
        return this.model.flush();
      case 'read':
        return undefined;
      case 'resize':
      case 'reopen':
      case 'empty':
      case 'snapshot':
      case 'apply':
      case 'delete':
      case 'compress':
        throw new Error(`A workload of the page has no '${operation.verb}'`);
    }
  }
}

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex').slice(0, 16);
