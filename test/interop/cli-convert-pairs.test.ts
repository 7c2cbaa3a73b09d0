// Every format into every other with spindle-img, and QEMU says whether the disk is still the same.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatDrivers } from '../../src/block/format/index.ts';
import { spindleImg } from '../support/cli-table.ts';
import { describeWithQemu, qemuImg, TemporaryFolder } from '../support/qemu.ts';
import { patternedBytes } from '../support/random.ts';

const MiB = 2 ** 20;
/** Cylinders of 1 MiB are what every format can hold to the byte. */
const SIZE = 12 * MiB;

/** LUKS wants a passphrase for each: test/interop/luks.test.ts converts to and from it. */
const names = formatDrivers
  .filter(({ capabilities, name }) => capabilities.create && name !== 'luks')
  .map(({ name }) => name);
const pairs = names.flatMap((from) => names.map((to) => ({ from, to })));

function sample(): Uint8Array {
  const bytes = new Uint8Array(SIZE);
  for (const [index, offset] of [0, 65_536 + 512, 3 * MiB - 4096, 7 * MiB, SIZE - 1024].entries()) {
    const length = Math.min(SIZE - offset, 200 * 1024 * (index + 1));
    bytes.set(patternedBytes(index + 1, offset, length), offset);
  }
  return bytes;
}

/** Without it a VHD has the size of a geometry. */
const createOptions = (format: string): string[] => (format === 'vpc' ? ['-o', 'force_size=on'] : []);

describeWithQemu('spindle-img convert', () => {
  let folder: TemporaryFolder;

  beforeAll(async () => {
    folder = new TemporaryFolder();
    folder.write('source.raw', sample());
    for (const format of names) {
      const target = folder.file(`source.${format}`);
      if (format !== 'raw')
        await qemuImg(
          'convert',
          '-f',
          'raw',
          '-O',
          format,
          ...createOptions(format),
          folder.file('source.raw'),
          target,
        );
    }
  });

  afterAll(() => folder[Symbol.dispose]());

  describe.each(pairs)('from $from to $to', ({ from, to }) => {
    it('makes the disk that QEMU reads as the same', async () => {
      const target = folder.file(`${from}-to.${to}`);
      const words = ['convert', '-f', from, '-O', to, ...createOptions(to), folder.file(`source.${from}`), target];
      const { code, stderr } = await spindleImg(...words);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      const compared = await qemuImg('compare', '-f', 'raw', '-F', to, folder.file('source.raw'), target);
      expect(compared).toContain('Images are identical');
    });
  });
});
