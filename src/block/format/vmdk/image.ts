import { CoMutex, isPromise, settle, start, type Co, type MaybePromise } from '../../co.ts';
import {
  BYTE_LIMITS,
  type Allocation,
  type BlockLimits,
  type CheckFix,
  type CheckResult,
  type FileReference,
  type FormatImage,
  type FormatInfo,
  type RequestFlags,
} from '../../driver.ts';
import { BlockError } from '../../error.ts';
import type { Extent } from '../../extent.ts';
import { CheckFindings } from '../shared/check-findings.ts';
import type { DescriptorFile } from './descriptor-file.ts';
import type { DiskExtent } from './disk-extent.ts';

export interface OpenedExtent {
  readonly extent: DiskExtent;
  /** Where it begins in the disk, bytes. */
  readonly start: number;
}

/** An opened VMDK image: its extents one behind the other. */
export class VmdkImage implements FormatImage {
  readonly limits: BlockLimits;
  readonly allocationUnit: number;
  readonly hasZeroInit = true;
  readonly dataInHoles: boolean;
  readonly needsCompressedWrites: boolean;
  readonly virtualSize: number;
  readonly #extents: readonly OpenedExtent[];
  readonly #descriptor: DescriptorFile;
  readonly #readOnly: boolean;
  readonly #cidLock = new CoMutex();
  /** The disk has the CID of a new version: from then on it may be changed. */
  #cidRenewed = false;

  /** @param extents without gaps */
  constructor(extents: readonly OpenedExtent[], descriptor: DescriptorFile, readOnly: boolean) {
    const last = extents.at(-1);
    this.#extents = extents;
    this.#descriptor = descriptor;
    this.#readOnly = readOnly;
    this.virtualSize = last === undefined ? 0 : last.start + last.extent.length;
    this.allocationUnit = Math.max(1, ...extents.map(({ extent }) => extent.grainSize ?? 1));
    this.dataInHoles = extents.some(({ extent }) => extent.dataInHoles === true);
    this.needsCompressedWrites = extents.some(({ extent }) => extent.compressed === true);
    this.limits = { ...BYTE_LIMITS, writeZeroesAlignment: this.allocationUnit };
  }

  get backing(): FileReference | undefined {
    const { parentHint } = this.#descriptor.descriptor;
    return parentHint === undefined ? undefined : { filename: parentHint, format: 'vmdk' };
  }

  get lineage(): { readonly own: string; readonly parent?: string } {
    const { cid, parentCid, parentHint } = this.#descriptor.descriptor;
    return parentHint === undefined ? { own: cidText(cid) } : { own: cidText(cid), parent: cidText(parentCid) };
  }

  map(offset: number, length: number): MaybePromise<Extent> {
    const { extent, start: first } = this.#extentAt(offset);
    const inExtent = offset - first;
    const within = Math.min(length, extent.length - inExtent);
    return extent.map(inExtent, within, this.#cidRenewed && extent.readOnlyBecause === undefined);
  }

  #extentAt(offset: number): OpenedExtent {
    const extents = this.#extents;
    let low = 0;
    let high = extents.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (extents[middle]!.start <= offset) low = middle;
      else high = middle - 1;
    }
    return extents[low]!;
  }

  /** The extent for a write, once the disk has a new CID. Before that `map` shows no place that could be written to. */
  *#extentToWrite(offset: number): Co<OpenedExtent> {
    const found = this.#extentAt(offset);
    const { readOnlyBecause, facts } = found.extent;
    if (readOnlyBecause !== undefined) {
      throw new BlockError('permission', `The extent '${facts.filename}' cannot be written: ${readOnlyBecause}`, {
        offset,
      });
    }
    if (!this.#cidRenewed) yield* this.#cidLock.run(() => this.#renewCid());
    return found;
  }

  *#renewCid(): Co<void> {
    if (this.#cidRenewed) return;
    yield* this.#descriptor.renewCid();
    this.#cidRenewed = true;
  }

  allocate(offset: number, length: number): MaybePromise<Allocation> {
    return start(this.#allocate(offset, length));
  }

  *#allocate(offset: number, length: number): Co<Allocation> {
    const { extent, start: first } = yield* this.#extentToWrite(offset);
    return yield* extent.allocate(offset - first, Math.min(length, first + extent.length - offset));
  }

  markZero(offset: number, length: number): MaybePromise<number> {
    const { extent } = this.#extentAt(offset);
    return extent.markZero === undefined ? 0 : start(this.#markZero(offset, length));
  }

  *#markZero(offset: number, length: number): Co<number> {
    const { extent, start: first } = yield* this.#extentToWrite(offset);
    return yield* extent.markZero!(offset - first, Math.min(length, first + extent.length - offset));
  }

  readEncoded(offset: number, buffer: Uint8Array): MaybePromise<void> {
    const { extent, start: first } = this.#extentAt(offset);
    return extent.readEncoded!(offset - first, buffer);
  }

  /** Only streamOptimized images hold compressed grains: in others the data is stored as it is, as QEMU does. */
  writeEncoded(offset: number, data: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    return start(this.#writeEncoded(offset, data, flags));
  }

  *#writeEncoded(offset: number, data: Uint8Array, flags: RequestFlags): Co<void> {
    for (let done = 0; done < data.length;) {
      const { extent, start: first } = yield* this.#extentToWrite(offset + done);
      const inExtent = offset + done - first;
      const part = data.subarray(done, done + extent.length - inExtent);
      if (extent.compressed === true) yield* extent.writeCompressed!(inExtent, part);
      else yield* writePlain(extent, inExtent, part, flags);
      done += part.length;
    }
  }

  check(fix: CheckFix): MaybePromise<CheckResult> {
    return start(this.#check(fix));
  }

  *#check(fix: CheckFix): Co<CheckResult> {
    if (fix !== 'none') throw new BlockError('unsupported', 'This image format does not support repairing');
    if (!this.#readOnly) yield* this.#flush();
    const findings = new CheckFindings('none');
    for (const { extent, start: first } of this.#extents) yield* extent.check?.(first, findings) ?? nothing();
    return findings.result();
  }

  info(): FormatInfo {
    const { cid, parentCid, createType } = this.#descriptor.descriptor;
    const { backing } = this;
    const grainSize = this.#extents[0]?.extent.grainSize;
    return {
      format: 'vmdk',
      virtualSize: this.virtualSize,
      ...(grainSize === undefined ? {} : { clusterSize: grainSize }),
      ...(backing === undefined ? {} : { backingFilename: backing.filename, backingFormat: 'vmdk' }),
      specific: {
        cid,
        'parent-cid': parentCid,
        'create-type': createType,
        extents: this.#extents.map(({ extent }) => extentInfo(extent)),
      },
    };
  }

  flush(): MaybePromise<void> {
    if (!this.#readOnly) return start(this.#flush());
  }

  *#flush(): Co<void> {
    for (const { extent } of this.#extents) yield* extent.flush?.() ?? nothing();
  }

  close(): MaybePromise<void> {
    const flushed = this.flush();
    if (isPromise(flushed)) return flushed;
  }
}

/** QEMU: VmdkExtentInfo. */
function extentInfo({ facts, length, grainSize, compressed }: DiskExtent): Readonly<Record<string, unknown>> {
  return {
    ...(compressed === true ? { compressed } : {}),
    'virtual-size': length,
    filename: facts.filename,
    ...(grainSize === undefined ? {} : { 'cluster-size': grainSize }),
    format: facts.format,
  };
}

/** Whole grains of an extent that does not compress. */
function* writePlain(extent: DiskExtent, offset: number, data: Uint8Array, flags: RequestFlags): Co<void> {
  for (let done = 0; done < data.length;) {
    const allocation = yield* extent.allocate(offset + done, data.length - done);
    const { child, hostOffset, length, copyAfter } = allocation;
    const part = data.subarray(done, done + length);
    try {
      yield* settle(child.write(hostOffset, part, flags));
      // The extent ends inside its last grain.
      if (copyAfter > 0) yield* settle(child.writeZeroes(hostOffset + length, copyAfter));
    } catch (error) {
      yield* settle(allocation.abort());
      throw error;
    }
    yield* settle(allocation.commit());
    done += length;
  }
}

function* nothing(): Co<void> {
  // An extent that has nothing to be done.
}

function cidText(cid: number): string {
  return cid.toString(16).padStart(8, '0');
}
