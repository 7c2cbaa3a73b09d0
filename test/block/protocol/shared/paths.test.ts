import { expect, test } from 'vitest';
import { siblingPath } from '../../../../src/block/protocol/shared/paths.ts';

test.each([
  ['disks/mine.qcow2', 'base.img', 'disks/base.img'],
  ['disks/mine.qcow2', '../base.img', 'base.img'],
  ['disks/mine.qcow2', '../../../base.img', 'base.img'],
  ['disks/mine.qcow2', '/other//./base.img', 'other/base.img'],
  ['mine.qcow2', 'a/b/../base.img', 'a/base.img'],
  [undefined, 'disks/base.img', 'disks/base.img'],
])('beside %s, %s is %s', (path, reference, expected) => {
  expect(siblingPath(path, reference)).toBe(expected);
});
