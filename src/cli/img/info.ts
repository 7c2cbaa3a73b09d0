/** `info`: what an image is, and what it stands on. */
import {
  imageInfo,
  listSnapshots,
  startAsync,
  type BlockdevOptions,
  type ImageInfo,
  type SnapshotInfo,
} from '../../node/index.ts';
import { Failure } from '../shared/failure.ts';
import { nameOfOptions } from '../shared/image-name.ts';
import { prettyJson } from '../shared/json.ts';
import { beside } from '../shared/paths.ts';
import type { ImageName, Session } from '../shared/session.ts';
import { DRIVERS_WITHOUT_INFO, specificLines } from '../shared/specific.ts';
import { humanSize } from '../shared/sizes.ts';
import { snapshotList } from '../shared/snapshot-list.ts';
import { COMMON_LONG, onlyImage, wantsJson, type Command } from './command.ts';

export const info: Command = {
  options: {
    short: 'hf:U',
    long: { ...COMMON_LONG, format: 'f:', output: 'output:', 'backing-chain': 'chain', 'force-share': 'U' },
  },
  async run(session, given) {
    const image = onlyImage(given);
    const json = wantsJson(given);
    const chain = given.has('chain');
    const described = await describeChain(session, image, { forceShare: given.has('U'), chain });
    if (!json) session.out(described.map(humanInfo).join('\n'));
    else session.out(`${prettyJson(chain ? described.map(jsonInfo) : jsonInfo(described[0]!))}\n`);
    return 0;
  },
};

/** From the top down to the file. */
function driversOf({ driver, file }: BlockdevOptions): unknown[] {
  return [driver, ...(typeof file === 'object' && file !== null ? driversOf(file as BlockdevOptions) : [])];
}

export interface Described {
  /** As which it was opened. */
  readonly image: ImageName;
  readonly info: ImageInfo;
  readonly snapshots: readonly SnapshotInfo[];
  readonly hasFlag: boolean;
  /** Where the backing file is, seen from here. */
  readonly fullBackingFilename: string | undefined;
}

/** Each image is opened by itself and shut again: nothing that it names is opened unless the whole chain was asked for. */
export async function describeChain(
  session: Session,
  top: ImageName,
  settings: { readonly forceShare: boolean; readonly chain: boolean },
): Promise<Described[]> {
  const described: Described[] = [];
  const seen = new Set<string>();
  for (let next: ImageName | undefined = top; next !== undefined;) {
    if (seen.has(next.name)) throw new Failure(`Backing file '${next.name}' creates an infinite loop.`);
    seen.add(next.name);
    const image = await describe(session, next, settings.forceShare);
    described.push(image);
    next = settings.chain ? nextOf(session, image) : undefined;
  }
  return described;
}

/** What an image stands on: by its own options, or by its header. */
function nextOf(session: Session, { image, info: found, fullBackingFilename }: Described): ImageName | undefined {
  const { backing } = session.givenOptions(image);
  if (typeof backing === 'object' && backing !== null) return { name: `json:${JSON.stringify(backing)}` };
  if (fullBackingFilename === undefined || backing === null) return undefined;
  return { name: fullBackingFilename, format: found['backing-filename-format'] };
}

async function describe(session: Session, image: ImageName, forceShare: boolean): Promise<Described> {
  const disk = await session.open(image, { readOnly: true, forceShare, inspect: true });
  const found = await startAsync(imageInfo(disk.node));
  const snapshots = listSnapshots(disk.node);
  await session.close(disk);
  const backing = found['backing-filename'];
  const options = session.givenOptions(image);
  const drivers = driversOf(options);
  const { 'actual-size': _, ...others } = found;
  const isFilter = (driver: string) => session.graph.drivers.filters.some(({ name }) => name === driver);
  const filename = nameOfOptions(options, isFilter) ?? found.filename;
  return {
    image,
    info: { ...(drivers.some((driver) => WITHOUT_SIZE.has(driver)) ? others : found), filename },
    hasFlag: ![found.format, ...drivers].some((driver) => DRIVERS_WITHOUT_INFO.has(driver)),
    snapshots,
    fullBackingFilename: backing === undefined ? undefined : beside(found.filename, backing),
  };
}

/** Drivers that qemu-img asks in vain for how much space an image takes. */
const WITHOUT_SIZE: ReadonlySet<unknown> = new Set(['blkdebug', 'blkverify']);

function jsonInfo({ info: found, snapshots, fullBackingFilename, hasFlag }: Described): Record<string, unknown> {
  return {
    filename: found.filename,
    format: found.format,
    'virtual-size': found['virtual-size'],
    'actual-size': found['actual-size'],
    'cluster-size': found['cluster-size'],
    'dirty-flag': hasFlag ? found['dirty-flag'] : undefined,
    encrypted: found.encrypted ? true : undefined,
    'backing-filename': found['backing-filename'],
    'full-backing-filename': fullBackingFilename,
    'backing-filename-format': found['backing-filename-format'],
    'format-specific': found['format-specific'],
    snapshots: snapshots.length === 0 ? undefined : snapshots.map(jsonSnapshot),
  };
}

function jsonSnapshot(snapshot: SnapshotInfo): Record<string, unknown> {
  return {
    id: snapshot.id,
    name: snapshot.name,
    'vm-state-size': snapshot.vmStateSize,
    'date-sec': snapshot.dateSeconds,
    'date-nsec': snapshot.dateNanoseconds,
    'vm-clock-sec': snapshot.vmClockNanoseconds / 1_000_000_000n,
    'vm-clock-nsec': snapshot.vmClockNanoseconds % 1_000_000_000n,
    icount: snapshot.instructionCount,
  };
}

function humanInfo(described: Described): string {
  const { info: found, snapshots } = described;
  const size = found['actual-size'];
  const lines = [
    `image: ${found.filename}`,
    `file format: ${found.format}`,
    `virtual size: ${humanSize(found['virtual-size'])} (${found['virtual-size']} bytes)`,
    `disk size: ${size === undefined ? 'unavailable' : humanSize(size)}`,
    ...(found.encrypted ? ['encrypted: yes'] : []),
    ...(found['cluster-size'] === undefined ? [] : [`cluster_size: ${found['cluster-size']}`]),
    ...(found['dirty-flag'] ? ['cleanly shut down: no'] : []),
    ...backingLines(described),
    ...(snapshots.length === 0 ? [] : ['Snapshot list:', ...snapshotList(snapshots)]),
    ...specificLines(found),
  ];
  return `${lines.join('\n')}\n`;
}

function backingLines({ info: found, fullBackingFilename }: Described): string[] {
  const name = found['backing-filename'];
  if (name === undefined) return [];
  const elsewhere = fullBackingFilename === name ? '' : ` (actual path: ${fullBackingFilename ?? name})`;
  const format = found['backing-filename-format'];
  return [`backing file: ${name}${elsewhere}`, ...(format === undefined ? [] : [`backing file format: ${format}`])];
}
