import { expect, it } from 'vitest';
import { coreGraph } from '../../support/core-graph.ts';
import { describeSector, patternedBytes, Random } from '../../support/random.ts';
import { SimulatedStorage } from '../../support/simulated-storage.ts';

it('does not lose a whole block that is written while a write to a part of it is under way', async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = new Random(seed);
    const storage = new SimulatedStorage({
      random,
      initial: new Uint8Array(16_384),
      limits: { requestAlignment: 4096 },
    });
    const graph = coreGraph({ disk: storage });
    const disk = await graph.open({ driver: 'given', name: 'disk' });
    const order = random.shuffle([
      () => disk.write(0, patternedBytes(1, 0, 512).slice()),
      () => disk.write(4096, patternedBytes(2, 4096, 4096).slice()),
      () => disk.writeZeroes(0, 8192),
      () => disk.write(7680, patternedBytes(3, 7680, 1024).slice()),
    ]);
    await Promise.all(order.map(async (request) => request()));
    const bytes = new Uint8Array(4096);
    await disk.read(4096, bytes);
    // Sectors 8 to 14 are written as a whole by two requests: either may be the last, and no third state may be seen.
    const seen = new Set(
      [8, 10, 14].map((sector) => describeSector(bytes.subarray((sector - 8) * 512, (sector - 7) * 512))),
    );
    const wanted = seen.has('zeroes') ? ['zeroes'] : [8, 10, 14].map((sector) => `write 2 of guest sector ${sector}`);
    expect([...seen], `seed ${seed}`).toEqual(wanted);
    await graph.close(disk);
  }
});

it('keeps what an aligned write wrote beside an unaligned one in the same block', async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const storage = new SimulatedStorage({
      random: new Random(seed),
      initial: new Uint8Array(8192),
      limits: { requestAlignment: 4096 },
    });
    const graph = coreGraph({ disk: storage });
    const disk = await graph.open({ driver: 'given', name: 'disk' });
    await Promise.all([
      disk.write(0, patternedBytes(1, 0, 512).slice()),
      disk.write(0, patternedBytes(2, 0, 8192).slice()),
    ]);
    const bytes = new Uint8Array(8192);
    await disk.read(0, bytes);
    expect(describeSector(bytes.subarray(512, 1024)), `seed ${seed}`).toBe('write 2 of guest sector 1');
    await graph.close(disk);
  }
});
