/**
 * What a check remembers of the flags "refcount is one" while it counts references: which clusters the active L2 tables lead to with
 * the flag, and which without. That tells whether all of them follow the refcounts, so the tables of a sound image are read once.
 */
export class SeenFlags {
  /** A bit per cluster. */
  readonly #set: Uint8Array;
  readonly #missing: Uint8Array;
  /** There were entries of which these bits cannot tell. */
  unclear = false;

  /** @param clusters in the file */
  constructor(clusters: number) {
    this.#set = new Uint8Array(Math.ceil(clusters / 8));
    this.#missing = new Uint8Array(this.#set.length);
  }

  /** An entry leads to a cluster, which is in the file. */
  note(cluster: number, copied: boolean): void {
    const bits = copied ? this.#set : this.#missing;
    bits[cluster >>> 3]! |= 1 << (cluster & 7);
  }

  /** @param isOne a bit per cluster: its refcount is one. @returns whether every flag that was seen is there just where it is one */
  follow(isOne: Uint8Array): boolean {
    return (
      !this.unclear &&
      this.#set.every((bits, at) => (bits & ~isOne[at]!) === 0 && (this.#missing[at]! & isOne[at]!) === 0)
    );
  }
}
