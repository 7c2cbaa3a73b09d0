/** How often each cluster of a file is referred to: an array in memory, as wide as the largest count asks for. */
import { BlockError } from '../../error.ts';

/** More clusters than this are not checked: the counts alone would take 256 MiB. */
const MAX_CLUSTERS = 2 ** 28;

type Counts = Uint8Array | Uint16Array | Uint32Array;

const LARGEST_COUNT = 2 ** 32 - 1;

export class ClusterReferences {
  #counts: Counts;
  #largest = 2 ** 8 - 1;
  #length: number;

  /**
   * @param clusters how many clusters the file has; one more may be counted, for a region that ends in the middle of it
   * @throws BlockError `unsupported` when the file has too many clusters for an array in memory
   */
  constructor(clusters: number) {
    checkLimit(clusters);
    this.#counts = allocate(() => new Uint8Array(clusters + 1));
    this.#length = clusters;
  }

  /** How many clusters there are to compare. */
  get length(): number {
    return this.#length;
  }

  get(cluster: number): number {
    return this.#counts[cluster] ?? 0;
  }

  /** Counts references, up to 2^32 - 1 of them. */
  add(cluster: number, references: number): void {
    const count = Math.min((this.#counts[cluster] ?? 0) + references, LARGEST_COUNT);
    while (count > this.#largest) this.#widen();
    this.#counts[cluster] = count;
    if (cluster >= this.#length) this.#length = cluster + 1;
  }

  /** Makes room for a file that has become longer. @throws BlockError `unsupported`, as the constructor */
  grow(clusters: number): void {
    if (clusters + 1 <= this.#counts.length) return;
    checkLimit(clusters);
    const shorter = this.#counts;
    this.#counts = allocate(() => {
      const longer = new (shorter.constructor as new (length: number) => Counts)(clusters + 1);
      longer.set(shorter);
      return longer;
    });
    this.#length = clusters;
  }

  /** Whether nothing refers to any cluster from `from` up to, without, `to`. */
  noneIn(from: number, to: number): boolean {
    const end = Math.min(to, this.#length);
    for (let cluster = from; cluster < end; cluster++) if (this.#counts[cluster] !== 0) return false;
    return true;
  }

  #widen(): void {
    const narrow = this.#counts;
    this.#counts = allocate(() => (narrow instanceof Uint8Array ? new Uint16Array(narrow) : new Uint32Array(narrow)));
    this.#largest = narrow instanceof Uint8Array ? 2 ** 16 - 1 : LARGEST_COUNT;
  }
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
