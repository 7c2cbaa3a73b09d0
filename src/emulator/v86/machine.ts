/**
 * What v86 0.5.462 has inside, as far as the adapter touches it. None of it is in v86's own types; the names survive in its
 * release build. `devicesOf` checks that they are there before anything is changed.
 */

import { BlockError } from '../../block/error.ts';

/** v86's `V86`, as far as it is documented. */
export interface V86Emulator {
  add_listener(event: 'emulator-loaded', listener: () => void): void;
  add_listener(event: 'download-error', listener: (event: { readonly file_name: string }) => void): void;
  remove_listener(event: 'emulator-loaded', listener: () => void): void;
  remove_listener(event: 'download-error', listener: (event: { readonly file_name: string }) => void): void;
  run(): Promise<void>;
  stop(): Promise<void>;
}

/** The disk-shaped object in a drive: a `V86Disk` or one of v86's own. */
export interface DriveBuffer {
  readonly byteLength: number;
  get(offset: number, length: number, answer: (data: Uint8Array) => void): void;
  set(offset: number, data: Uint8Array, answer: () => void): void;
}

export interface Memory {
  readonly mem8: Uint8Array;
  read8(address: number): number;
  read16(address: number): number;
  /** Signed. */
  read32s(address: number): number;
}

/** v86's IDEChannel. */
export interface IdeChannel {
  readonly master: IdeDrive;
  readonly slave: IdeDrive;
  /** Bus master status: bit 0 active, bit 1 error, bit 2 interrupt. */
  dma_status: number;
  /** Guest address of the physical region descriptor table. */
  prdt_addr: number;
}

/** v86's IDEInterface: a hard disk or a CD drive. The object is sealed. */
export interface IdeDrive {
  buffer: DriveBuffer | null;
  readonly channel: IdeChannel;
  readonly cpu: Memory;
  readonly drive_connected: unknown;
  readonly is_atapi: boolean | undefined;
  readonly sector_count: number;
  /** The last two bytes that were written to the register. */
  readonly features_reg: number;
  readonly sector_count_reg: number;
  error_reg: number;
  status_reg: number;
  current_command: number;
  medium_changed: number;
  /** The data register's buffer and what of it is in use. */
  readonly data: Uint8Array;
  readonly data_length: number;
  readonly write_dest: number;
  readonly in_progress_io_ids: Map<number, unknown>;
  ata_command(command: number): void;
  ata_abort_command(): void;
  ata_advance(command: number, sectors: number): void;
  atapi_handle(): void;
  atapi_check_condition_response(senseKey: number, additionalSense: number): void;
  cancel_io_operations(): void;
  do_atapi_dma(): void;
  do_write(): void;
  push_irq(): void;
  report_write(bytes: number): void;
  set_cdrom(buffer: DriveBuffer): void;
}

/** v86's FloppyDrive. */
export interface FloppyDrive {
  buffer: DriveBuffer | null;
  read_only: boolean;
  insert_disk(buffer: DriveBuffer, readOnly: boolean): boolean;
  eject_disk(): void;
}

/** v86's FloppyController. */
export interface FloppyController {
  readonly drives: readonly FloppyDrive[];
  readonly dma: DmaController;
  reset_fdc(): void;
}

/** The function that a DMA transfer with a disk ends with. */
export type DmaAnswer = (failed: boolean) => void;

/** v86's DMA: the ISA controller, which the floppy drives use. */
export interface DmaController {
  do_read(buffer: DriveBuffer, start: number, length: number, channel: number, answer: DmaAnswer): void;
  do_write(buffer: DriveBuffer, start: number, length: number, channel: number, answer: DmaAnswer): void;
}

export interface Devices {
  readonly ide: { readonly primary: IdeChannel | undefined; readonly secondary: IdeChannel | undefined };
  readonly fdc: FloppyController | undefined;
}

const IDE_METHODS = [
  'ata_command',
  'ata_abort_command',
  'ata_advance',
  'atapi_handle',
  'atapi_check_condition_response',
  'cancel_io_operations',
  'do_atapi_dma',
  'do_write',
  'push_irq',
  'report_write',
  'set_cdrom',
];
const IDE_NUMBERS = [
  'features_reg',
  'sector_count_reg',
  'error_reg',
  'status_reg',
  'current_command',
  'medium_changed',
  'data_length',
  'write_dest',
];

/** The devices of an emulator that has finished loading, or `undefined` while it loads. */
export function loadedDevices(emulator: V86Emulator): unknown {
  const inside = emulator as { readonly v86?: { readonly cpu?: { readonly devices?: { readonly ide?: unknown } } } };
  const devices = inside.v86?.cpu?.devices;
  return devices?.ide === undefined ? undefined : devices;
}

/**
 * Checks that the devices are the ones that the adapter was made for.
 *
 * @throws BlockError `unsupported` naming the first thing that is not there
 */
export function checkedDevices(devices: unknown): Devices {
  const found = devices as Devices;
  for (const channel of [found.ide.primary, found.ide.secondary]) {
    for (const drive of channel === undefined ? [] : [channel.master, channel.slave]) checkDrive(drive, channel);
  }
  if (found.fdc !== undefined) {
    requireMembers(found.fdc, 'floppy controller', ['reset_fdc'], 'function');
    requireMembers(found.fdc.dma, 'DMA controller', ['do_read', 'do_write'], 'function');
    for (const drive of found.fdc.drives)
      requireMembers(drive, 'floppy drive', ['insert_disk', 'eject_disk'], 'function');
  }
  return found;
}

function checkDrive(drive: IdeDrive, channel: IdeChannel | undefined): void {
  requireMembers(drive, 'IDE drive', IDE_METHODS, 'function');
  requireMembers(drive, 'IDE drive', IDE_NUMBERS, 'number');
  requireMembers(channel, 'IDE channel', ['dma_status', 'prdt_addr'], 'number');
  requireMembers(drive.cpu, 'processor', ['read8', 'read16', 'read32s'], 'function');
  if (!(drive.in_progress_io_ids instanceof Map)) throw unknownBuild('IDE drive', 'in_progress_io_ids');
}

function requireMembers(object: unknown, what: string, names: readonly string[], type: string): void {
  const members = object as Readonly<Record<string, unknown>> | undefined;
  for (const name of names) if (typeof members?.[name] !== type) throw unknownBuild(what, name);
}

function unknownBuild(what: string, member: string): BlockError {
  return new BlockError(
    'unsupported',
    `This build of v86 is not one that the adapter knows: its ${what} has no '${member}'. Version 0.5.462 works.`,
  );
}
