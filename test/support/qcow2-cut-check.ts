/** What QEMU says of the files that power cuts leave. */
import { decodeHeader } from '../../src/block/format/qcow2/header.ts';
import { INCOMPATIBLE_DIRTY } from '../../src/block/format/qcow2/layout.ts';
import { qemuCheck, type TemporaryFolder } from './qemu.ts';
import type { SparseBytes } from './sparse-bytes.ts';

/** @throws when qemu-img finds corruption. An image that says that it was not closed is repaired by it first, as QEMU does at open. */
export async function expectSoundForQemu(folder: TemporaryFolder, content: SparseBytes): Promise<void> {
  const bytes = content.toBytes();
  const path = folder.write('cut.qcow2', bytes);
  const header = decodeHeader(bytes, bytes.length);
  const dirty = ((header?.incompatibleFeatures ?? 0n) & INCOMPATIBLE_DIRTY) !== 0n;
  if (dirty) await qemuCheck(path, 'qcow2', 'all');
  const { counts, stderr } = await qemuCheck(path, 'qcow2');
  if (counts === undefined) throw new Error(`qemu-img refuses the image: ${stderr}`);
  if ((counts.corruptions ?? 0) + counts['check-errors'] > 0) throw new Error(`qemu-img finds corruption: ${stderr}`);
}
