import { GuestBuildError } from './run.ts';
import { words } from './words.ts';

/** In /bin of the guest. */
const binaries = words(
  'sh ash ls cat echo printf test [ true false seq expr env sleep usleep mkdir rmdir rm cp mv ln touch chmod stat',
  'readlink realpath mktemp truncate find xargs grep sed awk head tail wc sort uniq tr cut tee more less vi top',
  'ps kill free uptime uname date dmesg clear reset stty watch time sync dd fallocate shred md5sum sha256sum cmp',
  'diff od hexdump xxd yes tar gzip gunzip zcat df du mount umount hostname id which fsync',
);

/** In /sbin of the guest. */
const systemBinaries = words(
  'init reboot poweroff halt modprobe insmod lsmod blkid blockdev blkdiscard fdisk fsck fsfreeze fstrim hdparm',
  'losetup mke2fs mkfs.ext2 mkdosfs mkfs.vfat mkswap partprobe switch_root',
);

/** Without these the guest does not boot, or is not what its tests and its greeting promise. */
const required = words(
  'sh ls cat echo sync dd md5sum sha256sum cmp hexdump df mount umount usleep fallocate truncate vi top less stat',
  'init reboot poweroff insmod modprobe switch_root blockdev fdisk fstrim losetup mke2fs',
);

/** Where the names of this busybox's programs lie in it: sorted, each ended by a NUL, from "[" on. */
const firstNames = '\0[\0[[\0';

/**
 * The names that a busybox answers to, read from the binary: it is one for another processor, which may not run here.
 * @throws GuestBuildError when there is no such list in it.
 */
export function busyboxPrograms(binary: Buffer): Set<string> {
  const start = binary.indexOf(firstNames, 0, 'latin1') + 1;
  const end = binary.indexOf('\0\0', start, 'latin1');
  if (start === 0 || end < 0) throw new GuestBuildError('Cannot find the list of programs in the busybox binary.');
  return new Set(binary.toString('latin1', start, end).split('\0'));
}

export interface BusyboxLinks {
  readonly bin: readonly string[];
  readonly sbin: readonly string[];
}

/**
 * The links that the guest gets: what we would like to have, as far as this busybox has it.
 * @throws GuestBuildError when one is missing that the guest cannot do without.
 */
export function busyboxLinks(binary: Buffer): BusyboxLinks {
  const programs = busyboxPrograms(binary);
  const missing = required.filter((name) => !programs.has(name));
  if (missing.length > 0) throw new GuestBuildError(`Debian's busybox has no ${missing.join(', ')}.`);
  const present = (names: readonly string[]): string[] => names.filter((name) => programs.has(name));
  return { bin: present(binaries), sbin: present(systemBinaries) };
}
