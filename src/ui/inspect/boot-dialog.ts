/** What a person decides before a machine starts. */
import { DEVICE_NAMES, type Device } from '../images/device.ts';
import type { OverlayStorage, StoredDisk } from '../images/library.ts';
import type { StorageChoice } from '../images/storages.ts';
import { button, h } from '../parts/dom.ts';
import { formDialog } from '../parts/form-dialog.ts';
import { SecondDiskField, type SecondDisk } from './second-disk.ts';

const MIB = 1024 * 1024;
export const DEFAULT_MEMORY = 128 * MIB;
const MEMORY_SIZES = [16, 32, 64, 128, 256, 512, 1024].map((size) => size * MIB);

export interface BootChoice {
  readonly name: string;
  readonly device: Device;
  /** Bytes. */
  readonly memory: number;
  readonly storage: OverlayStorage;
  readonly second: SecondDisk | undefined;
}

/** What stands in the form at first, and what there is to choose from. */
export interface BootForm extends Omit<BootChoice, 'second'> {
  /** Where overlays can be kept in this browser. */
  readonly storages: StorageChoice;
  /** Disks that can be attached beside it. */
  readonly seconds: readonly StoredDisk[];
  /** ID of the one that was attached the last time. */
  readonly lastSecond?: string | undefined;
}

/**
 * Asks how to boot.
 *
 * @returns undefined when the person decided otherwise
 */
export async function askBoot(suggested: BootForm): Promise<BootChoice | undefined> {
  const { storages } = suggested;
  const name = h('input', {
    type: 'text',
    name: 'name',
    required: true,
    maxlength: 80,
    value: suggested.name,
    'data-testid': 'boot-name',
  });
  const memory = select(
    'boot-memory',
    MEMORY_SIZES.map((bytes) => [String(bytes), bytes >= 1024 * MIB ? '1 GiB' : `${bytes / MIB} MiB`]),
    String(suggested.memory),
  );
  const device = select('boot-device', Object.entries(DEVICE_NAMES), suggested.device);
  const storage = select(
    'boot-storage',
    [
      ...(storages.opfs ? [['opfs', 'Files of this site (OPFS), fast'] as const] : []),
      ...(storages.indexeddb ? [['indexeddb', 'IndexedDB, for browsers without the other'] as const] : []),
    ],
    suggested.storage,
  );
  // What a second disk's machine writes is kept too, so there must be a place for it.
  const canKeep = storages.opfs || storages.indexeddb;
  const second = canKeep ? new SecondDiskField(suggested.seconds, suggested.lastSecond) : undefined;
  const form = (cancel: () => void): HTMLFormElement =>
    h(
      'form',
      { method: 'dialog' },
      h('h2', { id: 'boot-title' }, 'Boot'),
      h(
        'p',
        { class: 'muted' },
        'What the machine writes goes to a disk of its own, kept by this browser. The image itself is only read.',
      ),
      h(
        'div',
        { class: 'form-grid' },
        field('Name of the disk', name),
        field('Memory', memory),
        field('Put it in as', device),
      ),
      second?.element,
      h(
        'details',
        {},
        h('summary', {}, 'Advanced'),
        h('div', { class: 'form-grid' }, field('Keep the disk in', storage)),
      ),
      h(
        'div',
        { class: 'actions' },
        h('button', { type: 'submit', value: 'boot', class: 'button primary', 'data-testid': 'boot-start' }, 'Boot'),
        button('Cancel', cancel),
      ),
    );
  if ((await formDialog('boot-title', 'boot-dialog', form)) !== 'boot') return undefined;
  return {
    name: name.value.trim(),
    device: device.value as Device,
    memory: Number(memory.value),
    storage: storage.value as OverlayStorage,
    second: second?.chosen,
  };
}

function select(testId: string, options: readonly (readonly [string, string])[], chosen: string): HTMLSelectElement {
  return h(
    'select',
    { 'data-testid': testId },
    ...options.map(([value, label]) => h('option', { value, selected: value === chosen }, label)),
  );
}

function field(label: string, control: HTMLElement): HTMLElement {
  return h('label', { class: 'field' }, h('span', {}, label), control);
}
