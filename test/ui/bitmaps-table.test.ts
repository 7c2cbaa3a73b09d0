import { expect, it } from 'vitest';
import { bitmapsOf, stateOf } from '../../src/ui/inspect/bitmaps-table.ts';

it('says of each bitmap what its flags mean', () => {
  const bitmaps = ['auto', 'in-use', undefined].map((flag, index) => ({
    name: `b${index}`,
    granularity: 65_536,
    flags: flag === undefined ? [] : [flag],
  }));
  const info = {
    filename: 'a.qcow2',
    format: 'qcow2',
    'node-name': 'a',
    'virtual-size': 0,
    'dirty-flag': false,
    corrupt: false,
    encrypted: false,
    'read-only': true,
    'format-specific': { type: 'qcow2', data: { bitmaps } },
  };
  expect(bitmapsOf(info).map(stateOf)).toEqual([
    'records what is written',
    'in use, or not stored when the image was written last',
    'kept, records nothing',
  ]);
  expect(bitmapsOf({ ...info, 'format-specific': { type: 'qcow2', data: {} } })).toEqual([]);
});
