// The archive that the Linux kernel unpacks as its first root: cpio in the "newc" form.
// Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.

export interface CpioEntry {
  /** Relative to the root, without a leading slash. */
  readonly name: string;
  /** Type and permissions, as in `st_mode`. */
  readonly mode: number;
  /** A file's contents, or a symbolic link's target. */
  readonly data?: Uint8Array | string;
  /** Major and minor number of a device node. */
  readonly device?: readonly [number, number];
}

export const directoryMode = 0o40755;
export const executableMode = 0o100755;
export const fileMode = 0o100644;
export const linkMode = 0o120777;
export const characterDeviceMode = 0o20600;

const headerLength = 110;
const trailerName = 'TRAILER!!!';
const uint32Limit = 2 ** 32;

/**
 * Packs entries into an archive. All belong to root and to the epoch, so that the same entries give the same bytes.
 * @returns the archive, padded to 512 bytes as cpio's own are.
 * @throws RangeError for a name that is empty, absolute or holds a NUL, for a name given twice, and for 4 GiB of data.
 */
export function cpioArchive(entries: readonly CpioEntry[]): Uint8Array {
  const names = new Set<string>();
  const parts: Buffer[] = [];
  let inode = 0;
  for (const entry of entries) {
    checkName(entry.name, names);
    parts.push(...record(entry, ++inode));
  }
  parts.push(...record({ name: trailerName, mode: 0 }, 0));
  const archive = Buffer.concat(parts);
  return Buffer.concat([archive, padding(archive.length, 512)]);
}

function checkName(name: string, seen: Set<string>): void {
  if (name === '' || name.startsWith('/') || name.includes('\0') || name === trailerName) {
    throw new RangeError(`A cpio entry cannot be named ${JSON.stringify(name)}`);
  }
  if (seen.has(name)) throw new RangeError(`The cpio archive has two entries named ${JSON.stringify(name)}`);
  seen.add(name);
}

function record(entry: CpioEntry, inode: number): Buffer[] {
  const name = Buffer.from(`${entry.name}\0`);
  const data = Buffer.from(entry.data ?? '');
  if (data.length >= uint32Limit) throw new RangeError(`${entry.name} is too long for a cpio archive`);
  const [major, minor] = entry.device ?? [0, 0];
  const links = 1;
  // inode, mode, uid, gid, links, time, size, device's numbers, node's numbers, name's length, checksum (unused)
  const fields = [inode, entry.mode, 0, 0, links, 0, data.length, 0, 0, major, minor, name.length, 0];
  const header = Buffer.from(`070701${fields.map(hexadecimal).join('')}`);
  return [header, name, padding(headerLength + name.length, 4), data, padding(data.length, 4)];
}

function hexadecimal(value: number): string {
  return value.toString(16).toUpperCase().padStart(8, '0');
}

function padding(length: number, multiple: number): Buffer {
  return Buffer.alloc((multiple - (length % multiple)) % multiple);
}
