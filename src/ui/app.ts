/** What the page shows when, and what the buttons do. One view at a time; a view that holds a disk closes it when it goes. */
import type { Disk, Spindle } from '../client/index.ts';
import { BlockError } from '../block/error.ts';
import { chainOptions, knownChain, type Chain } from './images/chain.ts';
import { guessDevice } from './images/device.ts';
import { diskOptions, overlaySource, type Library, type StoredDisk } from './images/library.ts';
import { openChain, openingOf, openingOfFiles, readOnly, type Opening } from './images/opening.ts';
import { sourceName, type Source } from './images/source.ts';
import type { StorageChoice } from './images/storages.ts';
import { askBoot, DEFAULT_MEMORY, type BootChoice } from './inspect/boot-dialog.ts';
import { InspectorView } from './inspect/inspector-view.ts';
import type { MachineRequest, MachineView } from './machine/machine-view.ts';
import { confirmLoss } from './parts/confirm.ts';
import { button, h } from './parts/dom.ts';
import { errorView, kindOf } from './parts/error-view.ts';
import { askForBases, GivenFiles, sourcesOf } from './start/ask-base.ts';
import { demoUrl, type DemoImage, type DemoManifest } from './start/demo.ts';
import { acceptDrops } from './start/drop-zone.ts';
import { startView } from './start/start-view.ts';
import { begin } from './parts/begin.ts';

/** A view that holds something. */
interface Held {
  close(): Promise<void>;
}

export interface AppParts {
  readonly spindle: Spindle;
  readonly library: Library;
  readonly manifest: DemoManifest | undefined;
  readonly storages: StorageChoice;
  readonly main: HTMLElement;
}

/** What is known before a boot that nobody was asked about. */
type BootHints = Partial<BootChoice>;

export class App {
  readonly #parts: AppParts;
  readonly #given = new GivenFiles();
  #held: Held | undefined;
  #machine: MachineView | undefined;
  /** Counts navigations: what was started for an earlier one does not show itself any more. */
  #turn = 0;

  constructor(parts: AppParts) {
    this.#parts = parts;
    acceptDrops(
      () => parts.main.querySelector('.drop'),
      (files) => begin(this.openFiles(files)),
    );
    begin(
      parts.spindle.closed.then((error) => {
        if (error !== undefined) begin(this.#fail(error, 'Talking to the block layer'));
      }),
    );
  }

  // ── Start ──

  async showStart(notices: readonly HTMLElement[] = []): Promise<void> {
    const turn = await this.#leave();
    const disks = await this.#listDisks();
    if (turn !== this.#turn) return;
    const { manifest, storages } = this.#parts;
    const all = storages.opfs || storages.indexeddb ? notices : [...notices, privateNotice()];
    this.#show(
      startView(
        { manifest, disks, notices: all },
        {
          drop: { files: (files) => begin(this.openFiles(files)), url: (url) => begin(this.openUrl(url)) },
          demo: {
            boot: (image) => begin(this.bootDemo(image)),
            inspect: (image) =>
              begin(this.#inspect(openingOf({ kind: 'url', url: demoUrl(image.file) }, image.format))),
          },
          library: {
            boot: (disk) => begin(this.#bootStored(disk)),
            inspect: (disk) => begin(this.#inspectStored(disk)),
            startOver: (disk) => begin(this.#startOver(disk)),
            remove: (disk) => begin(this.#remove(disk)),
          },
        },
      ),
      'Spindle',
    );
  }

  async openFiles(files: readonly File[]): Promise<void> {
    this.#given.add(files);
    await this.#guarded(`Opening ${files.map(({ name }) => name).join(', ')}`, async () => {
      const opening = await openingOfFiles(this.#parts.spindle, files);
      await this.#inspect(opening);
    });
  }

  async openUrl(given: string): Promise<void> {
    await this.#guarded(`Opening ${given}`, () => this.#inspect(openingOf({ kind: 'url', url: absolute(given) })));
  }

  /** Boots an image at an address without asking; a disk that was made over it before goes on. */
  async bootUrl(given: string): Promise<void> {
    await this.#guarded(`Booting ${given}`, () =>
      this.#bootSource({ kind: 'url', url: absolute(given) }, undefined, {}),
    );
  }

  async bootDemo({ title, file, format, device, memory }: DemoImage): Promise<void> {
    const source: Source = { kind: 'url', url: demoUrl(file) };
    await this.#guarded(`Booting ${title}`, () => this.#bootSource(source, format, { name: title, device, memory }));
  }

  // ── Before the page goes ──

  /** Bytes that a guest wrote and that a closed tab would lose. */
  get unflushed(): number {
    return this.#machine?.unflushed ?? 0;
  }

  async flush(): Promise<void> {
    await this.#machine?.flush();
  }

  // ── Looking inside ──

  async #inspect(opening: Opening, withoutBase = false): Promise<void> {
    const title = sourceName(opening.top);
    await this.#guarded(`Opening ${title}`, async (turn) => {
      const { chain, disk } = await openChain(this.#parts.spindle, opening, withoutBase);
      const { missing } = chain;
      await this.#showInspector(turn, title, chain, disk, false, {
        boot: () => begin(this.#askAndBoot(chain, disk!, { name: title })),
        choose: (file) => {
          this.#given.add([file]);
          opening.pool.answer(missing!.reference, { kind: 'file', file });
          begin(this.#inspect(opening));
        },
        allowUrl: () => {
          opening.pool.answer(missing!.reference, { kind: 'url', url: missing!.url! });
          begin(this.#inspect(opening));
        },
        withoutBase: () => begin(this.#inspect(opening, true)),
      });
    });
  }

  async #inspectStored(record: StoredDisk): Promise<void> {
    await this.#withSources(record, (sources) =>
      this.#guarded(`Opening ${record.name}`, async (turn) => {
        const { spindle } = this.#parts;
        const layers = record.layers.map(({ format }, index) => ({ source: sources[index]!, format }));
        const chain = await knownChain(spindle, [{ source: overlaySource(record), format: 'qcow2' }, ...layers]);
        const disk = await spindle.open(diskOptions(record, sources), { check: true });
        await this.#showInspector(turn, record.name, chain, disk, true, {
          boot: () => begin(this.#askAndBootStored(record, sources)),
        });
      }),
    );
  }

  async #showInspector(
    turn: number,
    title: string,
    chain: Chain,
    disk: Disk | undefined,
    owned: boolean,
    actions: Pick<ConstructorParameters<typeof InspectorView>[1], 'boot'> &
      Partial<ConstructorParameters<typeof InspectorView>[1]>,
  ): Promise<void> {
    if (turn !== this.#turn) {
      await disk?.close();
      return;
    }
    const nothing = (): void => undefined;
    const view = new InspectorView(
      { title, chain, disk, owned },
      { choose: nothing, allowUrl: nothing, withoutBase: nothing, back: () => begin(this.showStart()), ...actions },
    );
    this.#held = view;
    this.#show(view.element, `${title} – Spindle`);
    await view.start();
  }

  // ── Booting ──

  async #askAndBoot(chain: Chain, disk: Disk, hints: BootHints): Promise<void> {
    const suggested = await this.#suggest(chain, disk, hints);
    const choice = await askBoot(suggested, this.#parts.storages);
    if (choice === undefined) return;
    await this.#guarded(`Booting ${choice.name}`, () => this.#bootChain(chain, choice));
  }

  async #bootSource(source: Source & { kind: 'url' }, format: string | undefined, hints: BootHints): Promise<void> {
    const known = (await this.#listDisks()).find((disk) => {
      const from = disk.layers[0]?.from;
      return from?.kind === 'url' && from.url === source.url;
    });
    if (known !== undefined) return this.#bootStored(known);
    const opening = openingOf(source, format);
    const { chain, disk } = await openChain(this.#parts.spindle, opening, false);
    if (disk === undefined) return this.#inspect(opening);
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
      storage: hints.storage ?? (this.#parts.storages.opfs ? 'opfs' : 'indexeddb'),
    };
  }

  async #bootChain(chain: Chain, choice: BootChoice): Promise<void> {
    if (choice.device === 'cdrom') {
      await this.#run({
        title: choice.name,
        options: readOnly(chainOptions(chain.layers, chain.missing)),
        device: 'cdrom',
        memory: choice.memory,
        note: 'A CD is only read: there is nothing to keep.',
      });
      return;
    }
    if (!this.#parts.storages.opfs && !this.#parts.storages.indexeddb) throw noStorage();
    const record = await this.#parts.library.create(chain, choice);
    await this.#runStored(
      record,
      chain.layers.map(({ source }) => source),
    );
  }

  async #askAndBootStored(record: StoredDisk, sources: readonly Source[]): Promise<void> {
    // Where the overlay is kept cannot be changed any more.
    const storages = { opfs: record.storage === 'opfs', indexeddb: record.storage === 'indexeddb' };
    const choice = await askBoot(record, storages);
    if (choice === undefined) return;
    await this.#guarded(`Booting ${choice.name}`, async () => {
      const { name, device, memory } = choice;
      await this.#runStored(await this.#parts.library.touch(record, { name, device, memory }), sources);
    });
  }

  async #bootStored(record: StoredDisk): Promise<void> {
    await this.#withSources(record, (sources) => this.#runStored(record, sources));
  }

  async #runStored(
    record: StoredDisk,
    sources: readonly Source[],
    identity: 'check' | 'update' = 'check',
  ): Promise<void> {
    await this.#parts.library.touch(record);
    const base = record.layers[0]!;
    const where = record.storage === 'opfs' ? 'this browser' : 'this browser’s IndexedDB';
    const request: MachineRequest = {
      title: record.name,
      options: diskOptions(record, sources, identity),
      device: record.device,
      memory: record.memory,
      note: `Changes are kept in ${where}; ${base.name} is only read.`,
    };
    const actions = (error: unknown): HTMLElement[] => {
      const again = button('Try again', () => begin(this.#bootStored(record)), { icon: 'reset' });
      // After the page was loaded anew the passphrase of an encrypted base is asked for again.
      if (kindOf(error) === 'passphrase-needed') {
        return [button('Give the passphrase…', () => begin(this.#unlockAndRun(record, sources)), { kind: 'primary' })];
      }
      if (kindOf(error) !== 'base-changed') return [again];
      const update = button(
        'It is the right one: use it from now on',
        () => begin(this.#runStored(record, sources, 'update')),
        { kind: 'danger' },
      );
      if (base.from.kind !== 'file') return [again, update];
      const other = button(
        'Choose another file…',
        () =>
          this.#askBases(
            record,
            record.layers.map(() => undefined),
            (chosen) => this.#runStored(record, chosen),
          ),
        { kind: 'primary' },
      );
      return [other, update];
    };
    await this.#run(request, actions);
  }

  async #unlockAndRun(record: StoredDisk, sources: readonly Source[]): Promise<void> {
    await this.#guarded(`Booting ${record.name}`, async () => {
      const layers = record.layers.map(({ format }, index) => ({ source: sources[index]!, format }));
      await knownChain(this.#parts.spindle, layers);
      await this.#runStored(record, sources);
    });
  }

  async #run(request: MachineRequest, actions: (error: unknown) => HTMLElement[] = () => []): Promise<void> {
    const what = `Booting ${request.title}`;
    await this.#guarded(
      what,
      async (turn) => {
        const { MachineView } = await import('./machine/machine-view.ts');
        if (turn !== this.#turn) return;
        const view = new MachineView(request, () => this.showStart());
        this.#held = view;
        this.#machine = view;
        this.#show(view.element, `${request.title} – Spindle`);
        document.body.classList.add('wide');
        await view.start(this.#parts.spindle, this.#parts.manifest);
      },
      actions,
    );
  }

  // ── Disks of one's own ──

  async #withSources(record: StoredDisk, go: (sources: readonly Source[]) => Promise<void>): Promise<void> {
    const sources = sourcesOf(record, this.#given);
    if (sources.every((source) => source !== undefined)) return go(sources);
    this.#askBases(record, sources, go);
  }

  #askBases(
    record: StoredDisk,
    sources: (Source | undefined)[],
    go: (sources: readonly Source[]) => Promise<void>,
  ): void {
    const chosen = (all: readonly Source[]): void => {
      this.#given.add(all.flatMap((source) => (source.kind === 'file' ? [source.file] : [])));
      begin(this.#guarded(`Opening ${record.name}`, () => go(all)));
    };
    begin(
      this.#leave().then(() =>
        this.#show(
          askForBases(record, sources, chosen, () => begin(this.showStart())),
          `${record.name} – Spindle`,
        ),
      ),
    );
  }

  async #startOver(record: StoredDisk): Promise<void> {
    const yes = await confirmLoss(
      `Start over with ${record.name}?`,
      'Everything that the machine wrote to this disk is lost. The image below it stays as it is.',
      'Start over',
    );
    if (yes)
      await this.#changeLibrary(`Starting over with ${record.name}`, () => this.#parts.library.startOver(record));
  }

  async #remove(record: StoredDisk): Promise<void> {
    const yes = await confirmLoss(
      `Delete ${record.name}?`,
      'The disk and everything that the machine wrote to it are lost. The image below it stays as it is.',
      'Delete',
    );
    if (yes) await this.#changeLibrary(`Deleting ${record.name}`, () => this.#parts.library.remove(record));
  }

  async #changeLibrary(what: string, change: () => Promise<void>): Promise<void> {
    await this.#guarded(what, async () => {
      await change();
      await this.showStart();
    });
  }

  async #listDisks(): Promise<StoredDisk[]> {
    return this.#parts.storages.indexeddb ? this.#parts.library.list() : [];
  }

  // ── Views ──

  /** Runs something that shows itself when it is done; until then the page says what it waits for. */
  async #guarded(
    what: string,
    work: (turn: number) => Promise<void>,
    actions: (error: unknown) => HTMLElement[] = () => [],
  ): Promise<void> {
    try {
      const turn = await this.#leave();
      this.#show(
        h(
          'div',
          { class: 'busy', role: 'status', 'data-testid': 'busy' },
          h('span', { class: 'spinner', 'aria-hidden': 'true' }),
          `${what}…`,
        ),
        undefined,
      );
      await work(turn);
    } catch (error) {
      await this.#fail(error, what, actions(error));
    }
  }

  async #fail(error: unknown, what: string, actions: readonly HTMLElement[] = []): Promise<void> {
    await this.showStart([errorView(error, what, actions)]);
    window.scrollTo({ top: 0 });
  }

  /** Closes what the present view holds. */
  async #leave(): Promise<number> {
    const held = this.#held;
    this.#held = undefined;
    this.#machine = undefined;
    document.body.classList.remove('wide');
    this.#turn++;
    const turn = this.#turn;
    await held?.close();
    return turn;
  }

  #show(view: HTMLElement, title: string | undefined): void {
    this.#parts.main.replaceChildren(view);
    if (title !== undefined) document.title = title;
    // A screen reader and the Tab key go on at the top of what is new.
    this.#parts.main.focus({ preventScroll: true });
  }
}

function absolute(url: string): string {
  if (URL.canParse(url, document.baseURI)) return new URL(url, document.baseURI).href;
  throw new BlockError('invalid', `'${url}' is not an address`, { filename: url });
}

function noStorage(): BlockError {
  return new BlockError(
    'unsupported',
    'This browser window keeps no files, so there is nowhere to put what the machine writes. Open the page in a window that is not private',
  );
}

function privateNotice(): HTMLElement {
  return h(
    'div',
    { class: 'notice warn', role: 'note', 'data-testid': 'no-storage' },
    h('h2', {}, 'This window keeps nothing'),
    h(
      'p',
      {},
      'The browser gives this page no storage, as in a private window. You can look inside images and boot CDs; to keep a machine’s disk, open the page in an ordinary window.',
    ),
  );
}
