// Real guests over the adapter, in v86's release build in Node.
import { readFileSync } from 'node:fs';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { V86, type V86Options } from 'v86';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { BlockError } from '../../../src/block/error.ts';
import {
  attachDrives,
  v86Disk,
  v86DiskSync,
  type DriveErrorEvent,
  type V86Drives,
} from '../../../src/emulator/v86/index.ts';
import { FakeDisk, FakeSynchronousDisk, held } from '../../support/fake-disk.ts';
import { ensureGuests, guestFiles, SerialConsole } from '../../support/guest.ts';

const GRUB = 'grub> ';
const LINUX = 'guest# ';

const broken = (): Promise<void> => Promise.reject(new BlockError('io', 'broken'));

let unavailable: string | undefined;
let machine: V86 | undefined;

beforeAll(async () => {
  ({ unavailable } = await ensureGuests());
});

afterEach(async () => {
  await machine?.destroy();
  machine = undefined;
});

function image(name: keyof typeof guestFiles): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(guestFiles[name]));
}

/** The text screen, which v86 has for as long as it runs outside a browser. */
function screenOf(emulator: V86): string {
  const inside = emulator as unknown as { readonly screen_adapter: { get_text_screen(): string[] } };
  return inside.screen_adapter.get_text_screen().join('\n');
}

interface Started {
  readonly console: SerialConsole;
  readonly drives: V86Drives;
  readonly emulator: V86;
}

async function start(disks: V86Options, onTray?: (open: boolean) => void): Promise<Started> {
  const emulator = new V86({
    wasm_path: join(dirname(createRequire(import.meta.url).resolve('v86')), 'v86.wasm'),
    bios: { buffer: image('seabios').buffer },
    vga_bios: { buffer: image('vgabios').buffer },
    memory_size: 64 * 1024 * 1024,
    vga_memory_size: 2 * 1024 * 1024,
    autostart: true,
    disable_keyboard: true,
    disable_mouse: true,
    disable_speaker: true,
    ...disks,
  });
  machine = emulator;
  const console = new SerialConsole((text) => emulator.serial0_send(text));
  emulator.add_listener('serial0-output-byte', (byte) => console.feed(byte));
  const drives = await attachDrives(emulator, { ...(onTray && { onTray: ({ open }) => onTray(open) }) });
  return { console, drives, emulator };
}

async function bootGrub(disk: FakeDisk, options: Parameters<typeof v86Disk>[1] = {}): Promise<Started> {
  const started = await start({ hda: v86Disk(disk, options) });
  await started.console.until('GRUB-READY');
  await started.console.until(GRUB);
  return started;
}

async function bootLinux(options: V86Options): Promise<Started> {
  const started = await start(options);
  await started.console.until('GUEST-READY');
  await started.console.until(LINUX);
  return started;
}

describe('GRUB, through the BIOS and PIO', () => {
  test('what it saves is there after a reboot, and flushed though it never asks for it', async (context) => {
    if (unavailable !== undefined) context.skip(unavailable);
    const disk = new FakeDisk(image('grub'));
    const { console } = await bootGrub(disk);
    await console.command('set msg=persisted', GRUB);
    await console.command('save_env -f /grub/env msg', GRUB);
    await expect.poll(() => disk.log.at(-1), { timeout: 60_000 }).toEqual(['flush done']);
    console.send('reboot\r');
    await console.until('GRUB-READY boots=xx');
    await console.until(GRUB);
    await console.command('load_env -f /grub/env', GRUB);
    expect(await console.command('echo $msg', GRUB)).toBe('persisted');
  });

  test('a restart from outside, in the middle of a write', async (context) => {
    if (unavailable !== undefined) context.skip(unavailable);
    const disk = new FakeDisk(image('grub'));
    const { console, emulator } = await bootGrub(disk);
    const hold = held();
    disk.onWrite = () => hold.promise;
    console.send('save_env -f /grub/env boots\r');
    await expect.poll(() => disk.log.at(-1)?.[0], { timeout: 60_000 }).toBe('write');
    emulator.restart();
    disk.onWrite = undefined;
    setTimeout(() => hold.release(), 300);
    await console.until('GRUB-READY');
    await console.until(GRUB);
  });

  test('read and write errors are GRUB errors at once, and it goes on afterwards', async (context) => {
    if (unavailable !== undefined) context.skip(unavailable);
    const disk = new FakeDisk(image('grub'));
    const { console, drives } = await bootGrub(disk, { onError: () => {} });
    drives.hda?.invalidate();
    disk.onRead = broken;
    const started = performance.now();
    expect(await console.command('hashsum --hash sha256 /random.bin', GRUB)).toContain('error:');
    expect(performance.now() - started).toBeLessThan(25_000);
    disk.onRead = undefined;
    expect(await console.command('hashsum --hash sha256 /random.bin', GRUB)).toMatch(/^[0-9a-f]{64} {2}\/random\.bin$/);
    disk.onWrite = broken;
    expect(await console.command('save_env -f /grub/env boots', GRUB)).toContain('error: failure writing sector');
    disk.onWrite = undefined;
    expect(await console.command('save_env -f /grub/env boots', GRUB)).toBe('');
  });

  test('out of space: the machine stops, and goes on after resume', async (context) => {
    if (unavailable !== undefined) context.skip(unavailable);
    const disk = new FakeDisk(image('grub'));
    const stops: DriveErrorEvent[] = [];
    const { console, drives, emulator } = await bootGrub(disk, { onStop: (event) => stops.push(event) });
    await console.command('set msg=kept', GRUB);
    disk.onWrite = () => Promise.reject(new BlockError('no-space', 'full'));
    console.send('save_env -f /grub/env msg\r');
    await expect.poll(() => emulator.is_running(), { timeout: 60_000 }).toBe(false);
    expect(stops).toHaveLength(1);
    expect(stops[0]).toMatchObject({ drive: 'hda', operation: 'write', action: 'stop' });
    expect(await drives.resume()).toBe(false);
    expect(stops).toHaveLength(2);
    disk.onWrite = undefined;
    expect(await drives.resume()).toBe(true);
    await console.until(GRUB);
    expect(new TextDecoder().decode(disk.bytes.subarray(1_000_000, 1_200_000))).toContain('msg=kept');
  });

  test('over a disk in the same thread', async (context) => {
    if (unavailable !== undefined) context.skip(unavailable);
    const disk = new FakeSynchronousDisk(image('grub'));
    const { console } = await start({ hda: v86DiskSync(disk) });
    await console.until('GRUB-READY');
    await console.until(GRUB);
    await console.command('set msg=near', GRUB);
    await console.command('save_env -f /grub/env msg', GRUB);
    expect(new TextDecoder().decode(disk.bytes.subarray(1_000_000, 1_200_000))).toContain('msg=near');
  });

  test('from a CD, and from a floppy', async (context) => {
    if (unavailable !== undefined) context.skip(unavailable);
    const cd = new FakeDisk(image('grub-cd'));
    cd.readOnly = true;
    const { console } = await start({ cdrom: v86Disk(cd) });
    await console.until('CD-READY');
    await console.until(GRUB);
    await machine?.destroy();

    // The hard disk's GRUB starts from sector 0 of whatever it is on; as a floppy it finds its files on the hard disk.
    const floppy = new FakeDisk(image('grub').slice(0, 1_400_000));
    const hda = new FakeDisk(image('grub'));
    const booted = await start({ fda: v86Disk(floppy, { media: 'floppy', onError: () => {} }), hda: v86Disk(hda) });
    await booted.console.until('GRUB-READY');
    await booted.console.until(GRUB);
    expect(floppy.logged('read').length).toBeGreaterThan(0);
    booted.drives.fda?.disk?.invalidate();
    floppy.onRead = broken;
    expect(await booted.console.command('hexdump (fd0)1000+1', GRUB)).toContain('error: failure reading sector');
    floppy.onRead = undefined;
    await booted.drives.fda?.insert(new FakeDisk(new Uint8Array(737_280).fill(65)));
    expect(await booted.console.command('hexdump (fd0)1100+1', GRUB)).toContain('AAAAAAAA');
    await booted.drives.fda?.eject();
    expect(await booted.console.command('hexdump (fd0)1200+1', GRUB)).toContain('error: failure reading sector');
  });
});

describe('The BIOS, reading a CD by PIO', () => {
  test.each([
    ['the volume descriptor', 17, '0003'],
    ['the boot catalog', 33, '0007'],
  ])('a read error of %s is an error to it', async (_name, sector, code) => {
    const cd = new FakeDisk(image('grub-cd'));
    cd.readOnly = true;
    cd.onRead = (offset, length) => {
      const covered = offset <= sector * 2048 && sector * 2048 < offset + length;
      return covered ? broken() : undefined;
    };
    const { emulator } = await start({ cdrom: v86Disk(cd, { readAhead: 0, cacheSize: 0, onError: () => {} }) });
    const expected = `Could not read from CDROM (code ${code})`;
    await expect.poll(() => screenOf(emulator), { timeout: 60_000 }).toContain(expected);
  });
});

describe('Linux, through DMA', () => {
  test('a flush is true, TRIM arrives, errors are EIO, and the guest goes on', async (context) => {
    if (unavailable !== undefined) context.skip(unavailable);
    const disk = new FakeDisk(image('linux'));
    const { console } = await bootLinux({ hda: v86Disk(disk, { onError: () => {}, flushAfter: 0 }) });
    expect(await console.command('cat /sys/block/sda/queue/write_cache', LINUX)).toBe('write back');

    await console.command('sync', LINUX);
    disk.log.length = 0;
    const hold = held();
    disk.onFlush = () => hold.promise;
    console.send('echo synced > /data/f; sync; echo sync-is-back\r');
    await expect.poll(() => disk.logged('flush').length, { timeout: 60_000 }).toBe(1);
    // The journal was written before its flush, and the guest waits.
    expect(disk.log[0]?.[0]).toBe('write');
    expect(disk.logged('write done').length).toBe(disk.logged('write').length);
    await new Promise((resolve) => {
      setTimeout(resolve, 500);
    });
    expect(console.text.split('sync-is-back').length).toBe(2);
    disk.onFlush = undefined;
    hold.release();
    await console.until('\nsync-is-back');
    await console.until(LINUX);
    expect(disk.logged('flush done').length).toBe(disk.logged('flush').length);

    await console.command('dd if=/dev/zero of=/data/z bs=64k count=16 2>/dev/null; sync; rm /data/z; sync', LINUX);
    expect(await console.command('fstrim -v /', LINUX)).toMatch(/[1-9]\d* bytes trimmed/);
    expect(disk.logged('discard').length).toBeGreaterThan(0);

    disk.onRead = broken;
    let started = performance.now();
    const read = 'dd if=/dev/sda of=/dev/null bs=4k count=1 skip=9000';
    expect(await console.command(read, LINUX)).toContain('Input/output error');
    expect(performance.now() - started).toBeLessThan(25_000);
    disk.onRead = undefined;
    expect(await console.command(read, LINUX)).toContain('1+0 records out');

    const write = 'dd if=/dev/zero of=/dev/sda1 bs=4k count=1 seek=4000 conv=fsync';
    for (const hook of ['onWrite', 'onFlush'] as const) {
      disk[hook] = broken;
      started = performance.now();
      expect(await console.command(write, LINUX)).toContain('Input/output error');
      expect(performance.now() - started).toBeLessThan(25_000);
      disk[hook] = undefined;
      expect(await console.command(write, LINUX)).not.toContain('Input/output error');
    }
  });

  test('over a disk in the same thread', async (context) => {
    if (unavailable !== undefined) context.skip(unavailable);
    const disk = new FakeSynchronousDisk(image('linux'));
    const { console } = await bootLinux({ hda: v86DiskSync(disk, { onError: () => {}, flushAfter: 0 }) });
    disk.log.length = 0;
    await console.command('echo near-and-synced > /data/msg; sync', LINUX);
    expect(disk.log.map((entry) => entry[0])).toContain('flush');
    expect(Buffer.from(disk.bytes.buffer).includes('near-and-synced')).toBe(true);
    disk.onRequest = (operation) => {
      if (operation === 'read') throw new BlockError('io', 'broken');
    };
    const read = 'dd if=/dev/sda of=/dev/null bs=4k count=1 skip=9000';
    expect(await console.command(read, LINUX)).toContain('Input/output error');
    disk.onRequest = undefined;
    expect(await console.command(read, LINUX)).toContain('1+0 records out');
  });

  test('CD: insert, swap, lock by mount, eject, medium error', async (context) => {
    if (unavailable !== undefined) context.skip(unavailable);
    const cd = new FakeDisk(image('grub-cd'));
    cd.readOnly = true;
    const other = new FakeDisk(new Uint8Array(1024 * 1024).fill(66));
    const { console, drives } = await bootLinux({ hda: v86Disk(new FakeDisk(image('linux'))) });
    const cdrom = drives.cdrom!;
    const read = 'dd if=/dev/sr0 bs=2048 count=1 skip=200 2>/dev/null | wc -c; cat /sys/block/sr0/size';
    expect(await console.command(read, LINUX)).toMatch(/^0\b/);

    await cdrom.insert(cd, { onError: () => {} });
    expect((await console.command(read, LINUX)).split(/\s+/)).toEqual(['2048', String(cd.size / 512)]);
    await cdrom.insert(other);
    expect((await console.command(read, LINUX)).split(/\s+/)).toEqual(['2048', String(other.size / 512)]);

    await cdrom.insert(cd, { onError: () => {} });
    await console.command('mkdir -p /mnt; mount -t iso9660 -o ro /dev/sr0 /mnt', LINUX);
    expect(await console.command('ls /mnt', LINUX)).toContain('random.bin');
    expect(cdrom.locked).toBe(true);
    await expect(cdrom.eject()).rejects.toMatchObject({ kind: 'busy' });
    await console.command('umount /mnt', LINUX);
    expect(cdrom.locked).toBe(false);

    cdrom.disk?.invalidate();
    cd.onRead = broken;
    const fresh = 'echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/sr0 bs=2048 count=1 skip=500 of=/dev/null';
    expect(await console.command(fresh, LINUX)).toContain('Input/output error');
    expect(await console.command('dmesg | tail -12', LINUX)).toContain('Medium Error');
    cd.onRead = undefined;
    expect(await console.command(fresh, LINUX)).toContain('1+0 records out');

    await cdrom.eject();
    expect(await console.command(read, LINUX)).toMatch(/^0\b/);
  });

  test('a machine state is restored onto the same disk', async (context) => {
    if (unavailable !== undefined) context.skip(unavailable);
    const disk = new FakeDisk(image('grub'));
    const { console, drives, emulator } = await bootGrub(disk, { identity: 'grub' });
    await console.command('set q=before', GRUB);
    await emulator.stop();
    await drives.idle();
    const state = await emulator.save_state();
    await emulator.run();
    await console.command('set q=after', GRUB);
    await emulator.restore_state(state);
    expect(await console.command('echo [$q]', GRUB)).toBe('[before]');
    expect(await console.command('cat /grub/env', GRUB)).toContain('GRUB Environment Block');
  });
});
