// The guests boot and keep what is written to them, in v86 and on QEMU's PC: before any of the project's own code.
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { hasQemu, QemuGuest } from '../../scripts/guest/qemu-boot.ts';
import { ensureGuests, guestFiles, guestImage, type DemoImage, type DemoManifest } from '../support/guest.ts';
import { MemoryDisk, startMachine, type Machine } from '../support/v86-node.ts';

const guests = await ensureGuests();
if (guests.unavailable !== undefined) console.log(`Skipping the boot tests: ${guests.unavailable}`);
const manifest = guests.manifest ?? ({ images: [] } as unknown as DemoManifest);

const machines: Machine[] = [];

afterEach(async () => {
  for (const machine of machines.splice(0)) await machine.stop();
});

async function boot(image: DemoImage, disk: MemoryDisk): Promise<Machine> {
  const { seabios, vgabios } = guestFiles;
  const machine = startMachine({ device: image.device, disk, memory: image.memory, seabios, vgabios });
  machines.push(machine);
  await machine.console.until(image.ready);
  await machine.console.until(image.prompt);
  return machine;
}

async function shown(machine: Machine, text: string): Promise<void> {
  await expect.poll(() => machine.screen().join('\n'), { timeout: 10_000 }).toContain(text);
}

describe.skipIf(guests.unavailable !== undefined)('in v86', () => {
  test('GRUB keeps a variable on its disk', async () => {
    const image = guestImage(manifest, 'grub');
    const disk = new MemoryDisk(readFileSync(image.path));
    const first = await boot(image, disk);
    await first.console.command('set message=kept', image.prompt);
    expect(await first.console.command('save_env -f /grub/env message', image.prompt)).toBe('');
    await shown(first, 'grub> save_env');

    const second = await boot(image, disk);
    await second.console.command('load_env -f /grub/env', image.prompt);
    expect(await second.console.command('echo $message $boots', image.prompt)).toBe('kept xx');
  });

  test('GRUB starts from a CD and reads it', async () => {
    const image = guestImage(manifest, 'grub-cd');
    const machine = await boot(image, new MemoryDisk(readFileSync(image.path)));
    expect(await machine.console.command('ls /', image.prompt)).toContain('random.bin');
    expect(await machine.console.command('cat /readme.txt', image.prompt)).toContain('started from a CD image');
  });

  test('Linux keeps what was synced, shows itself on the screen, and has what its greeting names', async () => {
    const image = guestImage(manifest, 'linux');
    const disk = new MemoryDisk(readFileSync(image.path));
    const first = await boot(image, disk);
    const run = (command: string): Promise<string> => first.console.command(command, image.prompt);
    expect(first.console.text).toContain('Linux on an emulated PC');
    expect(await run('echo hello > /data/hello ; sync ; cat /data/hello')).toBe('hello');
    const file = 'fallocate -l 8M /data/fs ; mke2fs -F /data/fs > /dev/null ; mount -o loop /data/fs /mnt';
    expect(await run(`${file} ; grep -c loop0 /proc/mounts`)).toBe('1');
    expect(await run('umount /mnt ; rm /data/fs ; sync ; echo $?')).toBe('0');
    expect(await run('for p in top vi less fdisk fstrim losetup; do which $p > /dev/null || echo $p; done')).toBe('');
    await shown(first, 'guest# ');
    first.typeOnKeyboard('echo typed > /data/typed ; sync\n');
    await expect.poll(() => run('cat /data/typed'), { timeout: 20_000 }).toBe('typed');
    await first.stop();

    const second = await boot(image, disk);
    expect(second.console.text).toContain('GUEST-READY boot=2');
    expect(await second.console.command('cat /data/hello /data/typed', image.prompt)).toBe('hello\ntyped');
  });
});

const oracleMissing = guests.unavailable ?? (hasQemu() ? undefined : 'qemu-system-i386 is not installed');
if (oracleMissing !== undefined) console.log(`Skipping the boot on QEMU's PC: ${oracleMissing}`);

describe.skipIf(oracleMissing !== undefined)("on QEMU's PC", () => {
  test('Linux writes its disk and switches itself off', async () => {
    const image = guestImage(manifest, 'linux');
    const folder = mkdtempSync(join(tmpdir(), 'spindle-guest-'));
    try {
      const copy = join(folder, image.file);
      copyFileSync(image.path, copy);
      for (const boots of ['1', '2']) {
        await using guest = new QemuGuest({ image: copy, format: image.format });
        await guest.console.until(image.ready);
        await guest.console.until(image.prompt);
        expect(await guest.console.command('cat /data/boots', image.prompt)).toBe(boots);
        guest.console.send('poweroff\r');
        expect(await guest.ended()).toBe(0);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
