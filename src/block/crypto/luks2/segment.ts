/** Which part of a LUKS2 volume is its disk, and whether it can be opened. */
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { parseCipher, type CipherSpec } from '../cipher-spec.ts';
import type { Luks2Header } from './binary-header.ts';
import type { CryptSegment, Luks2Digest, Luks2Metadata, Luks2Segment } from './metadata.ts';

/** The one segment that makes up a disk, with what is needed to get its key. */
export interface DiskSegment {
  readonly segment: Luks2Segment;
  readonly crypt: CryptSegment;
  /** Its keys are known by it. */
  readonly digest: Luks2Digest;
}

const RESUME = "finish it with 'cryptsetup reencrypt --resume-only'";

/**
 * @param detached the disk is in another file than the header
 * @throws BlockError `unsupported`, by name: what a requirement asks for, reencryption, authentication, other types of segments;
 *   `corrupt` for a disk that lies on its header
 */
export function diskSegment({ metadata, headerBytes }: Luks2Header, detached: boolean): DiskSegment {
  refuseRequirements(metadata);
  const [entry, ...more] = metadata.segments;
  if (entry === undefined) throw unsupported('has no segment: it is a header for keys alone');
  if (more.length > 0) throw unsupported(`has ${metadata.segments.size} segments; one can be opened`);
  const [number, segment] = entry;
  const { crypt } = segment;
  if (crypt === undefined) {
    throw unsupported(`has a segment of type '${printable(segment.type)}'; 'crypt' can be opened`);
  }
  if (crypt.integrity !== undefined) {
    throw unsupported(
      `is authenticated (integrity '${printable(crypt.integrity)}'), which needs dm-integrity below it`,
    );
  }
  const headerEnd = detached ? 0 : 2 * headerBytes + metadata.keySlotsBytes;
  if (segment.offset < headerEnd) {
    throw new BlockError(
      'corrupt',
      segment.offset === 0
        ? "This LUKS2 header belongs to a disk in another file: open that file, and name this one in the option 'header'"
        : `The LUKS2 disk begins at ${segment.offset}, which is inside of its header: that ends at ${headerEnd}`,
    );
  }
  checkUnits(segment, crypt);
  const digest = [...metadata.digests.values()].find(({ segments }) => segments.includes(number));
  if (digest === undefined) throw new BlockError('corrupt', 'No digest of the LUKS2 header is for its segment');
  return { segment, crypt, digest };
}

/** @throws BlockError as `parseCipher` */
export function parseEncryption(encryption: string, keyBytes: number): CipherSpec {
  const dash = encryption.indexOf('-');
  const end = dash < 0 ? encryption.length : dash;
  return parseCipher(encryption.slice(0, end), encryption.slice(end + 1), keyBytes);
}

/** Names out of an image may hold anything: control characters do not belong into a message. */
export function printable(name: string): string {
  return name.replaceAll(/\p{C}/gu, '');
}

function refuseRequirements({ requirements, keySlots, segments }: Luks2Metadata): void {
  const flags = [...segments.values()].flatMap((segment) => segment.flags);
  const isReencrypting =
    requirements.some((name) => /^(on|off)line-reencrypt/.test(name)) ||
    flags.includes('in-reencryption') ||
    [...keySlots.values()].some(({ type }) => type === 'reencrypt');
  if (isReencrypting) throw unsupported(`is being encrypted anew: ${RESUME}`);
  if (requirements.length === 0) return;
  throw unsupported(`asks for what is not known here: requirement ${requirements.map(printable).join(', ')}`);
}

function checkUnits({ offset, size }: Luks2Segment, { sectorSize }: CryptSegment): void {
  if (offset % SECTOR_SIZE !== 0) {
    throw new BlockError('corrupt', `The LUKS2 disk begins at ${offset}, which is no multiple of ${SECTOR_SIZE}`);
  }
  if (size !== undefined && (size % sectorSize !== 0 || size === 0)) {
    throw new BlockError(
      'corrupt',
      `The LUKS2 disk has ${size} bytes, which is no multiple of its sectors of ${sectorSize}`,
    );
  }
}

function unsupported(what: string): BlockError {
  return new BlockError('unsupported', `The LUKS2 volume ${what}`);
}
