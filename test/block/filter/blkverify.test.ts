import { describe, expect, test } from 'vitest';
import { coreGraph } from '../../support/core-graph.ts';
import { FailingStorage } from '../../support/failing-storage.ts';
import { SimulatedStorage } from '../../support/simulated-storage.ts';

const given = (name: string) => ({ driver: 'raw', file: { driver: 'given', name } });

describe('blkverify', () => {
  test('a difference is an error that names where it is', async () => {
    const image = new Uint8Array(8192).fill(3);
    const copy = image.slice();
    copy[1030] = 4;
    const graph = coreGraph({
      test: new SimulatedStorage({ initial: image }),
      raw: new SimulatedStorage({ initial: copy }),
    });
    const disk = await graph.open({ driver: 'blkverify', test: given('test'), raw: given('raw') });
    await disk.read(0, new Uint8Array(1030));
    expect(() => disk.read(1024, new Uint8Array(1024))).toThrow(
      'blkverify: read offset=1024 bytes=1024 contents mismatch at offset 1030',
    );
    await disk.write(1000, new Uint8Array(100));
    await disk.read(0, new Uint8Array(8192));
  });

  test('a request that only one of them refuses is a mismatch; one that both refuse is that error', async () => {
    const rule = { verbs: ['write'] as const, nth: 1, times: 1, kind: 'io' as const };
    const storage = (fails: boolean) => {
      const simulated = new SimulatedStorage({ initial: new Uint8Array(4096) });
      return fails ? new FailingStorage(simulated, rule) : simulated;
    };
    const graph = coreGraph({ a: storage(true), b: storage(false), c: storage(true), d: storage(true) });
    const one = await graph.open({ driver: 'blkverify', test: given('a'), raw: given('b') });
    expect(() => one.write(0, new Uint8Array(512))).toThrow("return value mismatch: only the 'test' image failed");
    const both = await graph.open({ driver: 'blkverify', test: given('c'), raw: given('d') });
    expect(() => both.write(0, new Uint8Array(512))).toThrow(expect.objectContaining({ kind: 'io' }) as Error);
  });
});
