/**
 * Changing key slots. The header says which slots count, so a slot is filled before the header says that it is active, and the
 * header says that it is not before its key material is wiped: whatever dies when, a passphrase that opened the image before and
 * was not to be taken away opens it afterwards.
 */
import { settle, type Co } from '../../co.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { DEFAULT_ITER_TIME_MS, iterationsFor } from './create.ts';
import { encodeHeader, keyMaterialBytes, type KeySlot, type LuksHeader } from './header.ts';
import { emptySlot, filledSlot, keyOfSlot, randomBytes, writeKeyMaterial, type LuksArea } from './key-slots.ts';
import { KEY_SLOTS } from './layout.ts';

/** What is asked for, with the secrets looked up. */
export interface SlotChange {
  readonly state: 'active' | 'inactive';
  readonly newSecret: Uint8Array | undefined;
  readonly oldSecret: Uint8Array | undefined;
  readonly keyslot: number | undefined;
  /** Undefined: as long as QEMU takes. */
  readonly iterTimeMs: number | undefined;
  /** Also the last slot, and one that is in use. QEMU: `--force`. */
  readonly force: boolean;
}

/** A volume whose slots are changed. */
export interface AmendedVolume {
  readonly area: LuksArea;
  /** As it is on stable storage; changed step by step. */
  header: LuksHeader;
  /** Undefined: not unlocked, so no slot can be filled. */
  readonly key: Uint8Array | undefined;
}

/**
 * @throws BlockError `invalid` or `permission`, in QEMU's words: nothing was changed then; what the storage throws
 */
export function* amendSlots(volume: AmendedVolume, change: SlotChange): Co<void> {
  if (change.keyslot !== undefined && change.keyslot >= KEY_SLOTS) {
    throw invalid(`Invalid keyslot ${change.keyslot} specified, must be between 0 and ${KEY_SLOTS - 1}`);
  }
  if (change.state === 'active') yield* activate(volume, change);
  else yield* deactivate(volume, change);
}

function* activate(volume: AmendedVolume, change: SlotChange): Co<void> {
  const { area, header, key } = volume;
  if (change.newSecret === undefined) throw invalid("'new-secret' is required to activate a keyslot");
  if (change.oldSecret !== undefined) throw invalid("'old-secret' must not be given when activating keyslots");
  if (key === undefined) throw invalid('To add a passphrase the image must be opened with one that unlocks it');
  const index = change.keyslot ?? header.slots.findIndex((slot) => !slot.active);
  if (index < 0) throw invalid("Can't add a keyslot - all keyslots are in use");
  if (header.slots[index]!.active) {
    if (!change.force) throw refused(`Refusing to overwrite active keyslot ${index} - please erase it first`);
    // While its key material is overwritten it must not count. If it is the only one, that is what was asked for.
    yield* replaceSlot(volume, index, emptySlot(header.slots[index]!));
  }
  const iterTimeMs = change.iterTimeMs ?? DEFAULT_ITER_TIME_MS;
  const slot = filledSlot(header.slots[index]!, yield* iterationsFor(header.hash, header.keyBytes, iterTimeMs));
  yield* writeKeyMaterial(area, header, slot, key, change.newSecret);
  yield* settle(area.flush());
  yield* replaceSlot(volume, index, slot);
}

function* deactivate(volume: AmendedVolume, change: SlotChange): Co<void> {
  if (change.newSecret !== undefined) throw invalid("'new-secret' must not be given when erasing keyslots");
  if (change.iterTimeMs !== undefined) throw invalid("'iter-time' must not be given when erasing keyslots");
  const { header } = volume;
  const erased = yield* slotsToErase(volume, change);
  const left = header.slots.filter((slot, index) => slot.active && !erased.includes(index));
  if (left.length === 0 && !change.force) {
    throw refused(
      change.keyslot !== undefined
        ? `Attempt to erase the only active keyslot ${erased[0]} which will erase all the data in the image irreversibly - refusing operation`
        : 'All the active keyslots match the (old) password that was given and erasing them will erase all the data in the image irreversibly - refusing operation',
    );
  }
  for (const index of erased) {
    const { keyOffset } = header.slots[index]!;
    yield* replaceSlot(volume, index, emptySlot({ keyOffset }));
    // Once: what a browser's storage keeps of older versions no number of writes would reach.
    yield* settle(volume.area.write(keyOffset, randomBytes(keyMaterialBytes(header.keyBytes))));
    yield* settle(volume.area.flush());
  }
}

function* slotsToErase({ area, header }: AmendedVolume, { oldSecret, keyslot }: SlotChange): Co<number[]> {
  if (oldSecret === undefined && keyslot === undefined) {
    throw invalid(
      'To erase keyslot(s), either explicit keyslot index or the password currently contained in them must be given',
    );
  }
  if (keyslot !== undefined && !header.slots[keyslot]!.active) {
    throw invalid(`Given keyslot ${keyslot} is already erased (inactive)`);
  }
  if (oldSecret === undefined) return [keyslot!];
  const matching: number[] = [];
  for (let index = 0; index < KEY_SLOTS; index++) {
    if (keyslot !== undefined && index !== keyslot) continue;
    const key = yield* keyOfSlot(area, header, index, oldSecret);
    key?.fill(0);
    if (key !== undefined) matching.push(index);
  }
  if (matching.length > 0) return matching;
  throw invalid(
    keyslot === undefined
      ? 'No keyslots match given (old) password for erase operation'
      : `Given keyslot ${keyslot} doesn't contain the given (old) password for erase operation`,
  );
}

/**
 * Changes a slot in the header, on stable storage when it returns. The header is longer than a sector, and one slot lies across
 * the border: a power cut may leave one sector old and the other new. A slot's first field says whether it counts, so to make
 * it count the sector with its beginning goes last, and to make it not count, first.
 */
function* replaceSlot(volume: AmendedVolume, index: number, slot: KeySlot): Co<void> {
  const { area } = volume;
  const header = { ...volume.header, slots: volume.header.slots.with(index, slot) };
  const bytes = encodeHeader(header);
  const starts = slot.active ? [SECTOR_SIZE, 0] : [0, SECTOR_SIZE];
  for (const start of starts) {
    const sector = bytes.subarray(start, start + SECTOR_SIZE);
    yield* settle(area.write(start, sector));
    yield* settle(area.flush());
  }
  volume.header = header;
}

function invalid(message: string): BlockError {
  return new BlockError('invalid', message);
}

function refused(message: string): BlockError {
  return new BlockError('permission', `${message}; it can be forced`);
}
