/** What the page shows when, and what the buttons do, but for machines: those have a file of their own. */
import type { Archive, Disk, Spindle } from '../client/index.ts';
import { BlockError } from '../block/error.ts';
import { Asking } from './asking.ts';
import { knownChain, type Chain } from './images/chain.ts';
import { filesAround, folderOfChosen, readFolder, type FileInside, type GivenFolder } from './images/folder.ts';
import { diskOptions, isFolderDisk, overlaySource, type Library, type StoredDisk } from './images/library.ts';
import { openChain, openingOf, openingOfSources, type Opening } from './images/opening.ts';
import { protocolOptions, sourceName, type Source } from './images/source.ts';
import type { StorageChoice } from './images/storages.ts';
import { deleteUnpacked, freeSpace, listUnpacked, unpackedSource, type UnpackedImage } from './images/unpacked.ts';
import { InspectorView } from './inspect/inspector-view.ts';
import { Machines } from './machines.ts';
import { begin } from './parts/begin.ts';
import { confirmLoss } from './parts/confirm.ts';
import { h } from './parts/dom.ts';
import { errorView, kindOf } from './parts/error-view.ts';
import { Stage, type Turn } from './parts/stage.ts';
import { count } from './parts/text.ts';
import { GivenSources } from './start/ask-base.ts';
import { demoUrl, type DemoImage, type DemoManifest } from './start/demo.ts';
import { acceptDrops, type Dropped } from './start/drop-zone.ts';
import { startView } from './start/start-view.ts';
import { UnpackView } from './unpack/unpack-view.ts';

export interface AppParts {
  readonly spindle: Spindle;
  readonly library: Library;
  readonly manifest: DemoManifest | undefined;
  readonly storages: StorageChoice;
  readonly main: HTMLElement;
}

export class App {
  readonly #parts: AppParts;
  readonly #stage: Stage;
  readonly #given = new GivenSources();
  readonly #asking: Asking;
  readonly #machines: Machines;

  constructor(parts: AppParts) {
    this.#parts = parts;
    this.#stage = new Stage(parts.main, (notice) => this.showStart([notice]));
    const home = (): Promise<void> => this.showStart();
    this.#asking = new Asking(this.#stage, this.#given, home);
    this.#machines = new Machines({
      ...parts,
      stage: this.#stage,
      asking: this.#asking,
      inspect: (opening) => this.#inspect(opening),
      home,
    });
    acceptDrops(
      () => parts.main.querySelector('.drop'),
      (dropped) => begin(this.openDropped(dropped)),
    );
    begin(
      parts.spindle.closed.then((error) => {
        if (error !== undefined) begin(this.#stage.fail(error, 'Talking to the block layer'));
      }),
    );
  }

  // ── Start ──

  async showStart(notices: readonly HTMLElement[] = []): Promise<void> {
    const turn = await this.#stage.leave();
    const all = [...notices];
    const [disks, images] = await Promise.all([this.#listDisks(), this.#listUnpacked(all)]);
    if (!turn.isCurrent) return;
    const { manifest, storages } = this.#parts;
    if (!storages.opfs && !storages.indexeddb) all.push(privateNotice());
    this.#stage.show(
      startView(
        { manifest, disks, images, notices: all },
        {
          drop: {
            files: (files) => begin(this.openFiles(files)),
            folder: (files) => begin(this.openChosenFolder(files)),
            url: (url) => begin(this.openUrl(url)),
          },
          demo: {
            boot: (image) => begin(this.bootDemo(image)),
            inspect: (image) =>
              begin(this.#inspect(openingOf({ kind: 'url', url: demoUrl(image.file) }, image.format))),
          },
          library: {
            boot: (disk) => begin(this.#machines.bootStored(disk)),
            inspect: (disk) => begin(this.#inspectStored(disk)),
            startOver: (disk) => begin(this.#startOver(disk)),
            remove: (disk) => begin(this.#remove(disk)),
          },
          images: {
            inspect: ({ name }) => begin(this.#openSources([unpackedSource(name)])),
            remove: ({ name }) => begin(this.#removeUnpacked(name)),
          },
        },
      ),
      'Spindle',
    );
  }

  // ── Opening ──

  async openDropped(dropped: Dropped): Promise<void> {
    if (!(await this.#mayLeaveMachine())) return;
    if (dropped.files !== undefined) return this.openFiles(dropped.files);
    const abort = new AbortController();
    await this.#stage.guarded('Reading the folder', async (turn) => {
      const say = turn.busy('Reading the folder…', () => abort.abort());
      const onProgress = (files: number): void => {
        if (!turn.isCurrent) abort.abort();
        say(`Reading the folder: ${count(files)} files…`);
      };
      let folder: GivenFolder;
      try {
        folder = await readFolder(dropped.entries, abort.signal, onProgress);
      } catch (error) {
        if (kindOf(error) !== 'aborted' || !turn.isCurrent) throw error;
        return this.showStart();
      }
      if (turn.isCurrent) await this.#openFolder(folder);
    });
  }

  /** Something is dropped easily where it was not meant: a machine that runs is not switched off by that alone. */
  async #mayLeaveMachine(): Promise<boolean> {
    const { running } = this.#machines;
    if (running === undefined) return true;
    return confirmLoss(
      `Power off ${running} and open what you dropped?`,
      'The machine is switched off without being asked. What it wrote to its disk is kept.',
      'Power off and open',
    );
  }

  async openChosenFolder(files: readonly File[]): Promise<void> {
    await this.#stage.guarded('Reading the folder', () => this.#openFolder(folderOfChosen(files)));
  }

  async #openFolder(folder: GivenFolder): Promise<void> {
    const source: Source = { kind: 'folder', folder };
    this.#given.add([source]);
    await this.#inspect(openingOf(source, 'raw'));
  }

  /** Opens an image in a folder, with everything beside it at hand. */
  async #openInside({ path, file }: FileInside, within: Source): Promise<void> {
    if (within.kind !== 'folder') return;
    const sources = filesAround(within.folder, path).map((each): Source => ({ kind: 'file', file: each }));
    this.#given.add(sources);
    const opening = openingOf({ kind: 'file', file });
    for (const source of sources) opening.pool.add(source);
    await this.#inspect(opening);
  }

  async openFiles(files: readonly File[]): Promise<void> {
    const sources = files.map((file): Source => ({ kind: 'file', file }));
    this.#given.add(sources);
    await this.#openSources(sources);
  }

  async openUrl(given: string): Promise<void> {
    await this.#stage.guarded(`Opening ${given}`, () => this.#openSources([{ kind: 'url', url: absolute(given) }]));
  }

  /**
   * Opens what was given together: archives among them are unpacked first, one after the other.
   *
   * @param asTheyAre archives that are opened as images
   */
  async #openSources(sources: readonly Source[], asTheyAre: readonly Source[] = []): Promise<void> {
    await this.#stage.guarded(`Opening ${sources.map(sourceName).join(', ')}`, async (turn) => {
      const { spindle } = this.#parts;
      for (const source of sources.filter((each) => !asTheyAre.includes(each))) {
        const archive = await spindle.probeArchive(protocolOptions(source));
        if (archive !== undefined) return this.#offerToUnpack(turn, { source, archive }, sources, asTheyAre);
      }
      const opening = await openingOfSources(spindle, sources);
      if (turn.isCurrent) await this.#inspect(opening);
    });
  }

  async #offerToUnpack(
    turn: Turn,
    { source, archive }: { readonly source: Source; readonly archive: Archive },
    sources: readonly Source[],
    asTheyAre: readonly Source[],
  ): Promise<void> {
    const { spindle, storages } = this.#parts;
    if (!storages.opfs) throw noFiles(archive);
    const free = await freeSpace(spindle);
    if (!turn.isCurrent) return;
    const replaced = (image: Source): void =>
      begin(
        this.#openSources(
          sources.map((each) => (each === source ? image : each)),
          asTheyAre,
        ),
      );
    const view = new UnpackView(
      spindle,
      { source, archive, free },
      {
        back: () => begin(this.showStart()),
        asItIs: () => begin(this.#openSources(sources, [...asTheyAre, source])),
        open: (name) => replaced(unpackedSource(name)),
        done: replaced,
        mayReplace: (name) => this.#confirmLossOf(name, `Replace ${name}?`, 'Replace'),
      },
    );
    this.#stage.show(view.element, `${sourceName(source)} – Spindle`, view);
  }

  /** Boots an image at an address without asking; a disk that was made over it before goes on. */
  async bootUrl(given: string): Promise<void> {
    await this.#stage.guarded(`Booting ${given}`, async () => {
      const source = { kind: 'url', url: absolute(given) } as const;
      const archive = await this.#parts.spindle.probeArchive(protocolOptions(source));
      if (archive !== undefined) await this.#openSources([source]);
      else await this.#machines.bootSource(source, undefined);
    });
  }

  bootDemo(image: DemoImage): Promise<void> {
    return this.#machines.bootDemo(image);
  }

  // ── Before the page goes ──

  /** Bytes that a guest wrote and that a closed tab would lose. */
  get unflushed(): number {
    return this.#machines.unflushed;
  }

  flush(): Promise<void> {
    return this.#machines.flush();
  }

  // ── Looking inside ──

  async #inspect(opening: Opening, withoutBase = false): Promise<void> {
    const title = sourceName(opening.top);
    await this.#stage.guarded(`Opening ${title}`, async (turn) => {
      const { chain, disk } = await openChain(this.#parts.spindle, opening, withoutBase);
      const { missing } = chain;
      const { top } = opening;
      await this.#showInspector(turn, title, chain, disk, false, {
        boot: () =>
          begin(
            top.kind === 'folder' ? this.#machines.askMachineFor(top) : this.#machines.askAndBoot(chain, disk!, title),
          ),
        choose: (files) => {
          const chosen = files.map((file): Source => ({ kind: 'file', file }));
          this.#given.add(chosen);
          for (const source of chosen) opening.pool.add(source);
          // One for one is meant, whatever it is called.
          if (missing!.files.length === 1) opening.pool.answer(missing!.files[0]!.reference, chosen[0]!);
          begin(this.#inspect(opening));
        },
        allowUrl: () => {
          for (const { reference, url } of missing!.files) opening.pool.answer(reference, { kind: 'url', url: url! });
          begin(this.#inspect(opening));
        },
        withoutBase: () => begin(this.#inspect(opening, true)),
        openInside: (image) => begin(this.#openInside(image, top)),
      });
    });
  }

  async #inspectStored(record: StoredDisk): Promise<void> {
    await this.#asking.withSources(record, (sources) => this.#inspectLocated(record, sources));
  }

  async #inspectLocated(record: StoredDisk, sources: readonly Source[]): Promise<void> {
    const startOver = (): HTMLElement[] =>
      this.#machines.startOverButtons(record, sources, (disk) => this.#inspectLocated(disk.record, disk.sources));
    await this.#stage.guarded(
      `Opening ${record.name}`,
      async (turn) => {
        const { spindle } = this.#parts;
        const layers = record.layers.map(({ format }, index) => ({ source: sources[index]!, format }));
        const chain = await knownChain(spindle, [{ source: overlaySource(record), format: 'qcow2' }, ...layers]);
        const disk = await spindle.open(diskOptions(record, sources), { check: true });
        await this.#showInspector(turn, record.name, chain, disk, true, {
          boot: () => begin(this.#machines.askAndBootStored(record, sources)),
        });
      },
      (error) => (kindOf(error) === 'base-changed' && isFolderDisk(record) ? startOver() : []),
    );
  }

  async #showInspector(
    turn: Turn,
    title: string,
    chain: Chain,
    disk: Disk | undefined,
    owned: boolean,
    actions: Pick<ConstructorParameters<typeof InspectorView>[1], 'boot'> &
      Partial<ConstructorParameters<typeof InspectorView>[1]>,
  ): Promise<void> {
    if (!turn.isCurrent) {
      await disk?.close();
      return;
    }
    const nothing = (): void => undefined;
    const view = new InspectorView(
      { title, chain, disk, owned },
      {
        choose: nothing,
        allowUrl: nothing,
        withoutBase: nothing,
        openInside: nothing,
        back: () => begin(this.showStart()),
        ...actions,
      },
    );
    this.#stage.show(view.element, `${title} – Spindle`, view);
    await view.start();
  }

  // ── Disks and images of one's own ──

  async #startOver(record: StoredDisk): Promise<void> {
    const yes = await confirmLoss(
      `Start over with ${record.name}?`,
      'Everything that the machine wrote to this disk is lost. What is below it stays as it is.',
      'Start over',
    );
    if (yes) await this.#change(`Starting over with ${record.name}`, () => this.#parts.library.startOver(record));
  }

  async #remove(record: StoredDisk): Promise<void> {
    const yes = await confirmLoss(
      `Delete ${record.name}?`,
      'The disk and everything that the machine wrote to it are lost. What is below it stays as it is.',
      'Delete',
    );
    if (yes) await this.#change(`Deleting ${record.name}`, () => this.#parts.library.remove(record));
  }

  async #removeUnpacked(name: string): Promise<void> {
    const yes = await this.#confirmLossOf(name, `Delete ${name}?`, 'Delete');
    if (yes) await this.#change(`Deleting ${name}`, () => deleteUnpacked(this.#parts.spindle, name));
  }

  /** Asks before an unpacked image goes, and says what stands on it. */
  async #confirmLossOf(name: string, question: string, yes: string): Promise<boolean> {
    const { path } = unpackedSource(name);
    const disks = (await this.#listDisks()).filter(({ layers }) =>
      layers.some(({ from }) => from.kind === 'opfs' && from.path === path),
    );
    const names = disks.map((disk) => disk.name).join(', ');
    const lost =
      disks.length === 0
        ? 'No disk of yours stands on this unpacked image. The file that it was unpacked from stays as it is.'
        : `Disks of yours stand on it and cannot be used without it: ${names}.`;
    return confirmLoss(question, lost, yes);
  }

  async #change(what: string, change: () => Promise<void>): Promise<void> {
    await this.#stage.guarded(what, async () => {
      await change();
      await this.showStart();
    });
  }

  async #listDisks(): Promise<StoredDisk[]> {
    return this.#parts.storages.indexeddb ? this.#parts.library.list() : [];
  }

  /** @param notices gets what went wrong: the page is shown all the same */
  async #listUnpacked(notices: HTMLElement[]): Promise<UnpackedImage[]> {
    if (!this.#parts.storages.opfs) return [];
    try {
      return await listUnpacked(this.#parts.spindle);
    } catch (error) {
      // When the worker is gone, that is shown already.
      if (kindOf(error) !== 'closed') notices.push(errorView(error, 'Listing the unpacked images'));
      return [];
    }
  }
}

function absolute(url: string): string {
  if (URL.canParse(url, document.baseURI)) return new URL(url, document.baseURI).href;
  throw new BlockError('invalid', `'${url}' is not an address`, { filename: url });
}

function noFiles({ kind, name }: Archive): BlockError {
  return new BlockError(
    'unsupported',
    `${name} is packed in a ${kind} file, and this browser window keeps no files to unpack it into. Unpack it on your computer, and drop the image`,
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
