/**
 * Changing what an image was created with. QEMU: qcow2_amend_options.
 *
 * Each step leaves a whole image behind, so an error or a power cut on the way leaves one that is changed in part. Whatever decides
 * how the rest of the file is read changes with one write of the header's first sector.
 */
import { settle, type Co } from '../../co.ts';
import type { AmendOptions as SlotOptions } from '../../crypto/luks/options.ts';
import type { AmendContext } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import type { Qcow2Bitmaps } from './bitmaps.ts';
import { planAmend, type AmendOptions } from './amend-options.ts';
import { changeRefcountWidth } from './amend-refcounts.ts';
import { downgrade, upgrade } from './amend-version.ts';
import { StagedProgress } from './amend-progress.ts';
import { withExtension } from './extensions.ts';
import { switchHeader } from './header-change.ts';
import { AUTOCLEAR_RAW_DATA_FILE, COMPATIBLE_LAZY_REFCOUNTS, EXTENSION } from './layout.ts';
import type { Metadata } from './metadata.ts';

/**
 * @see FormatImage.amend
 * @throws BlockError `invalid` or `unsupported` in qemu-img's words before anything is changed; what the storage throws
 */
export function* amend(
  metadata: Metadata,
  bitmaps: Qcow2Bitmaps,
  options: AmendOptions,
  context: AmendContext,
): Co<void> {
  metadata.assertWritable();
  const plan = planAmend(metadata, options);
  const before = metadata.header;
  const upgrades = plan.version > before.version;
  const downgrades = plan.version < before.version;
  const widens = plan.refcountOrder !== before.refcountOrder;
  const progress = new StagedProgress(context.progress, (widens ? 1 : 0) + (downgrades ? 1 : 0));
  if (upgrades) yield* upgrade(metadata);
  if (widens) yield* changeRefcountWidth(metadata, plan.refcountOrder, progress.stage());
  yield* changeDataFile(metadata, plan.dataFile, plan.dataFileRaw);
  if (plan.lazyRefcounts !== undefined) yield* changeLazyRefcounts(metadata, plan.lazyRefcounts);
  if (plan.keySlots !== undefined) yield* changeKeySlots(metadata, plan.keySlots, context);
  if (plan.size !== undefined) yield* settle(context.resize(plan.size));
  if (downgrades) yield* downgrade(metadata, bitmaps, progress.stage());
  progress.done();
}

function* changeDataFile(metadata: Metadata, name: string | undefined, raw: boolean | undefined): Co<void> {
  if (name === undefined && raw !== false) return;
  yield* metadata.lock.run(() =>
    switchHeader(metadata, (header) => ({
      ...header,
      autoclearFeatures: raw === false ? header.autoclearFeatures & ~AUTOCLEAR_RAW_DATA_FILE : header.autoclearFeatures,
      extensions:
        name === undefined
          ? header.extensions
          : withExtension(header.extensions, EXTENSION.dataFile, new TextEncoder().encode(name), 'last'),
    })),
  );
}

/** The place of the encryption header is in use whatever waits to be written: nothing else need be on the disk for it. */
function* changeKeySlots(metadata: Metadata, slots: SlotOptions, context: AmendContext): Co<void> {
  const volume = metadata.settings.encryption?.volume;
  if (volume === undefined) throw new BlockError('internal', 'The encryption header of the image was not read');
  yield* metadata.lock.run(() => settle(volume.amend(slots, context)));
}

function* changeLazyRefcounts(metadata: Metadata, lazy: boolean): Co<void> {
  yield* metadata.lock.run(function* () {
    // The dirty bit goes before the bit that allows it.
    yield* metadata.settleAll();
    yield* switchHeader(metadata, (header) => ({
      ...header,
      compatibleFeatures: lazy
        ? header.compatibleFeatures | COMPATIBLE_LAZY_REFCOUNTS
        : header.compatibleFeatures & ~COMPATIBLE_LAZY_REFCOUNTS,
    }));
    metadata.reconfigure({ lazyRefcounts: lazy });
  });
}
