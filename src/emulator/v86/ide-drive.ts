import type { DriveOperation } from './policy.ts';
import type { DriveHost } from './requests.ts';
import type { IdeDrive } from './machine.ts';
import * as ata from './ata.ts';
import { V86Disk } from './buffer.ts';
import { readTrimList } from './trim.ts';

/** TRIM lists of up to this many 512-byte blocks are taken; Linux sends one block. */
const MAX_TRIM_BLOCKS = 64;

/** What an attached drive asks of the CD tray around it. */
export interface Tray {
  /** The guest sends a packet command. Returns whether it was dealt with. */
  packet(handle: () => void): boolean;
  reset(): void;
}

/**
 * The part of an IDE drive that v86 lacks: a volatile write cache with a flush that is true, I/O errors, TRIM, and PIO
 * writes that complete when they are done. Its methods stand in for those of v86's drive (see `patch.ts`).
 */
export class HookedIdeDrive implements DriveHost {
  readonly name: string;
  readonly drive: IdeDrive;
  tray: Tray | undefined;
  /** The guest turned the write cache off. A soft reset leaves that as it is. */
  writeThrough = false;
  /** v86 is inside `ata_command`, after which it lowers the interrupt line. */
  deferring = false;
  readonly #stopMachine: () => void;
  /** Blocks of the TRIM list that the guest is about to send, or 0. */
  #trimBlocks = 0;

  constructor(name: string, drive: IdeDrive, stopMachine: () => void) {
    this.name = name;
    this.drive = drive;
    this.#stopMachine = stopMachine;
  }

  /** The disk in the drive, if it is one of ours. */
  get disk(): V86Disk | undefined {
    const { buffer } = this.drive;
    return buffer instanceof V86Disk ? buffer : undefined;
  }

  stop(): void {
    this.#stopMachine();
  }

  failed(operation: DriveOperation): void {
    const { drive } = this;
    drive.in_progress_io_ids.clear();
    drive.channel.dma_status &= ~ata.DMA_ACTIVE;
    if (drive.is_atapi === true) {
      drive.atapi_check_condition_response(ata.SENSE_MEDIUM_ERROR, ata.ASC_UNRECOVERED_READ_ERROR);
    } else {
      // "Uncorrectable" tells a guest that trying again is of no use; for a write there is no such bit.
      drive.error_reg = operation === 'read' ? ata.ERROR_UNCORRECTABLE : ata.ERROR_ABORTED;
      drive.status_reg = ata.STATUS_FAILED;
      drive.current_command = ata.IDLE_COMMAND;
    }
    drive.push_irq();
  }

  /** In place of `ata_command`; `original` does what v86 does. */
  ataCommand(command: number, original: () => void): void {
    this.#trimBlocks = 0;
    this.deferring = true;
    try {
      const { disk } = this;
      if (disk === undefined || this.drive.is_atapi === true) original();
      else this.#diskCommand(disk, command, original);
    } finally {
      this.deferring = false;
    }
  }

  /** In place of `do_write`: a PIO write has all its data. v86 would tell the guest that it is done before it has begun. */
  pioWrite(original: () => void): void {
    const { disk, drive } = this;
    if (disk === undefined) {
      original();
      return;
    }
    const command = drive.current_command;
    const data = drive.data.slice(0, drive.data_length);
    drive.status_reg = ata.STATUS_BUSY;
    const done = (): void => {
      drive.status_reg = ata.STATUS_READY;
      drive.ata_advance(command, data.length / 512);
      drive.push_irq();
    };
    disk.requests.write(drive.write_dest, data, done, () => this.failed('write'));
    drive.report_write(data.length);
  }

  /** In place of `do_atapi_dma`: the guest started the DMA transfer of a packet command, or of a TRIM list. */
  startPacketDma(original: () => void): void {
    const blocks = this.#trimBlocks;
    const { disk } = this;
    this.#trimBlocks = 0;
    if (blocks === 0 || disk === undefined) original();
    else this.#trim(disk, blocks);
  }

  /** In place of `atapi_handle`: a packet command has arrived. */
  packet(original: () => void): void {
    if (this.#readsPastEnd()) this.#refusePacket(ata.ASC_ADDRESS_OUT_OF_RANGE);
    else if (this.tray?.packet(original) !== true) original();
  }

  /** In place of `cancel_io_operations`: the guest reset the drive. */
  reset(original: () => void): void {
    this.disk?.requests.cancel();
    this.#trimBlocks = 0;
    original();
    this.tray?.reset();
  }

  /** v86 cuts such a read short and calls it done (PIO), or stays busy for ever. A changed medium is told of first. */
  #readsPastEnd(): boolean {
    const { drive, disk } = this;
    if (disk === undefined || drive.medium_changed !== 0) return false;
    const end = endOfPacketRead(drive.data);
    return end !== undefined && end > drive.sector_count;
  }

  #refusePacket(additionalSense: number): void {
    const { drive } = this;
    drive.atapi_check_condition_response(ata.SENSE_ILLEGAL_REQUEST, additionalSense);
    drive.push_irq();
  }

  #diskCommand(disk: V86Disk, command: number, original: () => void): void {
    switch (command) {
      case ata.FLUSH_CACHE:
      case ata.FLUSH_CACHE_EXT:
      case ata.STANDBY_IMMEDIATE:
        this.#flush(disk, command, original);
        break;
      case ata.IDENTIFY_DEVICE:
        original();
        this.#completeIdentity(disk);
        break;
      case ata.SET_FEATURES:
        this.#setFeature(this.drive.features_reg & 0xff);
        original();
        break;
      case ata.DATA_SET_MANAGEMENT:
        this.#expectTrimList(disk, original);
        break;
      default:
        original();
    }
  }

  /** v86's own command says that it is done, so it runs when it is. */
  #flush(disk: V86Disk, command: number, original: () => void): void {
    const { drive } = this;
    drive.current_command = command;
    drive.error_reg = 0;
    drive.status_reg = ata.STATUS_BUSY;
    disk.requests.flush(original, () => this.failed('flush'));
  }

  #setFeature(feature: number): void {
    if (feature === ata.ENABLE_WRITE_CACHE) this.writeThrough = false;
    if (feature === ata.DISABLE_WRITE_CACHE) this.writeThrough = true;
  }

  /** v86 says that the drive has no write cache, and no TRIM. */
  #completeIdentity(disk: V86Disk): void {
    const { data } = this.drive;
    // Words 82 and 85, bit 5: volatile write cache supported, enabled.
    setWordBits(data, 82, 1 << 5);
    if (!this.writeThrough) setWordBits(data, 85, 1 << 5);
    if (!disk.requests.store.canDiscard) return;
    // Guests look for TRIM from version 7 on: word 80, bit 7. Word 105: longest list in blocks; word 169, bit 0: TRIM.
    setWordBits(data, 80, 1 << 7);
    setWordBits(data, 105, MAX_TRIM_BLOCKS);
    setWordBits(data, 169, 1);
  }

  /**
   * The list comes by DMA, which v86 only starts for commands that it knows. A hard disk has no use for PACKET: v86's own
   * handler does nothing then, so that a machine state saved at this moment is harmless.
   */
  #expectTrimList(disk: V86Disk, original: () => void): void {
    const { drive } = this;
    const blocks = drive.sector_count_reg & 0xffff;
    const isTrim = (drive.features_reg & 1) === 1;
    if (!disk.requests.store.canDiscard || !isTrim || blocks === 0 || blocks > MAX_TRIM_BLOCKS) {
      original();
      return;
    }
    this.#trimBlocks = blocks;
    drive.current_command = ata.PACKET;
    drive.error_reg = 0;
    drive.status_reg = ata.STATUS_BUSY;
  }

  #trim(disk: V86Disk, blocks: number): void {
    const { drive } = this;
    const ranges = readTrimList(drive.cpu, drive.channel.prdt_addr, blocks * 512, drive.sector_count);
    if (ranges === undefined) {
      this.failed('discard');
      return;
    }
    const done = (): void => {
      drive.status_reg = ata.STATUS_READY;
      drive.channel.dma_status &= ~ata.DMA_ACTIVE;
      drive.current_command = ata.IDLE_COMMAND;
      drive.push_irq();
    };
    disk.requests.discard(ranges, done, () => this.failed('discard'));
  }
}

/** The first sector behind what a packet reads (MMC-6, 6.16 and 6.17); `undefined` for one that is no read. */
function endOfPacketRead(packet: Uint8Array): number | undefined {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  if (packet[0] === ata.READ_10) return view.getUint32(2) + view.getUint16(7);
  if (packet[0] === ata.READ_12) return view.getUint32(2) + view.getUint32(6);
  return undefined;
}

function setWordBits(data: Uint8Array, word: number, bits: number): void {
  data[word * 2] = data[word * 2]! | (bits & 0xff);
  data[word * 2 + 1] = data[word * 2 + 1]! | (bits >> 8);
}
