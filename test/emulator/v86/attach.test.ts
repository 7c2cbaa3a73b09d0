import { afterEach, describe, expect, test } from 'vitest';
import type { V86 } from 'v86';
import { attachDrives, v86Disk, type V86Emulator } from '../../../src/emulator/v86/index.ts';
import { FakeDisk } from '../../support/fake-disk.ts';
import { idleMachine } from '../../support/v86-ports.ts';

const MIB = 1024 * 1024;

let machine: V86 | undefined;

afterEach(async () => {
  await machine?.destroy();
  machine = undefined;
});

/** An emulator of which only the insides are there. */
function emulatorWith(devices: object): V86Emulator {
  const emulator = {
    v86: { cpu: { devices } },
    add_listener: () => {},
    remove_listener: () => {},
    run: () => Promise.resolve(),
    stop: () => Promise.resolve(),
  };
  return emulator;
}

describe('attachDrives', () => {
  test('finds each disk in its drive, also after the machine has loaded', async () => {
    const disks = {
      hda: v86Disk(new FakeDisk(MIB)),
      hdb: v86Disk(new FakeDisk(2 * MIB)),
      cdrom: v86Disk(new FakeDisk(3 * MIB)),
      fda: v86Disk(new FakeDisk(1440 * 1024)),
    };
    machine = idleMachine(disks);
    const before = await attachDrives(machine);
    const after = await attachDrives(machine);
    for (const drives of [before, after]) {
      expect(drives.hda).toBe(disks.hda);
      expect(drives.hdb).toBe(disks.hdb);
      expect(drives.cdrom?.disk).toBe(disks.cdrom);
      expect(drives.fda?.disk).toBe(disks.fda);
      expect(drives.fdb?.trayOpen).toBe(true);
    }
  });

  test('a build with other insides is refused, and what it lacks is named', async () => {
    const drive = { ata_command: () => {} };
    const channel = { master: drive, slave: drive, dma_status: 0, prdt_addr: 0 };
    const attaching = attachDrives(emulatorWith({ ide: { primary: channel, secondary: undefined } }));
    await expect(attaching).rejects.toMatchObject({
      kind: 'unsupported',
      message: expect.stringContaining("'ata_abort_command'"),
    });
  });

  test('a file that v86 cannot load ends the wait', async () => {
    const listeners = new Map<string, (event: { readonly file_name: string }) => void>();
    const emulator: V86Emulator = {
      add_listener: (event, listener) => void listeners.set(event, listener),
      remove_listener: (event) => void listeners.delete(event),
      run: () => Promise.resolve(),
      stop: () => Promise.resolve(),
    };
    const attaching = attachDrives(emulator);
    listeners.get('download-error')?.({ file_name: '/bios.bin' });
    await expect(attaching).rejects.toMatchObject({ kind: 'io', message: expect.stringContaining('/bios.bin') });
    expect(listeners.size).toBe(0);
  });

  test('a read-only floppy is write-protected', async () => {
    const floppy = new FakeDisk(1440 * 1024);
    floppy.readOnly = true;
    machine = idleMachine({ fda: v86Disk(floppy) });
    await attachDrives(machine);
    const inside = machine as unknown as {
      v86: { cpu: { devices: { fdc: { drives: { read_only: boolean }[] } } } };
    };
    expect(inside.v86.cpu.devices.fdc.drives[0]?.read_only).toBe(true);
  });
});
