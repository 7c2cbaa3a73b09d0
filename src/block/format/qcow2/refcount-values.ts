/** Refcounts inside a block: 1 to 64 bits each. Source: qcow2 specification, "Host cluster management". */

export interface RefcountValues {
  /** The largest count that fits; for 64 bits the largest number below 2^53 that arithmetic is safe with. */
  readonly largest: number;
  /** Counts in a block. */
  readonly perBlock: number;
  /** @returns the count; above 2^53 only about that */
  get(block: DataView, index: number): number;
  set(block: DataView, index: number, count: number): void;
}

/** @param bits 1, 2, 4, 8, 16, 32 or 64 */
export function refcountValues(bits: number, clusterSize: number): RefcountValues {
  const perBlock = (clusterSize * 8) / bits;
  const largest = bits === 64 ? Number.MAX_SAFE_INTEGER : 2 ** bits - 1;
  switch (bits) {
    case 8:
      return {
        perBlock,
        largest,
        get: (block, at) => block.getUint8(at),
        set: (block, at, count) => block.setUint8(at, count),
      };
    case 16:
      return {
        perBlock,
        largest,
        get: (block, at) => block.getUint16(at * 2),
        set: (block, at, count) => block.setUint16(at * 2, count),
      };
    case 32:
      return {
        perBlock,
        largest,
        get: (block, at) => block.getUint32(at * 4),
        set: (block, at, count) => block.setUint32(at * 4, count),
      };
    case 64:
      return {
        perBlock,
        largest,
        get: (block, at) => block.getUint32(at * 8) * 2 ** 32 + block.getUint32(at * 8 + 4),
        set: (block, at, count) => {
          block.setUint32(at * 8, Math.floor(count / 2 ** 32));
          block.setUint32(at * 8 + 4, count % 2 ** 32);
        },
      };
    default:
      return { perBlock, largest, ...packedValues(bits) };
  }
}

/** Several counts in a byte: the first one is in its lowest bits. */
function packedValues(bits: number): Pick<RefcountValues, 'get' | 'set'> {
  const perByte = 8 / bits;
  const mask = 2 ** bits - 1;
  return {
    get: (block, index) => (block.getUint8(Math.floor(index / perByte)) >> ((index % perByte) * bits)) & mask,
    set: (block, index, count) => {
      const at = Math.floor(index / perByte);
      const shift = (index % perByte) * bits;
      block.setUint8(at, (block.getUint8(at) & ~(mask << shift)) | (count << shift));
    },
  };
}
