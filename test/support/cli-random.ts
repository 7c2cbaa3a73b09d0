/** Random command lines for qemu-img and spindle-img: most of them make sense, and some are wrong in one place. */
import type { Random } from './random.ts';

/** Words of a command line. */
type Words = readonly string[];
type Maker = (random: Random) => Words;

const RAW = ['data.raw', 'empty.raw', 'nothing', 'text.txt'];
const QCOW2 = [
  ...['empty.qcow2', 'data.qcow2', 'small.qcow2', 'old.qcow2', 'base.qcow2', 'mid.qcow2', 'top.qcow2', 'onraw.qcow2'],
  ...['sparse.qcow2', 'packed.qcow2', 'sub.qcow2', 'zstd.qcow2', 'snap.qcow2', 'bits.qcow2', 'leak.qcow2'],
  ...['corrupt.qcow2', 'onguess.qcow2', 'orphan.qcow2'],
];
const OTHERS = [
  ...['x.vdi', 'static.vdi', 'x.qed', 'x.vmdk', 'x.vpc', 'fixed.vpc', 'x.vhdx', 'x.qcow', 'x.hds', 'x.luks'],
  ...['on.qcow', 'on.qed'],
];
const OVERLAYS = ['mid.qcow2', 'top.qcow2', 'onraw.qcow2', 'on.qcow', 'on.qed', 'onguess.qcow2'];
const SUFFIX_FORMATS: Readonly<Record<string, string>> = { hds: 'parallels', txt: 'raw', nothing: 'raw' };

/** The format of a file by its name. */
export function formatOf(name: string): string {
  const suffix = name.slice(name.lastIndexOf('.') + 1);
  return SUFFIX_FORMATS[suffix] ?? suffix;
}

const TARGETS = ['raw', 'qcow2', 'qcow2', 'qcow2', 'vdi', 'qed', 'vmdk', 'vpc', 'vhdx', 'qcow', 'parallels'];
const WRONG_FORMATS = ['foo', 'QCOW2', '', 'raw', 'qcow2', 'parallels', 'qed'];
const CACHE = ['none', 'writeback', 'writethrough', 'directsync', 'unsafe', 'off'];

const SIZES = ['1M', '2M', '3M', '1000', '512', '64k', '1.5M', '0x100000', '4m', '100000', '3145728'];
const ODD_SIZES = [
  ...[
    '0',
    '1',
    '-1',
    'x',
    '',
    '1Z',
    '9E',
    '1.5.5',
    '1e3',
    ' 1M',
    '1M ',
    '+1M',
    '1MB',
    '2T',
    '65T',
    '18446744073709551616',
  ],
  ...['0x', '1.', '.5M', '1k1', '٣', '5G'],
];

const size: (random: Random) => string = (random) => random.pick(random.chance(0.25) ? ODD_SIZES : SIZES);

function image(random: Random): string {
  if (random.chance(0.04)) return random.pick(['nofile', '.', 'nofolder/x', '', 'orphan2.qcow2']);
  return random.pick(random.pick([RAW, QCOW2, QCOW2, OTHERS]));
}

const maybe =
  (chance: number, make: Maker): Maker =>
  (random) =>
    random.chance(chance) ? make(random) : [];
const just =
  (...words: string[]): Maker =>
  () =>
    words;
const word =
  (from: readonly string[]): Maker =>
  (random) => [random.pick(from)];
const value =
  (option: string, from: readonly string[]): Maker =>
  (random) => [option, random.pick(from)];
const all =
  (...makers: readonly Maker[]): Maker =>
  (random) =>
    makers.flatMap((make) => make(random));

/** `-f` with the right format, more often than not; without it the format is guessed. */
function format(option: string, name: string): Maker {
  return (random) => {
    const roll = random.below(10);
    // Nothing but a footer says what it is, which QEMU does not look for.
    if (name === 'fixed.vpc') return [option, 'vpc'];
    if (roll < 5) return [];
    return [option, roll === 9 ? random.pick(WRONG_FORMATS) : formatOf(name)];
  };
}

/** The image with its format, by name or by options. */
function source(name: string): Maker {
  return (random) => {
    const roll = random.below(20);
    if (roll === 0) return ['--image-opts', `driver=${formatOf(name)},file.filename=${name}`];
    if (roll === 1) return [`json:{"driver":"${formatOf(name)}","file":{"driver":"file","filename":"${name}"}}`];
    if (roll === 2)
      return ['--image-opts', `driver=${formatOf(name)},file.driver=file,file.filename=${name},read-only=on`];
    return [...format('-f', name)(random), name];
  };
}

const output = maybe(0.5, value('--output', ['json', 'json', 'json', 'human', 'xml']));
const share = maybe(0.1, just('-U'));
const quiet = maybe(0.15, just('-q'));
const targetCache = maybe(0.08, value('-t', CACHE));
const sourceCache = maybe(0.08, value('-T', CACHE));
/** What no command takes, or not like that. */
export const NONSENSE = ['-Z', '--frob', '--output', '-o', '--', 'extra', '-f', '--size'];
const nonsense = maybe(0.03, (random) => [random.pick(NONSENSE)]);

const CREATE_OPTIONS: Readonly<Record<string, readonly string[]>> = {
  raw: ['preallocation=off', 'preallocation=falloc', 'preallocation=full', 'preallocation=metadata', 'nocow=off'],
  qcow2: [
    ...['cluster_size=4k', 'cluster_size=64k', 'cluster_size=512', 'cluster_size=3', 'cluster_size=4M', 'compat=0.10'],
    ...[
      'compat=1.1',
      'compat=v3',
      'compat=2',
      'lazy_refcounts=on',
      'lazy_refcounts=off',
      'refcount_bits=1',
      'refcount_bits=64',
    ],
    ...['refcount_bits=3', 'preallocation=metadata', 'preallocation=falloc', 'preallocation=full', 'preallocation=off'],
    ...['extended_l2=on', 'compression_type=zlib', 'compression_type=zstd', 'compression_type=lz', 'data_file_raw=on'],
    ...['backing_fmt=raw', 'encryption=off', 'lazy_refcounts', 'nolazy_refcounts'],
  ],
  vdi: ['static=on', 'static=off', 'static=maybe'],
  qed: [
    'cluster_size=4k',
    'cluster_size=1M',
    'cluster_size=3k',
    'table_size=1',
    'table_size=2',
    'table_size=3',
    'table_size=16',
  ],
  vmdk: [
    ...[
      'subformat=monolithicSparse',
      'subformat=streamOptimized',
      'subformat=foo',
      'adapter_type=ide',
      'adapter_type=lsilogic',
    ],
    ...['adapter_type=x', 'compat6=on', 'hwversion=7', 'toolsversion=9', 'zeroed_grain=on'],
  ],
  vpc: ['subformat=fixed', 'subformat=dynamic', 'subformat=x', 'force_size=on', 'force_size=off', 'force_size'],
  vhdx: [
    'subformat=dynamic',
    'subformat=x',
    'block_size=1M',
    'block_size=3M',
    'block_size=2M',
    'log_size=1M',
    'log_size=3M',
    'log_size=1k',
    'block_state_zero=off',
  ],
  qcow: ['encryption=off'],
  parallels: ['cluster_size=64k', 'cluster_size=1M', 'cluster_size=3', 'cluster_size=0'],
};
const ANY_OPTIONS = ['foo=1', 'size=1M', 'size=x', 'cluster_size=x', '', ',', '=', 'help', 'size', 'preallocation=x'];

/** @param isChecked values are looked at, not only names */
function createOptions(name: string, chance: number, isChecked = true): Maker {
  return (random) => {
    if (!random.chance(chance)) return [];
    const own = (CREATE_OPTIONS[name] ?? []).filter(
      (one) => isChecked || !/=(2|3|3M|1k|x|lz|maybe|0)$|^data_file_raw/.test(one),
    );
    const one = () => random.pick(own.length === 0 || random.chance(0.1) ? ANY_OPTIONS : own);
    return ['-o', random.chance(0.3) ? `${one()},${one()}` : one()];
  };
}

const backing: Maker = (random) => {
  const name = random.pick([...QCOW2, 'data.raw', 'x.vdi', 'x.vmdk', 'nofile']);
  return [
    '-b',
    name,
    ...(random.chance(0.8) ? ['-F', random.chance(0.9) ? formatOf(name) : random.pick(WRONG_FORMATS)] : []),
  ];
};

const create: Maker = (random) => {
  const name = random.chance(0.95) ? random.pick(TARGETS) : random.pick(WRONG_FORMATS);
  return all(
    just('create', ...(name === 'raw' && random.chance(0.5) ? [] : ['-f', name])),
    maybe(0.15, just('-q')),
    createOptions(name, 0.5),
    maybe(['qcow2', 'qed', 'qcow', 'vmdk'].includes(name) ? 0.25 : 0.03, backing),
    maybe(0.05, just('-u')),
    nonsense,
    just(random.chance(0.05) ? 'data.qcow2' : 'new.img'),
    maybe(0.9, () => [size(random)]),
  )(random);
};

const info: Maker = (random) =>
  all(just('info'), output, share, maybe(0.15, just('--backing-chain')), nonsense, source(image(random)))(random);

const check: Maker = (random) =>
  all(
    just('check'),
    output,
    quiet,
    share,
    sourceCache,
    maybe(0.15, value('-r', ['leaks', 'all', 'x'])),
    nonsense,
    source(image(random)),
  )(random);

const map: Maker = (random) =>
  all(
    just('map'),
    output,
    share,
    maybe(0.2, () => [`--start-offset=${size(random)}`]),
    maybe(0.2, () => [`--max-length=${size(random)}`]),
    nonsense,
    source(image(random)),
  )(random);

const measure: Maker = (random) => {
  const name = random.chance(0.9) ? random.pick(TARGETS) : random.pick(WRONG_FORMATS);
  const what: Maker = random.chance(0.5) ? () => ['--size', size(random)] : source(image(random));
  return all(
    just('measure'),
    output,
    maybe(0.8, just('-O', name)),
    createOptions(name, 0.4, false),
    maybe(0.05, just('-l', 'one')),
    nonsense,
    what,
  )(random);
};

const compare: Maker = (random) => {
  const [first, second] = [image(random), image(random)];
  return all(
    just('compare'),
    maybe(0.3, just('-s')),
    quiet,
    share,
    sourceCache,
    nonsense,
    format('-f', first),
    format('-F', second),
    just(first, second),
  )(random);
};

/** QEMU makes images of some formats for a disk of no bytes, and cannot open them. */
function notEmpty(random: Random, target: string): string {
  const name = image(random);
  return name === 'nothing' && ['vmdk', 'vhdx'].includes(target) ? 'data.raw' : name;
}

const convert: Maker = (random) => {
  const name = random.chance(0.95) ? random.pick(TARGETS) : random.pick(WRONG_FORMATS);
  const into = random.chance(0.12);
  return all(
    just('convert'),
    maybe(0.85, just('-O', name)),
    createOptions(name, 0.35),
    // QEMU's qcow gives up on a compressed disk of zeroes without a word.
    maybe(name === 'qcow' ? 0 : 0.15, just('-c')),
    maybe(0.1, just('-W')),
    quiet,
    share,
    targetCache,
    sourceCache,
    // One of them at most: which of two wrong ones is named is chance.
    random.chance(0.4)
      ? maybe(0.25, value('-m', ['1', '4', '16', '17', '0', 'x']))
      : maybe(0.25, value('-S', ['0', '4k', '64k', '512', '1', 'x', '32M'])),
    maybe(0.06, value('-l', ['one', 'two', 'snapshot.name=one', 'snapshot.id=2', 'nope'])),
    maybe(0.08, (inner) => backing(inner).map((one) => (one === '-b' ? '-B' : one))),
    maybe(0.04, just('--bitmaps')),
    maybe(0.04, just('--salvage')),
    maybe(0.03, just('-r', '1G')),
    maybe(0.03, just('-C')),
    maybe(0.04, just('--target-is-zero')),
    into ? just('-n') : just(),
    nonsense,
    source(notEmpty(random, name)),
    maybe(0.08, () => [image(random)]),
    just(into ? random.pick(['empty.raw', 'base.qcow2', 'x.vdi', 'x.vpc']) : 'new.img'),
  )(random);
};

const dd: Maker = (random) => {
  const name = image(random);
  return all(
    just('dd'),
    format('-f', name),
    maybe(
      0.7,
      value(
        '-O',
        [...TARGETS, 'foo'].filter((target) => target !== 'vhdx' && target !== 'vmdk'),
      ),
    ),
    share,
    nonsense,
    just(`if=${name}`, 'of=new.img'),
    maybe(0.5, word(['bs=512', 'bs=64k', 'bs=1M', 'bs=1000', 'bs=x', 'bs=0'])),
    maybe(0.4, word(['count=1', 'count=10', 'count=x', 'count=1000000'])),
    maybe(0.3, word(['skip=1', 'skip=3', 'skip=0', 'skip=x'])),
    maybe(0.04, word(['foo=1', 'seek=1', 'iflag=direct'])),
  )(random);
};

const commit: Maker = (random) => {
  const name = random.chance(0.8) ? random.pick(OVERLAYS) : image(random);
  return all(
    just('commit'),
    quiet,
    targetCache,
    maybe(0.2, just('-d')),
    maybe(0.2, value('-b', ['base.qcow2', 'mid.qcow2', 'data.raw', 'nope', ''])),
    maybe(0.05, value('-r', ['1G', 'x'])),
    nonsense,
    source(name),
  )(random);
};

const rebase: Maker = (random) => {
  const name = random.chance(0.8) ? random.pick(OVERLAYS) : image(random);
  return all(
    just('rebase'),
    quiet,
    targetCache,
    sourceCache,
    maybe(0.3, just('-u')),
    maybe(0.9, random.chance(0.15) ? just('-b', '') : backing),
    nonsense,
    source(name),
  )(random);
};

const resize: Maker = (random) => {
  const name = image(random);
  return all(
    just('resize'),
    quiet,
    maybe(0.4, just('--shrink')),
    maybe(0.25, (inner) => [`--preallocation=${inner.pick(['off', 'metadata', 'falloc', 'full', 'x'])}`]),
    nonsense,
    source(name),
    (inner) => [inner.pick(['', '', '+', '-']) + size(inner)],
  )(random);
};

const amend: Maker = (random) =>
  all(
    just('amend'),
    quiet,
    targetCache,
    value('-o', [
      ...[
        'compat=0.10',
        'compat=1.1',
        'compat=x',
        'lazy_refcounts=on',
        'lazy_refcounts=off',
        'refcount_bits=8',
        'refcount_bits=3',
      ],
      ...[
        'size=4M',
        'size=1M',
        'size=x',
        'backing_file=base.qcow2,backing_fmt=qcow2',
        'backing_file=',
        'data_file=x',
        'foo=1',
      ],
      ...['cluster_size=4k', 'preallocation=full', 'data_file_raw=on', 'compression_type=zstd', 'state=active'],
    ]),
    nonsense,
    source(random.chance(0.7) ? random.pick(QCOW2) : image(random)),
  )(random);

const snapshot: Maker = (random) =>
  all(
    just('snapshot'),
    quiet,
    share,
    just(...(random.chance(0.9) ? ['-l'] : [])),
    maybe(0.05, just('-d', 'one')),
    nonsense,
    just(random.chance(0.6) ? random.pick(['snap.qcow2', 'data.qcow2', 'old.qcow2']) : image(random)),
  )(random);

const snapshotChange: Maker = (random) =>
  all(
    just('snapshot'),
    quiet,
    value('-c', ['new', 'one', '']),
    nonsense,
    just(random.chance(0.6) ? random.pick(['snap.qcow2', 'data.qcow2', 'old.qcow2']) : image(random)),
  )(random);

const snapshotUse: Maker = (random) =>
  all(
    just('snapshot'),
    value(random.pick(['-a', '-d']), ['one', 'two', '1', '2', 'nope', '']),
    nonsense,
    just(random.chance(0.8) ? 'snap.qcow2' : image(random)),
  )(random);

const bitmap: Maker = (random) =>
  all(
    just('bitmap'),
    word(['--add', '--remove', '--clear', '--enable', '--disable', '--add']),
    maybe(0.15, word(['--add', '--remove', '--clear', '--enable', '--disable'])),
    maybe(0.1, value('--merge', ['b0', 'b1', 'nope'])),
    maybe(0.2, value('-g', ['4k', '64k', '3', 'x', '512', '1G'])),
    nonsense,
    source(random.chance(0.8) ? random.pick(['bits.qcow2', 'data.qcow2']) : image(random)),
    word(['b0', 'b1', 'b2', '', 'x'.repeat(1025)]),
  )(random);

const bench: Maker = (random) =>
  all(
    just('bench'),
    maybe(0.3, just('-w')),
    value('-c', ['1', '10', '0', 'x', '50']),
    maybe(0.3, value('-d', ['1', '4', 'x'])),
    maybe(0.3, value('-s', ['512', '4k', '64k', 'x', '0', '3G'])),
    maybe(0.2, value('-S', ['4k', 'x', '0'])),
    maybe(0.2, value('-o', ['4k', 'x', '3G'])),
    maybe(0.1, (inner) => [`--pattern=${inner.pick(['5', '255', '256', 'x', '0x10', '010'])}`]),
    maybe(0.1, (inner) => [`--flush-interval=${inner.pick(['1', '4', '100', 'x'])}`]),
    maybe(0.05, just('--no-drain')),
    quiet,
    share,
    targetCache,
    nonsense,
    source(random.pick(['data.qcow2', 'data.raw', 'x.vdi', 'top.qcow2', 'x.luks'])),
  )(random);

const MAKERS = {
  ...{ create, info, check, map, measure, compare, convert, dd, commit, rebase, resize, amend },
  ...{ snapshot, snapshotChange, snapshotUse, bitmap, bench },
} as const satisfies Readonly<Record<string, Maker>>;

const WEIGHTS: Readonly<Record<keyof typeof MAKERS, number>> = {
  ...{
    create: 14,
    info: 9,
    check: 8,
    map: 7,
    measure: 8,
    compare: 5,
    convert: 18,
    dd: 5,
    commit: 4,
    rebase: 6,
    resize: 8,
  },
  ...{ amend: 5, snapshot: 1, snapshotChange: 2, snapshotUse: 2, bitmap: 4, bench: 3 },
};

/** One command line. */
export function randomCommand(random: Random): Words {
  return MAKERS[random.weighted(WEIGHTS)](random);
}
