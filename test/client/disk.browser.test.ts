import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect, type Spindle } from '../../src/client/index.ts';

let spindle: Spindle;
beforeAll(async () => {
  spindle = await connect();
});
afterAll(() => spindle.close());

describe('a disk', () => {
  test('reads back what was written', async () => {
    await using disk = await spindle.open({ driver: 'raw', file: { driver: 'memory', size: 1048576 } });
    expect(disk.size).toBe(1048576);
    await disk.write(4000, new Uint8Array([1, 2, 3]));
    expect(await disk.read(3999, 5)).toEqual(new Uint8Array([0, 1, 2, 3, 0]));
  });
});
