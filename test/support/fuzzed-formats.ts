/** The formats that the fuzzer of test/fuzz/format-fuzz.ts goes through. Writable ones get a sample by writing to a new image. */
import type { FuzzedFormat } from '../fuzz/format-fuzz.ts';
import { patternedBytes, type Random } from './random.ts';
import { LastingStorage, makeImage, openDisk } from './scenario.ts';
import { testedFormats, type TestedFormat } from './tested-formats.ts';

const SAMPLE_BYTES = 128 * 1024;

async function writtenSample({ driver, create }: TestedFormat, random: Random): Promise<Uint8Array> {
  const content = await makeImage(driver, { size: SAMPLE_BYTES, ...create(random) });
  const storage = new LastingStorage({ initial: content });
  const { graph, disk } = await openDisk(driver, storage);
  for (let write = 1; write <= 6; write++) {
    const offset = random.below(disk.length / 512) * 512;
    const length = Math.min(disk.length - offset, 512 * random.between(1, 16));
    await disk.write(offset, patternedBytes(write, offset, length).slice());
  }
  await graph.close(disk);
  return storage.content.toBytes();
}

export const fuzzedFormats: readonly FuzzedFormat[] = [
  ...testedFormats.map((format) => ({
    driver: format.driver,
    sample: (random: Random) => writtenSample(format, random),
  })),
];
