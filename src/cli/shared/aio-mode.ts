/** Ways of QEMU to do I/O, `-i`: here they decide what else must be asked for, and that long requests go to threads. */
const AIO_MODES: readonly string[] = ['threads', 'native', 'io_uring'];

export function isAioMode(name: string): boolean {
  return AIO_MODES.includes(name);
}
