/** A LUKS1 volume: its header, and once it is unlocked, its cipher. */
import { settle, start, type Co, type MaybePromise } from '../../co.ts';
import type { AmendContext } from '../../driver.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import type { AmendOptions } from './options.ts';
import { SectorCipher } from '../sector-cipher.ts';
import { amendSlots, type AmendedVolume } from './amend.ts';
import { decodeHeader, luksInfo, type LuksHeader } from './header.ts';
import { unlock, type LuksArea } from './key-slots.ts';
import { HEADER_BYTES } from './layout.ts';

/** Where the disk of a volume is. */
export interface VolumePlace {
  /** Bytes from the start of the file that has the disk. */
  readonly offset: number;
  /** Bytes; undefined: to the end of the file. */
  readonly size: number | undefined;
  /** Bytes that are encrypted as one. */
  readonly sectorSize: number;
}

/** A volume of any version, as an opened image sees it. */
export interface OpenedVolume {
  /** @throws BlockError `unsupported`, `corrupt` when there is no disk that can be opened */
  place(): VolumePlace;
  /** @throws BlockError `wrong-passphrase`, `unsupported` */
  unlock(passphrase: Uint8Array): Co<SectorCipher>;
  /** `format-specific` of `info`. */
  info(): Record<string, unknown>;
  amend(options: AmendOptions, context: AmendContext): MaybePromise<void>;
}

export class LuksVolume implements AmendedVolume, OpenedVolume {
  readonly area: LuksArea;
  header: LuksHeader;
  key: Uint8Array | undefined;
  readonly #detached: boolean;

  constructor(area: LuksArea, header: LuksHeader, detached: boolean) {
    this.area = area;
    this.header = header;
    this.#detached = detached;
  }

  /**
   * @param detached the encrypted disk is in another place
   * @throws BlockError as `decodeHeader`
   */
  static *read(area: LuksArea, detached = false): Co<LuksVolume> {
    const bytes = new Uint8Array(Math.min(HEADER_BYTES, area.length));
    yield* settle(area.read(0, bytes));
    return new LuksVolume(area, decodeHeader(bytes, area.length, detached), detached);
  }

  /** A disk that is elsewhere begins where its file begins, as QEMU has it. */
  place(): VolumePlace {
    return { offset: this.#detached ? 0 : this.header.payloadOffset, size: undefined, sectorSize: SECTOR_SIZE };
  }

  info(): Record<string, unknown> {
    return luksInfo(this.header);
  }

  /** @throws BlockError `wrong-passphrase`, `unsupported` */
  *unlock(passphrase: Uint8Array): Co<SectorCipher> {
    const { key } = yield* unlock(this.area, this.header, passphrase);
    this.key = key;
    return new SectorCipher(this.header.cipher, key);
  }

  /**
   * Adds or takes away passphrases.
   *
   * @throws BlockError `invalid`, `permission` (what needs `force`), `not-found` for a secret that nobody gave
   */
  amend(options: AmendOptions, context: AmendContext): MaybePromise<void> {
    return start(this.#amend(options, context));
  }

  *#amend(options: AmendOptions, { secret, force }: AmendContext): Co<void> {
    const lookUp = (id: string | undefined): Uint8Array | undefined => (id === undefined ? undefined : secret(id));
    yield* amendSlots(this, {
      state: options.state,
      newSecret: lookUp(options['new-secret']),
      oldSecret: lookUp(options['old-secret']),
      keyslot: options.keyslot,
      iterTimeMs: options['iter-time'],
      force: force === true,
    });
  }
}
