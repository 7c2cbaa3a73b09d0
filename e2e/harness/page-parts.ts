/** What both machines have alike, the one on the page and the one in the worker. */

export const VGA_MEMORY_BYTES = 2 * 1024 * 1024;

/** Gathers the bytes that the guest writes in one turn of the emulator, and passes them on as text. */
export function serialWriter(pass: (text: string) => void): (byte: number) => void {
  let waiting: number[] = [];
  const decoder = new TextDecoder();
  return (byte) => {
    if (waiting.push(byte) > 1) return;
    queueMicrotask(() => {
      const bytes = Uint8Array.from(waiting);
      waiting = [];
      pass(decoder.decode(bytes, { stream: true }));
    });
  };
}
