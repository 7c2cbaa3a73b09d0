/**
 * How often each cluster of a file is referred to: pages of counts in memory, each as wide as its largest count asks for, made where
 * something is counted. So memory and time go by what an image refers to, not by the length of a file that is mostly a hole.
 */
import { BlockError } from '../../error.ts';

/** More clusters than this are not checked: the counts alone would take 256 MiB. */
const MAX_CLUSTERS = 2 ** 28;
/** Counts in a page are 2^16: numbers of clusters have few enough bits to be shifted. */
const PAGE_BITS = 16;
const PAGE_MASK = 2 ** PAGE_BITS - 1;

type Counts = Uint8Array | Uint16Array | Uint32Array;

/** Fits into every page. */
const SMALL_COUNT = 2 ** 8 - 1;
const LARGEST_COUNT = 2 ** 32 - 1;

export class ClusterReferences {
  readonly #pages: (Counts | undefined)[] = [];
  #length: number;

  /**
   * @param clusters how many clusters the file has; one more may be counted, for a region that ends in the middle of it
   * @throws BlockError `unsupported` when the file has too many clusters to count
   */
  constructor(clusters: number) {
    checkLimit(clusters);
    this.#length = clusters;
  }

  /** How many clusters there are to compare. */
  get length(): number {
    return this.#length;
  }

  get(cluster: number): number {
    const page = this.#pages[cluster >>> PAGE_BITS];
    return page === undefined ? 0 : page[cluster & PAGE_MASK]!;
  }

  /** Counts references, up to 2^32 - 1 of them. */
  add(cluster: number, references: number): void {
    const number = cluster >>> PAGE_BITS;
    const page = this.#pages[number] ?? this.#newPage(number);
    const count = page[cluster & PAGE_MASK]! + references;
    if (count <= SMALL_COUNT) page[cluster & PAGE_MASK] = count;
    else this.#addLarge(cluster, Math.min(count, LARGEST_COUNT));
    if (cluster >= this.#length) this.#length = cluster + 1;
  }

  #addLarge(cluster: number, count: number): void {
    const number = cluster >>> PAGE_BITS;
    let page = this.#pages[number]!;
    while (count > largestIn(page)) page = this.#widen(number, page);
    page[cluster & PAGE_MASK] = count;
  }

  /** Makes room for a file that has become longer. @throws BlockError `unsupported`, as the constructor */
  grow(clusters: number): void {
    if (clusters <= this.#length) return;
    checkLimit(clusters);
    this.#length = clusters;
  }

  /** The first cluster at or behind `from` that something refers to, or `to` if there is none before it. */
  nextUsed(from: number, to = this.#length): number {
    const end = Math.min(to, this.#length);
    for (let cluster = from; cluster < end;) {
      const page = this.#pages[cluster >>> PAGE_BITS];
      const pageEnd = Math.min(end, cluster - (cluster & PAGE_MASK) + PAGE_MASK + 1);
      if (page !== undefined) {
        for (; cluster < pageEnd; cluster++) if (page[cluster & PAGE_MASK] !== 0) return cluster;
      }
      cluster = pageEnd;
    }
    return to;
  }

  /** The last cluster that something refers to, or 0. */
  lastUsed(): number {
    for (let number = this.#pages.length - 1; number >= 0; number--) {
      const at = this.#pages[number]?.findLastIndex((count) => count !== 0) ?? -1;
      if (at >= 0) return number * (PAGE_MASK + 1) + at;
    }
    return 0;
  }

  /** Whether nothing refers to any cluster from `from` up to, without, `to`. */
  noneIn(from: number, to: number): boolean {
    return this.nextUsed(from, to) === to;
  }

  #newPage(number: number): Counts {
    const page = allocate(() => new Uint8Array(PAGE_MASK + 1));
    // Without holes, so that looking a page up is cheap.
    while (this.#pages.length < number) this.#pages.push(undefined);
    this.#pages[number] = page;
    return page;
  }

  #widen(number: number, narrow: Counts): Counts {
    const wide = allocate(() => (narrow instanceof Uint8Array ? new Uint16Array(narrow) : new Uint32Array(narrow)));
    this.#pages[number] = wide;
    return wide;
  }
}

function largestIn(page: Counts): number {
  return 2 ** (8 * page.BYTES_PER_ELEMENT) - 1;
}

function checkLimit(clusters: number): void {
  if (clusters > MAX_CLUSTERS) {
    throw new BlockError(
      'unsupported',
      `The file has ${clusters} clusters; a check counts at most ${MAX_CLUSTERS}. Convert the image to a larger cluster size`,
    );
  }
}

function allocate<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw new BlockError(
      'unsupported',
      'There is not enough memory to count the clusters of this file',
      {},
      { cause: error },
    );
  }
}
