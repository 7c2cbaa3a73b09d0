/**
 * A table with a number for each byte, as checksums have it. It is made with the first use: most programs never come to that, and all
 * would start later for it.
 *
 * @returns gives the table
 */
export function byteTable(valueOf: (byte: number) => number): () => Uint32Array {
  let table: Uint32Array | undefined;
  return () => {
    if (table === undefined) {
      table = new Uint32Array(256);
      for (let byte = 0; byte < 256; byte++) table[byte] = valueOf(byte);
    }
    return table;
  };
}
