/** QEMU's tools and this project take turns on one image; after each turn both must see the same, and find nothing wrong. */
import { startAsync } from '../../src/block/co.ts';
import { changeBitmap, type BitmapAction } from '../../src/block/image/bitmap.ts';
import { applySnapshot, createSnapshot, deleteSnapshot } from '../../src/block/image/snapshot.ts';
import { AlternatingDisk, chooseShape, type BitmapModel } from './alternating-disk.ts';
import { Random } from './random.ts';
import type { SoakCounts } from './soak.ts';

type Side = 'ours' | 'theirs';
const BITMAP_CHANGES = ['clear', 'enable', 'disable', 'remove'] as const;

/** A request of the guest. Every byte of a write has the same value. */
interface Request {
  readonly verb: 'write' | 'compress' | 'zero' | 'discard';
  readonly offset: number;
  readonly length: number;
  readonly value: number;
}

/** @param options `turns`: how many; `luks`: the image may be encrypted with LUKS */
export async function runAlternatingWriters(
  seed: number,
  options: { readonly turns: number; readonly luks: boolean },
): Promise<SoakCounts> {
  const random = new Random(seed);
  using disk = new AlternatingDisk(chooseShape(random, options.luks));
  const log: string[] = [];
  try {
    const creator: Side = random.pick(['ours', 'theirs']);
    log.push(`made by ${creator}: ${JSON.stringify(disk.shape)}`);
    await disk.create(creator);
    for (let index = 1; index <= options.turns; index++) {
      await new Turn(disk, random.pick(['ours', 'theirs']), random, index, log).run();
      await disk.verify(random);
    }
  } catch (error) {
    throw new Error(`seed ${seed}: ${String(error)}\n${log.join('\n')}`, { cause: error });
  }
  return { turns: options.turns };
}

/** What one side does while it is its turn. */
class Turn {
  readonly #disk: AlternatingDisk;
  readonly #side: Side;
  readonly #random: Random;
  readonly #index: number;
  readonly #log: string[];

  constructor(disk: AlternatingDisk, side: Side, random: Random, index: number, log: string[]) {
    this.#disk = disk;
    this.#side = side;
    this.#random = random;
    this.#index = index;
    this.#log = log;
  }

  async run(): Promise<void> {
    const { bitmaps, shape, snapshots } = this.#disk;
    const mayApply = snapshots.size > 0 && bitmaps.size === 0;
    const verb = this.#random.weighted({
      requests: 8,
      ...(bitmaps.size < 3 && { addBitmap: 2 }),
      ...(bitmaps.size > 0 && { changeBitmap: 3 }),
      ...(bitmaps.size > 1 && { mergeBitmaps: 2 }),
      ...(shape.snapshots && snapshots.size < 4 && { create: 3 }),
      ...(snapshots.size > 0 && { delete: 2 }),
      ...(mayApply && { apply: 3 }),
      ...(shape.data === undefined && { grow: 1 }),
    });
    await this[verb]();
  }

  #note(what: string): void {
    this.#log.push(`${String(this.#index).padStart(3)}. ${this.#side}: ${what}`);
  }

  // ── Requests ──────────────────────────────────────────────────────────────────────────────────────────────────────

  async requests(): Promise<void> {
    const requests = Array.from({ length: this.#random.between(2, 6) }, () => this.#chooseRequest());
    this.#note(requests.map(({ verb, offset, length }) => `${verb} ${offset} ${length}`).join(', '));
    await (this.#side === 'theirs' ? this.#theirRequests(requests) : this.#ourRequests(requests));
  }

  #chooseRequest(): Request {
    const { content, shape } = this.#disk;
    const random = this.#random;
    const verb = random.weighted({ write: 5, zero: 2, discard: 1, ...(shape.compresses && { compress: 4 }) });
    const value = random.between(1, 255);
    if (verb === 'compress' || verb === 'discard') {
      const whole = this.#chooseClusters(verb);
      if (whole !== undefined) return this.#apply({ verb, value, ...whole });
    }
    const unit = random.pick([512, 4096, shape.clusterSize]);
    const offset = Math.floor(random.below(content.length) / unit) * unit;
    const length = Math.min(content.length - offset, unit * random.between(1, 5));
    return this.#apply({ verb: verb === 'zero' ? 'zero' : 'write', offset, length, value });
  }

  /** Whole clusters; for compressing such as have no place yet, which is all that QEMU compresses into. */
  #chooseClusters(verb: 'compress' | 'discard'): Pick<Request, 'offset' | 'length'> | undefined {
    const { content, shape, touched } = this.#disk;
    const first = this.#random.below(Math.ceil(content.length / shape.clusterSize));
    const offset = first * shape.clusterSize;
    const length = Math.min(content.length - offset, shape.clusterSize * this.#random.between(1, 3));
    if (verb === 'discard') {
      const whole = length - (length % shape.clusterSize);
      return whole === 0 ? undefined : { offset, length: whole };
    }
    for (let at = first; at * shape.clusterSize < offset + length; at++) if (touched.has(at)) return undefined;
    return { offset, length };
  }

  /** Notes what becomes of the disk. */
  #apply(request: Request): Request {
    const disk = this.#disk;
    const { verb, offset, length, value } = request;
    const { clusterSize } = disk.shape;
    if (verb === 'discard') {
      for (let at = offset; at < offset + length; at += clusterSize) disk.discarded.push([at, at + clusterSize]);
    } else {
      disk.content.fill(verb === 'zero' ? 0 : value, offset, offset + length);
      // What a discard before it has left open is settled where it is written over.
      disk.discarded = disk.discarded.flatMap(([from, to]) => {
        const parts: [number, number][] = [
          [from, Math.min(to, offset)],
          [Math.max(from, offset + length), to],
        ];
        return parts.filter(([start, end]) => start < end);
      });
    }
    for (let at = Math.floor(offset / clusterSize); at * clusterSize < offset + length; at++) disk.touched.add(at);
    disk.noteChange(offset, length);
    return request;
  }

  async #theirRequests(requests: readonly Request[]): Promise<void> {
    const commands = requests.map(({ verb, offset, length, value }) => {
      if (verb === 'discard') return `discard ${offset} ${length}`;
      const flags = verb === 'zero' ? '-z -u' : verb === 'compress' ? `-c -P ${value}` : `-P ${value}`;
      return `write ${flags} ${offset} ${length}`;
    });
    await this.#disk.io(commands);
  }

  async #ourRequests(requests: readonly Request[]): Promise<void> {
    await this.#disk.ours(async (disk) => {
      for (const { verb, offset, length, value } of requests) {
        if (verb === 'discard') await disk.discard(offset, length);
        else if (verb === 'zero') await disk.writeZeroes(offset, length, { mayUnmap: true });
        else await disk.write(offset, new Uint8Array(length).fill(value), { compressed: verb === 'compress' });
      }
    });
  }

  async grow(): Promise<void> {
    const disk = this.#disk;
    const size = disk.content.length + 512 * this.#random.between(1, 400);
    this.#note(`grow to ${size}`);
    const grown = new Uint8Array(size);
    grown.set(disk.content);
    disk.content = grown;
    if (this.#side === 'theirs') await disk.img('resize', ['-q'], [String(size)]);
    else await disk.ours(async (opened) => opened.resize(size));
  }

  // ── Bitmaps ───────────────────────────────────────────────────────────────────────────────────────────────────────

  async addBitmap(): Promise<void> {
    const name = `bitmap-${this.#index}`;
    const granularity = this.#random.pick([512, 4096, 65_536]);
    const enabled = this.#random.chance(0.7);
    this.#note(`add ${name}, ${granularity}${enabled ? '' : ', disabled'}`);
    this.#disk.bitmaps.set(name, { granularity, enabled, dirty: new Set() });
    const args = ['--add', '-g', String(granularity), ...(enabled ? [] : ['--disable'])];
    await this.#bitmap(name, args, { action: 'add', granularity, enabled });
  }

  async changeBitmap(): Promise<void> {
    const [name, model] = this.#anyBitmap();
    const action = this.#random.pick(BITMAP_CHANGES);
    this.#note(`${action} ${name}`);
    if (action === 'clear') model.dirty.clear();
    else if (action === 'remove') this.#disk.bitmaps.delete(name);
    else model.enabled = action === 'enable';
    await this.#bitmap(name, [`--${action}`], { action });
  }

  async mergeBitmaps(): Promise<void> {
    const [name, model] = this.#anyBitmap();
    const [source, { granularity, dirty }] = this.#anyBitmap();
    if (name === source) return;
    this.#note(`merge ${source} into ${name}`);
    for (const granule of dirty) {
      const from = granule * granularity;
      const to = Math.min(from + granularity, this.#disk.content.length);
      for (let at = Math.floor(from / model.granularity); at * model.granularity < to; at++) model.dirty.add(at);
    }
    await this.#bitmap(name, ['--merge', source], { action: 'merge', source });
  }

  #anyBitmap(): [string, BitmapModel] {
    return this.#random.pick([...this.#disk.bitmaps]);
  }

  async #bitmap(name: string, args: readonly string[], action: BitmapAction): Promise<void> {
    if (this.#side === 'theirs') await this.#disk.img('bitmap', args, [name]);
    else await this.#disk.ours((disk, graph) => startAsync(changeBitmap(graph, disk.node, name, [action])));
  }

  // ── Snapshots ─────────────────────────────────────────────────────────────────────────────────────────────────────

  async create(): Promise<void> {
    const name = `snapshot-${this.#index}`;
    this.#note(`create ${name}`);
    this.#disk.snapshots.set(name, this.#disk.content.slice());
    if (this.#side === 'theirs') await this.#disk.img('snapshot', ['-c', name]);
    else await this.#disk.ours((disk) => startAsync(createSnapshot(disk.node, { name })));
  }

  async apply(): Promise<void> {
    const name = this.#random.pick([...this.#disk.snapshots.keys()]);
    this.#note(`apply ${name}`);
    this.#disk.content = this.#disk.snapshots.get(name)!.slice();
    if (this.#side === 'theirs') await this.#disk.img('snapshot', ['-a', name]);
    else await this.#disk.ours((disk) => startAsync(applySnapshot(disk.node, name)));
  }

  async delete(): Promise<void> {
    const name = this.#random.pick([...this.#disk.snapshots.keys()]);
    this.#note(`delete ${name}`);
    this.#disk.snapshots.delete(name);
    if (this.#side === 'theirs') await this.#disk.img('snapshot', ['-d', name]);
    else await this.#disk.ours((disk) => startAsync(deleteSnapshot(disk.node, name)));
  }
}
