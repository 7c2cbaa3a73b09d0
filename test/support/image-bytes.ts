/** Bytes of a file in a test, wherever they are kept. */
export interface ImageBytes {
  readonly length: number;
  read(offset: number, buffer: Uint8Array): void;
  write(offset: number, data: Uint8Array): void;
}

/** An array of bytes as such. */
export function arrayBytes(bytes: Uint8Array): ImageBytes {
  return {
    length: bytes.length,
    read: (offset, buffer) => buffer.set(bytes.subarray(offset, offset + buffer.length)),
    write: (offset, data) => bytes.set(data, offset),
  };
}
