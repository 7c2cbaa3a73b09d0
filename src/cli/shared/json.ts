/** JSON as qemu-img prints it: four spaces deep, and keys in the order that its scripts have come to see. */

/** Keys as qemu-img 7.2 prints them, kind of object by kind of object; what it has no order for comes last, as it is. */
const KEY_ORDER: readonly string[] = [
  // Snapshots, bitmaps, key slots.
  ...['icount', 'vm-clock-nsec', 'flags', 'name', 'granularity', 'date-sec', 'date-nsec', 'vm-clock-sec', 'id'],
  ...['vm-state-size', 'active', 'iters', 'key-offset', 'stripes'],
  // qcow2, LUKS.
  ...['compat', 'compression-type', 'lazy-refcounts', 'bitmaps', 'refcount-bits', 'data-file', 'encrypt'],
  ...['data-file-raw', 'corrupt', 'extended-l2'],
  ...['ivgen-alg', 'hash-alg', 'cipher-alg', 'uuid'],
  // Measure.
  ...['required', 'fully-allocated'],
  // Check, info.
  ...['image-end-offset', 'compressed-clusters', 'total-clusters', 'corruptions-fixed', 'corruptions', 'check-errors'],
  ...['leaks-fixed', 'leaks', 'allocated-clusters'],
  // An extent of VMDK.
  ...['compressed'],
  ...['snapshots', 'backing-filename-format', 'virtual-size', 'filename', 'cluster-size', 'format', 'cipher-mode'],
  ...['slots', 'payload-offset', 'master-key-iters', 'fragmented-clusters', 'actual-size', 'format-specific'],
  ...['full-backing-filename', 'encrypted', 'backing-filename', 'dirty-flag', 'type', 'data'],
];

const positions = new Map(KEY_ORDER.map((key, index) => [key, index]));

/** The entries of an object in qemu-img's order. */
export function orderedEntries(value: Readonly<Record<string, unknown>>): [key: string, value: unknown][] {
  const at = (key: string) => positions.get(key) ?? KEY_ORDER.length;
  return Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .toSorted(([a], [b]) => at(a) - at(b));
}

/** A value as text, without a newline at its end. */
export function prettyJson(value: unknown, indent = ''): string {
  const deeper = `${indent}    `;
  if (Array.isArray(value)) {
    const members = value.map((member) => deeper + prettyJson(member, deeper));
    return members.length === 0 ? `[\n${indent}]` : `[\n${members.join(',\n')}\n${indent}]`;
  }
  if (typeof value === 'object' && value !== null) {
    const members = orderedEntries(value as Readonly<Record<string, unknown>>).map(
      ([key, member]) => `${deeper}${asciiJson(key)}: ${prettyJson(member, deeper)}`,
    );
    return members.length === 0 ? `{\n${indent}}` : `{\n${members.join(',\n')}\n${indent}}`;
  }
  return typeof value === 'bigint' ? String(value) : asciiJson(value);
}

/** Characters that are none of ASCII as escapes, as qemu-img prints them. */
function asciiJson(value: unknown): string {
  const text = JSON.stringify(value) ?? 'null';
  return text.replaceAll(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`);
}
