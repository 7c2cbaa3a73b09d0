/** What `info` shows of a LUKS2 volume. QEMU opens none, so the names are ours, and QEMU's for LUKS1 where it is the same thing. */
import type { HeaderCopy, Luks2Headers } from './binary-header.ts';
import type { Kdf, Luks2KeySlot, Luks2Metadata } from './metadata.ts';
import { printable } from './segment.ts';

/** Nothing that is worth guessing a passphrase with (salts, digests) is shown, and nothing of what tokens keep. */
export function luks2Info({ used, copies }: Luks2Headers): Record<string, unknown> {
  const { metadata } = used;
  return {
    version: 2,
    uuid: printable(used.uuid),
    ...(used.label === '' ? {} : { label: printable(used.label) }),
    ...(used.subsystem === '' ? {} : { subsystem: printable(used.subsystem) }),
    'sequence-id': used.sequence,
    headers: copies.map(headerInfo),
    'metadata-size': used.headerBytes,
    'keyslots-size': metadata.keySlotsBytes,
    ...(metadata.flags.length === 0 ? {} : { flags: metadata.flags.map(printable) }),
    ...(metadata.requirements.length === 0 ? {} : { requirements: metadata.requirements.map(printable) }),
    segments: [...metadata.segments].map(([number, { type, offset, size, flags, crypt }]) => ({
      segment: number,
      type: printable(type),
      offset,
      size: size ?? 'dynamic',
      ...(crypt === undefined
        ? {}
        : {
            cipher: printable(crypt.encryption),
            'sector-size': crypt.sectorSize,
            'iv-tweak': crypt.ivTweak,
            ...(crypt.integrity === undefined ? {} : { integrity: printable(crypt.integrity) }),
          }),
      ...(flags.length === 0 ? {} : { flags: flags.map(printable) }),
    })),
    slots: [...metadata.keySlots].map(([number, slot]) => slotInfo(number, slot, metadata)),
    tokens: [...metadata.tokens].map(([number, { type, keySlots }]) => ({
      token: number,
      type: printable(type),
      slots: keySlots,
    })),
    digests: [...metadata.digests].map(([number, { type, keySlots, segments, check }]) => ({
      digest: number,
      type: printable(type),
      ...(check === undefined ? {} : { 'hash-alg': printable(check.hash), iters: check.iterations }),
      slots: keySlots,
      segments,
    })),
  };
}

function headerInfo({ name, offset, header, problem }: HeaderCopy): Record<string, unknown> {
  return {
    header: name,
    ...(offset === undefined ? {} : { offset }),
    valid: header !== undefined,
    ...(header === undefined ? { problem } : {}),
    ...(header === undefined
      ? {}
      : { 'sequence-id': header.sequence, 'checksum-alg': printable(header.checksumAlgorithm) }),
  };
}

const PRIORITIES = ['ignore', 'normal', 'prefer'];

function slotInfo(number: number, { type, keyBytes, priority, content }: Luks2KeySlot, metadata: Luks2Metadata) {
  const isBound = [...metadata.digests.values()].some(
    ({ keySlots, segments }) => keySlots.includes(number) && segments.length > 0,
  );
  return {
    slot: number,
    type: printable(type),
    'key-bits': keyBytes * 8,
    priority: PRIORITIES[priority],
    ...(isBound ? {} : { unbound: true }),
    ...(content === undefined
      ? {}
      : {
          ...kdfInfo(content.kdf),
          cipher: printable(content.encryption),
          'cipher-key-bits': content.areaKeyBytes * 8,
          'af-hash-alg': printable(content.splitHash),
          stripes: content.stripes,
          'key-offset': content.offset,
          'area-size': content.length,
        }),
  };
}

function kdfInfo(kdf: Kdf): Record<string, unknown> {
  if (kdf.type === 'unknown') return { kdf: printable(kdf.name) };
  if (kdf.type === 'pbkdf2') return { kdf: kdf.type, 'hash-alg': printable(kdf.hash), iters: kdf.iterations };
  return { kdf: kdf.type, time: kdf.passes, memory: kdf.memoryKiB * 1024, threads: kdf.lanes };
}
