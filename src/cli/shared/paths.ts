/** Names beside one another, put together as QEMU does: as text, so that they are shown as they were written. */

/** QEMU: path_has_protocol. */
const PROTOCOL = /^([^/:]*):/;

/** The protocol that a name begins with, if it does: everything before a colon that comes before the first slash. */
export function protocolOf(name: string): string | undefined {
  return PROTOCOL.exec(name)?.[1];
}

/** A path as a name that is taken for nothing else. */
export function asPath(path: string): string {
  return PROTOCOL.test(path) ? `./${path}` : path;
}

/** The name of a file that is named inside another. Absolute names and those of a protocol stay as they are. */
export function beside(from: string, name: string): string {
  if (name.startsWith('/') || PROTOCOL.test(name)) return name;
  return from.slice(0, from.lastIndexOf('/') + 1) + name;
}
