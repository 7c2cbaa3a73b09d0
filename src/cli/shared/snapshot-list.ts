/** Snapshots as a table, as `info` and `snapshot -l` print them. */
import type { SnapshotInfo } from '../../node/index.ts';
import { humanSize } from './sizes.ts';

/** @returns the heading and one line for each */
export function snapshotList(snapshots: readonly SnapshotInfo[]): string[] {
  return [line(['ID', 'TAG', 'VM SIZE', 'DATE', 'VM CLOCK', 'ICOUNT']), ...snapshots.map((one) => line(cells(one)))];
}

function cells(snapshot: SnapshotInfo): string[] {
  return [
    snapshot.id,
    snapshot.name,
    humanSize(snapshot.vmStateSize),
    localDate(snapshot.dateSeconds),
    clock(snapshot.vmClockNanoseconds),
    snapshot.instructionCount === undefined ? '' : String(snapshot.instructionCount),
  ];
}

function line([id = '', tag = '', size = '', date = '', time = '', count = '']: readonly string[]): string {
  const right = date.padStart(20) + time.padStart(13) + count.padStart(11);
  return `${padBytes(id, 9)} ${padBytes(tag, 16)} ${size.padStart(8)}${right}`;
}

/** As the C library pads: by bytes. */
function padBytes(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - Buffer.byteLength(text)));
}

function localDate(seconds: number): string {
  const date = new Date(seconds * 1000);
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':')}`;
}

function clock(nanoseconds: bigint): string {
  const milliseconds = Number(nanoseconds / 1_000_000n);
  const seconds = Math.floor(milliseconds / 1000);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60].map(two);
  return `${parts.join(':')}.${String(milliseconds % 1000).padStart(3, '0')}`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}
