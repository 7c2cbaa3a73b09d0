/** The line that says what is being made: `Formatting 'a.qcow2', fmt=qcow2 cluster_size=65536 …`, as qemu-img words it. */

/** Options in qemu-img's order, with the defaults that it prints; others come behind, as they were given. */
const PRINTED: Readonly<Record<string, Readonly<Record<string, string | undefined>>>> = {
  qcow2: {
    encryption: undefined,
    'encrypt.format': undefined,
    'encrypt.key-secret': undefined,
    'encrypt.cipher-alg': undefined,
    'encrypt.cipher-mode': undefined,
    'encrypt.ivgen-alg': undefined,
    'encrypt.ivgen-hash-alg': undefined,
    'encrypt.hash-alg': undefined,
    'encrypt.iter-time': undefined,
    cluster_size: '65536',
    extended_l2: 'off',
    preallocation: undefined,
    compression_type: 'zlib',
    size: undefined,
    compat: undefined,
    backing_file: undefined,
    backing_fmt: undefined,
    data_file: undefined,
    data_file_raw: undefined,
    lazy_refcounts: 'off',
    refcount_bits: '16',
  },
  raw: { size: undefined },
  vdi: { size: undefined, static: 'off' },
  qed: {
    size: undefined,
    backing_file: undefined,
    backing_fmt: undefined,
    cluster_size: '65536',
    table_size: undefined,
  },
  qcow: { size: undefined, backing_file: undefined, backing_fmt: undefined },
  vpc: { size: undefined, subformat: undefined, force_size: undefined },
  vhdx: {
    size: undefined,
    log_size: '1048576',
    block_size: '0',
    subformat: undefined,
    block_state_zero: undefined,
  },
  vmdk: {
    size: undefined,
    adapter_type: undefined,
    backing_file: undefined,
    backing_fmt: undefined,
    compat6: 'off',
    hwversion: 'undefined',
    toolsversion: undefined,
    subformat: undefined,
    zeroed_grain: undefined,
  },
  parallels: { size: undefined, cluster_size: '1048576' },
  luks: {
    size: undefined,
    'key-secret': undefined,
    'cipher-alg': undefined,
    'cipher-mode': undefined,
    'ivgen-alg': undefined,
    'ivgen-hash-alg': undefined,
    'hash-alg': undefined,
    'iter-time': undefined,
  },
};

/** Options that any file has stand behind those of the format. */
const OF_THE_FILE = ['nocow', 'preallocation', 'extent_size_hint'];

/** @param options as they were given, sizes and numbers as numbers */
export function formattingLine(
  filename: string,
  format: string,
  options: Readonly<Record<string, string | number>>,
): string {
  const defaults = PRINTED[format] ?? {};
  const names = new Set([...Object.keys(defaults), ...OF_THE_FILE, ...Object.keys(options)]);
  const parts = [...names].flatMap((name) => {
    const value = options[name] ?? defaults[name];
    return value === undefined ? [] : [` ${name}=${String(value).replaceAll(',', ',,')}`];
  });
  return `Formatting '${filename}', fmt=${format}${parts.join('')}\n`;
}
