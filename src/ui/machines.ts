/** Booting: which disks a machine gets, what is made for it, and what helps when one of them cannot be opened. */
import type { Disk, Spindle } from '../client/index.ts';
import { BlockError } from '../block/error.ts';
import type { Asking, AskOptions } from './asking.ts';
import { chainOptions, knownChain, type Chain } from './images/chain.ts';
import { guessDevice } from './images/device.ts';
import { diskOptions, isFolderDisk, isStored, type Library, type StoredDisk } from './images/library.ts';
import { openChain, openingOf, readOnly, type Opening } from './images/opening.ts';
import { sourceName, type Source } from './images/source.ts';
import type { StorageChoice } from './images/storages.ts';
import { askBoot, DEFAULT_MEMORY, type BootChoice } from './inspect/boot-dialog.ts';
import { askMachine, type MachineChoice } from './inspect/machine-dialog.ts';
import type { SecondDisk } from './inspect/second-disk.ts';
import type { MachineDisk, MachineRequest, MachineView } from './machine/machine-view.ts';
import { begin } from './parts/begin.ts';
import { confirmLoss } from './parts/confirm.ts';
import { button } from './parts/dom.ts';
import { kindOf } from './parts/error-view.ts';
import type { Stage } from './parts/stage.ts';
import { demoUrl, type DemoImage, type DemoManifest } from './start/demo.ts';

export interface MachinesParts {
  readonly spindle: Spindle;
  readonly library: Library;
  readonly manifest: DemoManifest | undefined;
  readonly storages: StorageChoice;
  readonly stage: Stage;
  readonly asking: Asking;
  /** Shows an image that cannot be booted as it is. */
  inspect(opening: Opening): Promise<void>;
  home(): Promise<void>;
}

/** What is known before a boot that nobody was asked about. */
type BootHints = Partial<BootChoice>;

/** A stored disk and where its layers are. */
interface Located {
  readonly record: StoredDisk;
  readonly sources: readonly Source[];
}

type Identity = 'check' | 'update';

export class Machines {
  readonly #parts: MachinesParts;
  #view: MachineView | undefined;

  constructor(parts: MachinesParts) {
    this.#parts = parts;
  }

  /** Bytes that a guest wrote and that a closed tab would lose. */
  get unflushed(): number {
    return this.#view?.unflushed ?? 0;
  }

  /** What the machine is called that runs, if one does. */
  get running(): string | undefined {
    return this.#view?.title;
  }

  async flush(): Promise<void> {
    await this.#view?.flush();
  }

  // ── Images ──

  async askAndBoot(chain: Chain, disk: Disk, name: string): Promise<void> {
    const suggested = await this.#suggest(chain, disk, { name });
    const seconds = await this.#attachable();
    const choice = await askBoot({ ...suggested, storages: this.#parts.storages, seconds });
    if (choice === undefined) return;
    await this.#parts.stage.guarded(`Booting ${choice.name}`, () => this.#bootChain(chain, choice));
  }

  /** Asks for a machine that gets a folder's disk as its second one. */
  async askMachineFor(second: SecondDisk): Promise<void> {
    const { manifest, stage, storages } = this.#parts;
    if (!storages.opfs && !storages.indexeddb) return stage.fail(noStorage(), 'Booting');
    const name = second.kind === 'folder' ? second.folder.name : second.disk.name;
    const disks = (await this.#listDisks()).filter((disk) => !isFolderDisk(disk));
    const demos = (manifest?.images ?? []).filter(({ file }) => !disks.some((disk) => isOver(disk, demoUrl(file))));
    const choice = await askMachine(name, [
      ...disks.map((disk): MachineChoice => ({ kind: 'stored', disk })),
      ...demos.map((image): MachineChoice => ({ kind: 'demo', image })),
    ]);
    if (choice === undefined) return;
    if (choice.kind === 'stored') await stage.guarded('Booting', () => this.bootStored(choice.disk, second));
    else await this.bootDemo(choice.image, second);
  }

  async bootDemo({ title, file, format, device, memory }: DemoImage, second?: SecondDisk): Promise<void> {
    const source = { kind: 'url', url: demoUrl(file) } as const;
    await this.#parts.stage.guarded(`Booting ${title}`, () =>
      this.bootSource(source, format, { name: title, device, memory, second }),
    );
  }

  /** Boots an image at an address without asking; a disk that was made over it before goes on. */
  async bootSource(source: Source & { kind: 'url' }, format: string | undefined, hints: BootHints = {}): Promise<void> {
    const known = (await this.#listDisks()).find((disk) => isOver(disk, source.url));
    if (known !== undefined) return this.bootStored(known, hints.second);
    const opening = openingOf(source, format);
    const { chain, disk } = await openChain(this.#parts.spindle, opening, false);
    if (disk === undefined) return this.#parts.inspect(opening);
    let choice: BootChoice;
    try {
      choice = await this.#suggest(chain, disk, { name: sourceName(source), ...hints });
    } finally {
      await disk.close();
    }
    await this.#bootChain(chain, choice);
  }

  async #suggest(chain: Chain, disk: Disk, hints: BootHints): Promise<BootChoice> {
    return {
      name: hints.name ?? chain.layers[0]!.name,
      device: hints.device ?? (await guessDevice(disk)),
      memory: hints.memory ?? DEFAULT_MEMORY,
      storage: hints.storage ?? this.#storage,
      second: hints.second,
    };
  }

  get #storage(): StoredDisk['storage'] {
    return this.#parts.storages.opfs ? 'opfs' : 'indexeddb';
  }

  async #bootChain(chain: Chain, choice: BootChoice): Promise<void> {
    await this.#withSecond(choice.second, async (second) => {
      if (choice.device === 'cdrom') {
        const options = readOnly(chainOptions(chain.layers, chain.missing));
        const note = 'A CD is only read: there is nothing to keep.';
        const { name: title, device, memory } = choice;
        return this.#run({ title, options, device, memory, ...besideOf(second, note) }, []);
      }
      if (!this.#parts.storages.opfs && !this.#parts.storages.indexeddb) throw noStorage();
      const record = await this.#parts.library.create(chain, { ...choice, second: second?.record.id });
      await this.#runStored({ record, sources: chain.layers.map(({ source }) => source) }, second);
    });
  }

  // ── Stored disks ──

  async askAndBootStored(record: StoredDisk, sources: readonly Source[]): Promise<void> {
    if (isFolderDisk(record)) return this.askMachineFor({ kind: 'stored', disk: record });
    // Where the overlay is kept cannot be changed any more.
    const storages = { opfs: record.storage === 'opfs', indexeddb: record.storage === 'indexeddb' };
    const seconds = (await this.#attachable()).filter(({ id }) => id !== record.id);
    const choice = await askBoot({ ...record, storages, seconds, lastSecond: record.second });
    if (choice === undefined) return;
    await this.#parts.stage.guarded(`Booting ${choice.name}`, () =>
      this.#withSecond(choice.second, async (second) => {
        const { name, device, memory } = choice;
        const changed = await this.#parts.library.touch(record, { name, device, memory, second: second?.record.id });
        await this.#runStored({ record: changed, sources }, second);
      }),
    );
  }

  /** @param second instead of the one that it had the last time */
  async bootStored(record: StoredDisk, second?: SecondDisk): Promise<void> {
    if (isFolderDisk(record)) return this.askMachineFor({ kind: 'stored', disk: record });
    const { asking, library } = this.#parts;
    const last = record.second === undefined ? undefined : await library.find(record.second);
    const wanted = second ?? (last && ({ kind: 'stored', disk: last } as const));
    await asking.withSources(record, (sources) =>
      this.#withSecond(
        wanted,
        async (located) => {
          const changed = await library.touch(record, { second: located?.record.id });
          await this.#runStored({ record: changed, sources }, located);
        },
        {
          without: () => this.#runStored({ record, sources }, undefined),
          why: `${record.name} had it as its second disk.`,
        },
      ),
    );
  }

  /** @param ask what to say where a person must be asked for what is below the second disk */
  async #withSecond(
    wanted: SecondDisk | undefined,
    go: (second: Located | undefined) => Promise<void>,
    ask: AskOptions = { without: () => go(undefined) },
  ): Promise<void> {
    if (wanted === undefined) return go(undefined);
    if (wanted.kind === 'folder') return go(await this.#diskOver({ kind: 'folder', folder: wanted.folder }));
    const { disk: record } = wanted;
    await this.#parts.asking.withSources(record, (sources) => go({ record, sources }), ask);
  }

  /** The disk that was made over this folder before goes on. */
  async #diskOver(source: Source & { kind: 'folder' }): Promise<Located> {
    const { library, spindle } = this.#parts;
    const sources = [source];
    const known = (await this.#listDisks()).find(({ layers }) => isStored(layers[0]!, source));
    if (known !== undefined) return { record: known, sources };
    const chain = await knownChain(spindle, [{ source, format: 'raw' }]);
    const choice = { name: source.folder.name, storage: this.#storage, device: 'hda', memory: DEFAULT_MEMORY } as const;
    return { record: await library.create(chain, choice), sources };
  }

  /** Disks that a machine can have beside its own. */
  async #attachable(): Promise<StoredDisk[]> {
    return (await this.#listDisks()).filter(({ device }) => device === 'hda');
  }

  async #listDisks(): Promise<StoredDisk[]> {
    const { storages, library } = this.#parts;
    return storages.indexeddb ? library.list() : [];
  }

  async #runStored(own: Located, second: Located | undefined, identity: Partial<Record<MachineDisk, Identity>> = {}) {
    const { record, sources } = own;
    await this.#parts.library.touch(record);
    const where = record.storage === 'opfs' ? 'this browser' : 'this browser’s IndexedDB';
    const note = `Changes are kept in ${where}; ${record.layers[0]!.name} is only read.`;
    const request: MachineRequest = {
      title: record.name,
      options: diskOptions(record, sources, identity.own),
      device: record.device,
      memory: record.memory,
      ...besideOf(second, note, identity.second),
    };
    await this.#run(request, (error, about) => {
      const disk = about === 'own' ? own : second!;
      const goOn = (found: Located, update: boolean): Promise<void> => {
        const next = { ...identity, ...(update && { [about]: 'update' as const }) };
        return about === 'own' ? this.#runStored(found, second, next) : this.#runStored(own, found, next);
      };
      const without = about === 'second' ? () => this.#runStored(own, undefined, identity) : undefined;
      return this.#waysOut(error, disk, goOn, without, () => this.bootStored(record));
    });
  }

  /** Buttons for a machine that could not start because of one of its disks. */
  #waysOut(
    error: unknown,
    { record, sources }: Located,
    goOn: (disk: Located, update: boolean) => Promise<void>,
    without: (() => Promise<void>) | undefined,
    again: () => Promise<void>,
  ): HTMLElement[] {
    const { asking, stage, spindle } = this.#parts;
    const guard = (work: () => Promise<void>): void => begin(stage.guarded(`Booting ${record.name}`, work));
    const retry = button('Try again', () => begin(again()), { icon: 'reset' });
    const leaveOut = without && button('Boot without it', () => guard(without), { 'data-testid': 'boot-without' });
    const others = leaveOut === undefined ? [] : [leaveOut];
    // After the page was loaded anew the passphrase of an encrypted base is asked for again.
    if (kindOf(error) === 'passphrase-needed') {
      const unlock = async (): Promise<void> => {
        const layers = record.layers.map(({ format }, index) => ({ source: sources[index]!, format }));
        await knownChain(spindle, layers);
        await goOn({ record, sources }, false);
      };
      return [button('Give the passphrase…', () => guard(unlock), { kind: 'primary' }), ...others];
    }
    if (kindOf(error) !== 'base-changed') return [retry, ...others];
    if (isFolderDisk(record))
      return [...this.startOverButtons(record, sources, (disk) => goOn(disk, false)), ...others];
    const update = button(
      'It is the right one: use it from now on',
      () => guard(() => goOn({ record, sources }, true)),
      { kind: 'danger' },
    );
    if (record.layers[0]!.from.kind !== 'file') return [retry, update, ...others];
    const choose = (): void =>
      begin(asking.withSources(record, (chosen) => goOn({ record, sources: chosen }, false), { again: true }));
    return [button('Choose another file…', choose, { kind: 'primary' }), update, ...others];
  }

  /** For a disk over a folder that has changed: nothing of what was written over it fits any more. */
  startOverButtons(
    record: StoredDisk,
    sources: readonly Source[],
    then: (disk: Located) => Promise<void>,
  ): HTMLElement[] {
    const { library, spindle, stage } = this.#parts;
    const startOver = async (): Promise<void> => {
      const yes = await confirmLoss(
        `Start over with ${record.name} as it is now?`,
        'Everything that machines wrote to this disk is lost. Your files stay as they are.',
        'Start over',
      );
      if (!yes) return;
      await stage.guarded(`Starting over with ${record.name}`, async () => {
        const chain = await knownChain(spindle, [{ source: sources[0]!, format: 'raw' }]);
        await then({ record: await library.startOverOn(record, chain), sources });
      });
    };
    const choose = button('Start over with the folder as it is now…', () => begin(startOver()), {
      kind: 'primary',
      'data-testid': 'start-over-folder',
    });
    return [choose];
  }

  async #run(
    request: MachineRequest,
    actions: readonly HTMLElement[] | ((error: unknown, about: MachineDisk) => HTMLElement[]),
  ): Promise<void> {
    let view: MachineView | undefined;
    await this.#parts.stage.guarded(
      `Booting ${request.title}`,
      async (turn) => {
        const { MachineView } = await import('./machine/machine-view.ts');
        if (!turn.isCurrent) return;
        view = new MachineView(request, () => this.#parts.home());
        this.#view = view;
        this.#parts.stage.show(view.element, `${request.title} – Spindle`, this.#held(view));
        document.body.classList.add('wide');
        await view.start(this.#parts.spindle, this.#parts.manifest);
      },
      (error) => (typeof actions === 'function' ? actions(error, view?.opening ?? 'own') : actions),
    );
  }

  #held(view: MachineView): { close(): Promise<void> } {
    return {
      close: () => {
        if (this.#view === view) this.#view = undefined;
        return view.close();
      },
    };
  }
}

function isOver(disk: StoredDisk, url: string): boolean {
  const from = disk.layers[0]?.from;
  return from?.kind === 'url' && from.url === url;
}

/** The second disk of a machine, and the words about it. */
function besideOf(
  second: Located | undefined,
  note: string,
  identity?: Identity,
): Pick<MachineRequest, 'second' | 'note'> {
  if (second === undefined) return { second: undefined, note };
  const { record, sources } = second;
  return {
    second: diskOptions(record, sources, identity),
    note: `${note} Second disk: ${record.name}; what the machine writes to it is kept too.`,
  };
}

function noStorage(): BlockError {
  return new BlockError(
    'unsupported',
    'This browser window keeps no files, so there is nowhere to put what the machine writes. Open the page in a window that is not private',
  );
}
