/**
 * One qcow2 image that QEMU's tools and this project change in turns, with all that the format has, as far as it goes together:
 * chosen by seed. Beside it what each byte, each snapshot and each bitmap must hold.
 */
import { writeFileSync } from 'node:fs';
import { startAsync } from '../../src/block/co.ts';
import { createNodeGraph, type BlockBackend, type BlockGraph } from '../../src/node/index.ts';
import { TEST_PASSPHRASE, TEST_SECRET } from './driver-contexts.ts';
import { checkFile, expectSound } from './qcow2-check.ts';
import { makeQcow2 } from './qcow2-session.ts';
import { listBitmaps } from '../../src/block/image/bitmap.ts';
import { loadSnapshot } from '../../src/block/image/snapshot.ts';
import { runTool, TemporaryFolder } from './qemu.ts';
import { equalBytes, patternedBytes, type Random } from './random.ts';
import { SparseBytes } from './sparse-bytes.ts';

const KiB = 1024;

/** What an image has. */
export interface Shape {
  /** For either side's `create`. */
  readonly options: Readonly<Record<string, string | number | boolean>>;
  readonly size: number;
  readonly clusterSize: number;
  readonly data: 'raw' | 'plain' | undefined;
  readonly encrypted: boolean;
  readonly backing: boolean;
  readonly snapshots: boolean;
  readonly compresses: boolean;
}

/** @param luks QEMU takes a second or two for each LUKS header, so only long runs have such */
export function chooseShape(random: Random, luks: boolean): Shape {
  const data = random.chance(0.2) ? random.pick(['raw', 'plain'] as const) : undefined;
  const encrypted = data !== 'raw' && random.chance(0.3);
  const extended = random.chance(0.4);
  const clusterSize = 2 ** (extended ? random.between(14, 16) : random.between(9, 16));
  const backing = data !== 'raw' && random.chance(0.5);
  const format = encrypted && luks && random.chance(0.3) ? 'luks' : 'aes';
  return {
    size: 512 * random.between(clusterSize / 256, clusterSize <= 4 * KiB ? KiB : 4 * KiB),
    clusterSize,
    data,
    encrypted,
    backing,
    snapshots: data === undefined,
    compresses: data === undefined && !encrypted,
    options: {
      cluster_size: clusterSize,
      compat: '1.1',
      refcount_bits: random.pick([8, 16, 32, 64]),
      lazy_refcounts: random.chance(0.3),
      extended_l2: extended,
      compression_type: random.pick(['zlib', 'zstd']),
      ...(encrypted && {
        'encrypt.format': format,
        'encrypt.key-secret': TEST_SECRET,
        ...(format === 'luks' && { 'encrypt.iter-time': 10 }),
      }),
    },
  };
}

export interface BitmapModel {
  readonly granularity: number;
  enabled: boolean;
  /** Numbers of granules. */
  readonly dirty: Set<number>;
}

export class AlternatingDisk implements Disposable {
  readonly shape: Shape;
  readonly folder = new TemporaryFolder();
  readonly snapshots = new Map<string, Uint8Array>();
  readonly bitmaps = new Map<string, BitmapModel>();
  /** Clusters that were ever written, or made zero: QEMU compresses into no cluster that has a place. */
  readonly touched = new Set<number>();
  content: Uint8Array;
  /** Ranges that were discarded in the last turn: they hold what they held, or zeroes. */
  discarded: (readonly [number, number])[] = [];

  constructor(shape: Shape) {
    this.shape = shape;
    this.content = new Uint8Array(shape.size);
    if (shape.backing) {
      const base = patternedBytes(1, 0, Math.ceil(shape.size / KiB) * 512);
      this.folder.write('base.raw', base.slice());
      this.content.set(base.subarray(0, shape.size));
    }
  }

  get path(): string {
    return this.folder.file('image.qcow2');
  }

  [Symbol.dispose](): void {
    this.folder[Symbol.dispose]();
  }

  async create(side: 'ours' | 'theirs'): Promise<void> {
    const { data, backing, options, size } = this.shape;
    const all = {
      ...options,
      ...(data !== undefined && { data_file: this.folder.file('data'), data_file_raw: data === 'raw' }),
      ...(backing && { backing_file: 'base.raw', backing_fmt: 'raw' }),
    };
    if (side === 'ours') {
      const made = await makeQcow2({ size, ...all });
      writeFileSync(this.path, made.toBytes());
      if (made.beside !== undefined) this.folder.write('data', made.beside);
      return;
    }
    const text = Object.entries(all).map(([name, value]) => {
      return `${name}=${value === true ? 'on' : value === false ? 'off' : value}`;
    });
    await qemu('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', text.join(','), this.path, String(size));
  }

  /** The image as QEMU's tools are given it. */
  get opts(): readonly string[] {
    const secret = this.shape.encrypted ? `,encrypt.key-secret=${TEST_SECRET}` : '';
    return ['--image-opts', `driver=qcow2,discard=unmap,file.filename=${this.path}${secret}`];
  }

  /** A verb of qemu-img on the image. @param last what follows the image's name */
  img(verb: string, args: readonly string[], last: readonly string[] = []): Promise<string> {
    const [flag, name] = this.opts;
    return qemu('qemu-img', verb, flag!, ...args, name!, ...last);
  }

  async io(commands: readonly string[]): Promise<void> {
    await qemu('qemu-io', undefined, ...commands.flatMap((text) => ['-c', text]), ...this.opts);
  }

  /** Opens the image here, for as long as `act` takes. */
  async ours<T>(act: (disk: BlockBackend, graph: BlockGraph) => Promise<T>, options = {}): Promise<T> {
    const { data, backing, encrypted } = this.shape;
    const graph = createNodeGraph();
    graph.secrets.add(TEST_SECRET, TEST_PASSPHRASE);
    const disk = await graph.open({
      driver: 'qcow2',
      file: { driver: 'file', filename: this.path },
      discard: 'unmap',
      ...(data !== undefined && { 'data-file': { driver: 'file', filename: this.folder.file('data') } }),
      ...(backing && { backing: { driver: 'raw', file: { driver: 'file', filename: this.folder.file('base.raw') } } }),
      ...(encrypted && { encrypt: { 'key-secret': TEST_SECRET } }),
      ...options,
    });
    try {
      return await act(disk, graph);
    } finally {
      await graph.close(disk);
    }
  }

  // ── What must be there ────────────────────────────────────────────────────────────────────────────────────────────

  /** Something was done to a range of the disk. */
  noteChange(offset: number, length: number): void {
    for (const { granularity, enabled, dirty } of this.bitmaps.values()) {
      if (!enabled) continue;
      for (let at = Math.floor(offset / granularity); at * granularity < offset + length; at++) dirty.add(at);
    }
  }

  /** @throws when either side sees something else, or finds something wrong */
  async verify(random: Random): Promise<void> {
    await this.img('check', ['-q']);
    expectSound(await checkFile(SparseBytes.from(this.folder.read('image.qcow2'))), 'our check', 'forbidden');
    await this.ours((disk) => this.#verifyOurView(disk), { 'read-only': true });
    await this.img('convert', ['-O', 'raw'], [this.folder.file('view')]);
    expectEqual(this.folder.read('view'), this.content, 'what QEMU reads');
    if (this.shape.data === 'raw') {
      expectEqual(this.folder.read('data').subarray(0, this.content.length), this.content, 'the raw data file');
    }
    for (const name of this.snapshots.keys()) await this.#verifySnapshot(name, random.chance(0.4));
    await this.#verifyTheirList();
  }

  async #verifyOurView(disk: BlockBackend): Promise<void> {
    const seen = new Uint8Array(disk.length);
    await disk.read(0, seen);
    for (const [from, to] of this.discarded) {
      if (seen.subarray(from, to).every((byte) => byte === 0)) this.content.fill(0, from, to);
    }
    this.discarded = [];
    expectEqual(seen, this.content, 'what we read');
    await startAsync(listBitmaps(disk.node));
    for (const [name, model] of this.bitmaps) {
      const areas = [...disk.node.bitmaps.require(name).dirtyAreas()].map(({ offset, length }) => [offset, length]);
      const expected = areasOf(model, this.content.length);
      if (JSON.stringify(areas) === JSON.stringify(expected)) continue;
      throw new Error(`bitmap ${name}: ${JSON.stringify(areas)} are dirty, and ${JSON.stringify(expected)} should be`);
    }
  }

  async #verifySnapshot(name: string, theirs: boolean): Promise<void> {
    const content = this.snapshots.get(name)!;
    await this.ours(
      async (disk) => {
        await startAsync(loadSnapshot(disk.node, name));
        const seen = new Uint8Array(disk.length);
        await disk.read(0, seen);
        expectEqual(seen, content, `what we read in snapshot ${name}`);
      },
      { 'read-only': true },
    );
    // QEMU gives its copy the disk's present size.
    if (!theirs || content.length !== this.content.length) return;
    await this.img('convert', ['-O', 'raw', '-l', name], [this.folder.file('view')]);
    expectEqual(this.folder.read('view'), content, `what QEMU reads in snapshot ${name}`);
  }

  async #verifyTheirList(): Promise<void> {
    const info = JSON.parse(await this.img('info', ['--output=json'])) as TheirInfo;
    const bitmaps = (info['format-specific'].data.bitmaps ?? []).map(({ name, granularity, flags }) => {
      return `${name} ${granularity} ${flags.join()}`;
    });
    const expected = [...this.bitmaps].map(([name, { granularity, enabled }]) => {
      return `${name} ${granularity} ${enabled ? 'auto' : ''}`;
    });
    if (bitmaps.toSorted().join('; ') !== expected.toSorted().join('; ')) {
      throw new Error(`QEMU lists the bitmaps ${bitmaps.join('; ')}, and there should be ${expected.join('; ')}`);
    }
    const snapshots = (info.snapshots ?? []).map(({ name }) => name);
    if (snapshots.join() !== [...this.snapshots.keys()].join()) {
      throw new Error(`QEMU lists the snapshots ${snapshots.join()}, not ${[...this.snapshots.keys()].join()}`);
    }
  }
}

interface TheirInfo {
  readonly 'format-specific': {
    readonly data: {
      readonly bitmaps?: readonly { name: string; granularity: number; flags: readonly string[] }[];
    };
  };
  readonly snapshots?: readonly { readonly name: string }[];
}

/** Runs a tool that knows the secret. @throws when it fails */
async function qemu(tool: 'qemu-img' | 'qemu-io', verb: string | undefined, ...args: string[]): Promise<string> {
  const secret = `secret,id=${TEST_SECRET},data=${new TextDecoder().decode(TEST_PASSPHRASE)}`;
  for (let attempt = 1; ; attempt++) {
    const all = [...(verb === undefined ? [] : [verb]), '--object', secret, ...args];
    // oxlint-disable-next-line no-await-in-loop -- one attempt after another
    const { code, stdout, stderr } = await runTool(tool, all);
    if (code === 0 && !/failed:/.test(stdout)) return stdout;
    // It measures how fast its CPU is for LUKS, and gives up where that is too busy.
    if (attempt < 5 && stderr.includes('CPU usage')) continue;
    throw new Error(`${tool} ${all.join(' ')}: exit code ${code}\n${stdout}${stderr}`);
  }
}

function expectEqual(seen: Uint8Array, expected: Uint8Array, what: string): void {
  if (equalBytes(seen, expected)) return;
  const at = expected.findIndex((byte, index) => byte !== seen[index]);
  throw new Error(
    `${what}: ${seen.length} bytes, ${expected.length} expected; at ${at} ${seen[at]}, and ${expected[at]} should be there`,
  );
}

/** The dirty granules as areas: offset and length. */
function areasOf({ granularity, dirty }: BitmapModel, size: number): [number, number][] {
  const areas: [number, number][] = [];
  for (const granule of [...dirty].toSorted((a, b) => a - b)) {
    const offset = granule * granularity;
    const length = Math.min(granularity, size - offset);
    const last = areas.at(-1);
    if (last !== undefined && last[0] + last[1] === offset) last[1] += length;
    else areas.push([offset, length]);
  }
  return areas;
}
