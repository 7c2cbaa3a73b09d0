/** The dirty bitmaps that an image keeps, as its directory lists them. */
import type { ImageInfo } from '../../client/index.ts';
import { h } from '../parts/dom.ts';
import { size } from '../parts/text.ts';

const HEADINGS = ['Bitmap', 'Granularity', 'State'];

/** As `qemu-img info` gives it. QEMU: Qcow2BitmapInfo. */
interface ListedBitmap {
  readonly name: string;
  readonly granularity: number;
  readonly flags: readonly string[];
}

/** @returns undefined for an image without bitmaps */
export function bitmapsTable(info: ImageInfo): HTMLElement | undefined {
  const bitmaps = bitmapsOf(info);
  if (bitmaps.length === 0) return undefined;
  return h(
    'div',
    { class: 'table-scroll', tabindex: 0, role: 'region', 'aria-label': 'Dirty bitmaps', 'data-testid': 'bitmaps' },
    h(
      'table',
      {},
      h('thead', {}, h('tr', {}, ...HEADINGS.map((heading) => h('th', { scope: 'col' }, heading)))),
      h('tbody', {}, ...bitmaps.map(rowOf)),
    ),
  );
}

export function bitmapsOf(info: ImageInfo): readonly ListedBitmap[] {
  const listed = info['format-specific']?.data['bitmaps'];
  return Array.isArray(listed) ? (listed as ListedBitmap[]) : [];
}

function rowOf(bitmap: ListedBitmap): HTMLElement {
  return h('tr', {}, ...[bitmap.name, size(bitmap.granularity), stateOf(bitmap)].map((cell) => h('td', {}, cell)));
}

/** @returns in words what the flags say */
export function stateOf({ flags }: ListedBitmap): string {
  if (flags.includes('in-use')) return 'in use, or not stored when the image was written last';
  return flags.includes('auto') ? 'records what is written' : 'kept, records nothing';
}
