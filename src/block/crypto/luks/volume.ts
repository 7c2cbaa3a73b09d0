/** A LUKS1 volume: its header, and once it is unlocked, its cipher. */
import { settle, type Co } from '../../co.ts';
import type { AmendContext } from '../../driver.ts';
import type { AmendOptions } from './options.ts';
import { SectorCipher } from '../sector-cipher.ts';
import { amendSlots, type AmendedVolume } from './amend.ts';
import { decodeHeader, type LuksHeader } from './header.ts';
import { unlock, type LuksArea } from './key-slots.ts';
import { HEADER_BYTES } from './layout.ts';

export class LuksVolume implements AmendedVolume {
  readonly area: LuksArea;
  header: LuksHeader;
  key: Uint8Array | undefined;

  constructor(area: LuksArea, header: LuksHeader) {
    this.area = area;
    this.header = header;
  }

  /**
   * @param detached the encrypted disk is in another place
   * @throws BlockError as `decodeHeader`
   */
  static *read(area: LuksArea, detached = false): Co<LuksVolume> {
    const bytes = new Uint8Array(Math.min(HEADER_BYTES, area.length));
    yield* settle(area.read(0, bytes));
    return new LuksVolume(area, decodeHeader(bytes, area.length, detached));
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
  *amend(options: AmendOptions, { secret, force }: AmendContext): Co<void> {
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
