/** Random command lines for qemu-io and spindle-io: an image, and a few commands for it. */
import { formatOf } from './cli-random.ts';
import type { Random } from './random.ts';

type Words = readonly string[];

const IMAGES = [
  ...['data.raw', 'data.qcow2', 'data.qcow2', 'top.qcow2', 'mid.qcow2', 'empty.qcow2', 'small.qcow2', 'old.qcow2'],
  ...['packed.qcow2', 'sub.qcow2', 'sparse.qcow2', 'onraw.qcow2', 'snap.qcow2', 'x.vdi', 'x.qed', 'x.vmdk', 'x.vpc'],
  ...['x.vhdx', 'x.qcow', 'x.hds', 'on.qed', 'on.qcow', 'nothing', 'bits.qcow2'],
];

const OFFSETS = [
  ...[
    '0',
    '0',
    '512',
    '1k',
    '4k',
    '64k',
    '65k',
    '1M',
    '1000',
    '1023k',
    '0x10000',
    '1.5k',
    '128k',
    '512k',
    '1536k',
    '2047k',
  ],
  ...['300k', '2M', '100'],
];
const LENGTHS = ['512', '1k', '4k', '64k', '1', '100', '1000', '65536', '3k', '128k', '0', '200k', '0x200'];
const ODD = ['x', '', '-1', '3G', '900M', '9E', '8E', '1Z', '1.5.5', '2147483137', '1e3', '10000000', '٣', '0x', '1kk'];
const PATTERNS = ['0', '1', '2', '0xff', '255', '010', '256', '-1', 'x', '7', '0xcd'];

export function randomIo(random: Random): Words {
  const image = random.pick(IMAGES);
  const commands = Array.from({ length: random.between(1, 6) }, () => inOrder(command(random, image))).flat();
  return [...programOptions(random), ...opened(random, image), ...commands];
}

/** What runs beside other commands is waited for: whose result comes first is chance. */
function inOrder(text: string): Words {
  return text.startsWith('aio_') ? ['-c', text, '-c', 'aio_flush'] : ['-c', text];
}

function programOptions(random: Random): Words {
  const some = [
    ...(random.chance(0.1) ? (random.chance(0.3) ? ['-r', '-U'] : ['-r']) : []),
    ...(random.chance(0.08) ? ['-n'] : []),
    ...(random.chance(0.05) ? ['-s'] : []),
    ...(random.chance(0.05) ? ['-C'] : []),
    ...(random.chance(0.15) ? ['-t', random.pick(['none', 'writeback', 'writethrough', 'unsafe', 'directsync'])] : []),
    ...(random.chance(0.1) ? ['-d', random.pick(['ignore', 'unmap', 'on', 'off'])] : []),
  ];
  return some;
}

function opened(random: Random, image: string): Words {
  const format = formatOf(image);
  const roll = random.below(20);
  if (roll === 0) return ['--image-opts', `driver=${format},file.filename=${image}`];
  if (roll === 1) return ['-f', random.pick(['foo', 'raw', 'qcow2', 'qed']), image];
  if (roll === 2) return [image];
  if (roll === 3) return ['-f', format, `blkdebug::${image}`];
  return ['-f', format, image];
}

function range(random: Random): string {
  const offset = random.pick(random.chance(0.06) ? ODD : OFFSETS);
  const length = random.pick(random.chance(0.06) ? ODD : LENGTHS);
  return random.chance(0.02) ? offset : `${offset} ${length}`;
}

/** Of clusters that are zeroed in part, each tool has its own idea whether they are held. */
const clusters = (random: Random): string =>
  `${random.pick(['0', '64k', '128k', '1M'])} ${random.pick(['64k', '128k', '512k'])}`;

const flag = (random: Random, chance: number, text: string): string => (random.chance(chance) ? ` ${text}` : '');
const pattern = (random: Random, chance: number): string => flag(random, chance, `-P ${random.pick(PATTERNS)}`);

function read(random: Random): string {
  const part = flag(random, 0.1, `-s ${random.pick(OFFSETS)}`) + flag(random, 0.1, `-l ${random.pick(LENGTHS)}`);
  const look = flag(random, 0.08, '-v') + flag(random, 0.15, '-q') + flag(random, 0.1, '-C') + flag(random, 0.04, '-b');
  return `${random.pick(['read', 'r'])}${pattern(random, 0.4)}${part}${look} ${range(random)}`;
}

function write(random: Random): string {
  const flags = ['-z', '-u', '-f', '-c', '-q', '-C', '-b', '-p'].map((one) =>
    flag(random, one === '-z' ? 0.25 : 0.08, one),
  );
  const where = flags.includes(' -z') ? clusters(random) : range(random);
  return `${random.pick(['write', 'w'])}${pattern(random, 0.5)}${flags.join('')}${flag(random, 0.05, '-s text.txt')} ${where}`;
}

const vector = (random: Random): string =>
  [random.pick(OFFSETS), ...Array.from({ length: random.between(1, 4) }, () => random.pick(LENGTHS))].join(' ');

const COMMANDS: Readonly<Record<string, (random: Random) => string>> = {
  read,
  write,
  readv: (random) =>
    `readv${pattern(random, 0.4)}${flag(random, 0.1, '-v')}${flag(random, 0.1, '-q')} ${vector(random)}`,
  writev: (random) =>
    `writev${pattern(random, 0.4)}${flag(random, 0.1, '-f')}${flag(random, 0.1, '-q')} ${vector(random)}`,
  aioRead: (random) => `aio_read${pattern(random, 0.4)}${flag(random, 0.1, '-q')} ${vector(random)}`,
  aioWrite: (random) =>
    random.chance(0.2)
      ? `aio_write -z${flag(random, 0.3, '-u')} ${clusters(random)}`
      : `aio_write${pattern(random, 0.4)}${flag(random, 0.1, '-u')}${flag(random, 0.1, '-f')} ${vector(random)}`,
  aioFlush: () => 'aio_flush',
  flush: () => 'flush',
  discard: (random) => `discard${flag(random, 0.1, '-q')}${flag(random, 0.1, '-C')} ${range(random)}`,
  alloc: (random) => `alloc ${flag(random, 0.9, range(random))}`,
  map: () => 'map',
  length: () => 'length',
  truncate: (random) =>
    `truncate${flag(random, 0.3, `-m ${random.pick(['off', 'metadata', 'falloc', 'full', 'x'])}`)} ${random.pick(['1M', '3M', '4M', '1000', 'x', '2M', '0', '5000k'])}`,
  info: () => 'info',
  reopen: (random) =>
    `reopen ${random.pick(['-r', '-w', '', '-c none', '-c writeback', '-c foo', '-o discard=ignore', '-o foo=1', '-r -w', '-o detect-zeroes=on', 'x'])}`,
  close: () => 'close',
  open: (random) => {
    const image = random.pick(IMAGES);
    const options = random.pick([
      '',
      '-r ',
      '-n ',
      '-s ',
      '-U -r ',
      '-t unsafe ',
      '-t foo ',
      '-d foo ',
      '-d ignore ',
      '-Z ',
    ]);
    return `open ${options}-o driver=${formatOf(image)} ${image}`;
  },
  resume: () => 'resume A',
  removeBreak: () => 'remove_break A',
  sleep: (random) => `sleep ${random.pick(['0', '1', 'x', '-1', ''])}`,
  wrong: (random) =>
    random.pick([
      'foo',
      '',
      ' ',
      'help foo',
      'read',
      'write 0',
      'length 1',
      'map 1',
      'flush 1',
      'discard 0',
      'q 1',
      'quit',
      'read -Z 0 1',
    ]),
};

const WEIGHTS: Readonly<Record<string, number>> = {
  ...{ read: 16, write: 20, readv: 3, writev: 3, aioRead: 3, aioWrite: 4, aioFlush: 3, flush: 3, discard: 7, alloc: 4 },
  ...{ map: 6, length: 2, truncate: 4, info: 3, reopen: 4, close: 1, open: 2, sleep: 1, wrong: 3 },
  ...{ resume: 1, removeBreak: 1 },
};

/** What QEMU's drivers of old formats cannot do is not asked of them: ours give space back, compress any range, and reopen. */
function command(random: Random, image: string): string {
  const text = COMMANDS[random.weighted(WEIGHTS)]!(random);
  const old = image.endsWith('.qcow') || image.endsWith('.hds') || image === 'sparse.qcow2';
  return old && /^(discard|reopen|.* -c)/.test(text) ? 'length' : text;
}
