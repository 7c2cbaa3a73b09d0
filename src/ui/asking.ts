/** Getting the sources of stored disks, if need be from the person in front of the page. */
import type { StoredDisk } from './images/library.ts';
import type { Source } from './images/source.ts';
import { begin } from './parts/begin.ts';
import type { Stage } from './parts/stage.ts';
import { askForBases, sourcesOf, type GivenSources } from './start/ask-base.ts';

type Go = (sources: readonly Source[]) => Promise<void>;

export interface AskOptions {
  /** Goes on without the disk, where that makes sense. */
  readonly without?: (() => Promise<void>) | undefined;
  /** Why it is needed, where that is not plain: a sentence. */
  readonly why?: string | undefined;
  /** Asks for what was given already too: it was the wrong one. */
  readonly again?: boolean;
}

export class Asking {
  readonly #stage: Stage;
  readonly #given: GivenSources;
  readonly #home: () => Promise<void>;

  constructor(stage: Stage, given: GivenSources, home: () => Promise<void>) {
    this.#stage = stage;
    this.#given = given;
    this.#home = home;
  }

  /** Goes on at once where everything is known. */
  async withSources(record: StoredDisk, go: Go, { without, why, again = false }: AskOptions = {}): Promise<void> {
    const sources = again ? record.layers.map(() => undefined) : sourcesOf(record, this.#given);
    if (sources.every((source) => source !== undefined)) return go(sources);
    await this.#stage.leave();
    const view = askForBases(record, sources, {
      chosen: (all) => {
        this.#given.add(all);
        begin(this.#stage.guarded(`Opening ${record.name}`, () => go(all)));
      },
      cancel: () => begin(this.#home()),
      why,
      without: without && (() => begin(this.#stage.guarded('Booting', without))),
    });
    this.#stage.show(view, `${record.name} – Spindle`);
  }
}
