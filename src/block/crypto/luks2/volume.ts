/** A LUKS2 volume: its headers, and what opens its disk. */
import type { Co } from '../../co.ts';
import { BlockError } from '../../error.ts';
import type { LuksArea } from '../luks/key-slots.ts';
import type { OpenedVolume, VolumePlace } from '../luks/volume.ts';
import { SectorCipher } from '../sector-cipher.ts';
import { readHeaders, type Luks2Headers } from './binary-header.ts';
import { luks2Info } from './info.ts';
import { unlock } from './key-slots.ts';
import { diskSegment, parseEncryption } from './segment.ts';

export class Luks2Volume implements OpenedVolume {
  readonly #area: LuksArea;
  readonly #headers: Luks2Headers;
  readonly #detached: boolean;

  constructor(area: LuksArea, headers: Luks2Headers, detached: boolean) {
    this.#area = area;
    this.#headers = headers;
    this.#detached = detached;
  }

  /**
   * @param detached the encrypted disk is in another place
   * @throws BlockError as `readHeaders`
   */
  static *read(area: LuksArea, detached: boolean): Co<Luks2Volume> {
    return new Luks2Volume(area, yield* readHeaders(area), detached);
  }

  /** @throws BlockError as `diskSegment` */
  place(): VolumePlace {
    const { segment, crypt } = diskSegment(this.#headers.used, this.#detached);
    return { offset: segment.offset, size: segment.size, sectorSize: crypt.sectorSize };
  }

  /** @throws BlockError as `diskSegment` and `unlock` of key slots */
  *unlock(passphrase: Uint8Array): Co<SectorCipher> {
    const { metadata } = this.#headers.used;
    const { crypt, digest } = diskSegment(this.#headers.used, this.#detached);
    const key = yield* unlock(this.#area, metadata, digest, passphrase);
    try {
      const { sectorSize, ivTweak } = crypt;
      return new SectorCipher(parseEncryption(crypt.encryption, key.length), key, { sectorSize, ivTweak });
    } finally {
      key.fill(0);
    }
  }

  info(): Record<string, unknown> {
    return { ...luks2Info(this.#headers), ...this.#problem() };
  }

  /** Why it cannot be opened. */
  #problem(): { readonly problem?: string } {
    try {
      diskSegment(this.#headers.used, this.#detached);
      return {};
    } catch (error) {
      if (error instanceof BlockError) return { problem: error.message };
      throw error;
    }
  }

  /** @throws BlockError `unsupported` */
  amend(): never {
    throw new BlockError(
      'unsupported',
      "Passphrases of LUKS version 2 are not changed here: use 'cryptsetup luksAddKey' and 'luksKillSlot'",
    );
  }
}
