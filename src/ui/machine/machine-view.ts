/** A machine with all that is around it: screen, terminal, disk lights, buttons, and what to do when its disk fails. */
import type { Disk, Spindle } from '../../client/index.ts';
import type { DriveErrorEvent } from '../../emulator/v86/index.ts';
import type { Device } from '../images/device.ts';
import { button, h, relabel } from '../parts/dom.ts';
import { errorView } from '../parts/error-view.ts';
import { baseName, size } from '../parts/text.ts';
import type { DemoManifest } from '../start/demo.ts';
import { DownloadPanel } from '../inspect/download-panel.ts';
import { SnapshotsPanel } from '../snapshots/snapshots-panel.ts';
import { Lights } from './lights.ts';
import { Machine, secondDrive, type MachineState } from './machine.ts';
import { loadParts, type MachineParts } from './parts.ts';
import { ScreenView } from './screen-view.ts';
import { TerminalView } from './terminal-view.ts';
import { begin } from '../parts/begin.ts';

export interface MachineRequest {
  readonly title: string;
  readonly options: Parameters<Spindle['open']>[0];
  readonly device: Device;
  /** Bytes. */
  readonly memory: number;
  /** A hard disk beside it. */
  readonly second: Parameters<Spindle['open']>[0] | undefined;
  /** Said below the title: where changes go. */
  readonly note: string;
}

/** One of a machine's disks. */
export type MachineDisk = 'own' | 'second';

const STATE_WORDS: Readonly<Record<MachineState, string>> = {
  running: 'Running',
  paused: 'Paused',
  stopped: 'Stopped by a disk error',
  off: 'Off',
};

export class MachineView {
  readonly element: HTMLElement;
  readonly #request: MachineRequest;
  readonly #lights = new Lights();
  readonly #screen = new ScreenView();
  readonly #terminal: TerminalView;
  readonly #status = h('span', { class: 'badge', role: 'status', 'data-testid': 'machine-state' }, 'Starting');
  readonly #problems = h('div', { class: 'view', 'data-testid': 'machine-problems', hidden: true });
  readonly #pause = button('Pause', () => begin(this.#do('Pausing', () => this.#togglePause())), {
    icon: 'pause',
    'data-testid': 'pause',
  });
  readonly #reset = button('Reset', () => this.#machine?.reset(), { icon: 'reset', 'data-testid': 'reset' });
  readonly #power = button('Power off', () => begin(this.#do('Powering off', () => this.#onPowerOff())), {
    icon: 'power',
    'data-testid': 'power-off',
  });
  readonly #full = button('Full screen', () => begin(this.#screen.fullScreen()), { icon: 'expand' });
  readonly #download: DownloadPanel;
  readonly #below = h('div', { class: 'columns' });
  #snapshots: SnapshotsPanel | undefined;
  readonly #onPowerOff: () => Promise<void>;
  #machine: Machine | undefined;
  #opening: MachineDisk = 'own';
  #waitsForDownload = false;

  /** @param powerOff what the button does; it ends in `close` */
  constructor(request: MachineRequest, powerOff: () => Promise<void>) {
    this.#request = request;
    this.#onPowerOff = powerOff;
    this.#terminal = new TerminalView((text) => this.#machine?.send(text));
    this.#download = new DownloadPanel(baseName(request.title), {
      begin: () => this.#standStill(),
      end: () => this.#goOn(),
    });
    this.element = h(
      'div',
      { class: 'view', 'data-testid': 'machine' },
      h(
        'div',
        { class: 'panel-head' },
        h(
          'div',
          { class: 'title' },
          h('h1', {}, request.title),
          this.#status,
          h('span', { class: 'muted small' }, request.note),
        ),
        h('div', { class: 'actions' }, this.#pause, this.#reset, this.#full, this.#power),
      ),
      this.#problems,
      h(
        'div',
        { class: 'machine-bar' },
        this.#lights.element,
        h('span', { class: 'spacer' }),
        h('span', { class: 'muted small' }, `${size(request.memory)} of memory`),
      ),
      h('div', { class: 'panes' }, this.#screen.element, this.#terminal.element),
      this.#below,
    );
    this.#below.append(this.#download.element);
    this.#enable(false);
  }

  /** Opens the disks and starts. @throws BlockError whatever keeps it from starting; nothing stays open then */
  async start(spindle: Spindle, manifest: DemoManifest | undefined): Promise<void> {
    this.#terminal.open();
    const parts = await loadParts(manifest);
    const disk = await spindle.open(this.#request.options);
    try {
      this.#machine = await this.#startWith(parts, disk, await this.#openSecond(spindle));
    } catch (error) {
      await disk.close();
      throw error;
    }
    this.#download.setDisk(disk);
    await this.#offerSnapshots(disk);
    this.#screen.connect(this.#machine.emulator);
    this.#enable(true);
    this.#terminal.focus();
  }

  async #openSecond(spindle: Spindle): Promise<Disk | undefined> {
    const { second } = this.#request;
    if (second === undefined) return undefined;
    this.#opening = 'second';
    const disk = await spindle.open(second);
    this.#opening = 'own';
    return disk;
  }

  /** Which disk a failed start was about. */
  get opening(): MachineDisk {
    return this.#opening;
  }

  async #startWith(parts: MachineParts, disk: Disk, second: Disk | undefined): Promise<Machine> {
    const { device, memory } = this.#request;
    try {
      return await Machine.start(
        parts,
        { disk, device, second, memory, screen: this.#screen.container },
        {
          serial: (byte) => this.#terminal.feed(byte),
          activity: (kind, bytes) => this.#lights.flash(kind, bytes),
          unflushed: (bytes) => this.#lights.setUnflushed(bytes),
          state: (state) => this.#show(state),
          diskError: (event) => this.#diskFailed(event),
        },
      );
    } catch (error) {
      await second?.close();
      throw error;
    }
  }

  /** Only where the machine's own image can hold them. */
  async #offerSnapshots(disk: Disk): Promise<void> {
    if (disk.readOnly || disk.format !== 'qcow2') return;
    const beside = this.#request.second === undefined ? '' : '; its second disk stays as it is';
    this.#snapshots = new SnapshotsPanel(
      {
        list: () => disk.snapshots.list(),
        change: {
          save: async (name) => void (await this.#machine!.saveSnapshot(name)),
          restore: ({ id }) => this.#machine!.restoreSnapshot(id),
          delete: ({ id }) => disk.snapshots.delete(id),
        },
      },
      {
        about: `Keeps the machine and its disk as they are, together. Restoring one brings both back${beside}.`,
        loss: 'What the machine has done and written since then is lost, unless you save a snapshot of it before.',
      },
    );
    this.#below.prepend(this.#snapshots.element);
    await this.#snapshots.read();
  }

  get title(): string {
    return this.#request.title;
  }

  get unflushed(): number {
    return this.#machine?.unflushed ?? 0;
  }

  /** Before the page is hidden or left: everything onto stable storage, as far as there is time. */
  async flush(): Promise<void> {
    await this.#machine?.flush();
  }

  /** Powers off and closes the disks. */
  async close(): Promise<void> {
    this.#enable(false);
    this.#screen.disconnect();
    this.#download.cancel();
    try {
      await this.#machine?.powerOff();
    } finally {
      this.#terminal.dispose();
    }
  }

  async #togglePause(): Promise<void> {
    if (this.#machine?.state === 'running') await this.#machine.pause();
    else await this.#machine?.resume();
  }

  /** A download is of one moment: the machine waits until it is done. One that was paused before stays so. */
  async #standStill(): Promise<void> {
    this.#waitsForDownload = this.#machine?.state === 'running';
    this.#enable(false);
    await this.#machine?.pause();
  }

  async #goOn(): Promise<void> {
    if (this.#machine === undefined || this.#machine.state === 'off') return;
    this.#enable(true);
    if (this.#waitsForDownload) await this.#machine.resume();
  }

  #show(state: MachineState): void {
    this.#status.textContent = STATE_WORDS[state];
    const runs = state === 'running';
    relabel(this.#pause, runs ? 'Pause' : 'Resume', runs ? 'pause' : 'play');
    if (runs) this.#problems.hidden = true;
  }

  #diskFailed(event: DriveErrorEvent): void {
    const stopped = event.action === 'stop';
    const { second, device } = this.#request;
    const disk = second !== undefined && event.drive === secondDrive(device) ? 'second disk' : 'disk';
    const what = stopped
      ? `The machine stands still because its ${disk} could not ${event.operation}`
      : `The guest was told that its ${disk} could not ${event.operation}`;
    const resume = button('Resume', () => begin(this.#do('Resuming', () => this.#machine!.resume())), {
      kind: 'primary',
      icon: 'play',
      'data-testid': 'resume',
    });
    const dismiss = button('Dismiss', () => (this.#problems.hidden = true));
    this.#problems.replaceChildren(errorView(event.error, what, [stopped ? resume : dismiss]));
    this.#problems.hidden = false;
  }

  #enable(enabled: boolean): void {
    for (const each of [this.#pause, this.#reset, this.#power, this.#full]) each.disabled = !enabled;
    this.#snapshots?.enable(enabled);
  }

  async #do(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#problems.replaceChildren(errorView(error, what, [button('Dismiss', () => (this.#problems.hidden = true))]));
      this.#problems.hidden = false;
    }
  }
}
