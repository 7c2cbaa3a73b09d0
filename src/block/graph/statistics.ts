/** Time is taken of the first requests that do not wait, and then of one in so many: reading the clock costs more than they do. */
const SAMPLED_FIRST = 16;
const SAMPLE_EVERY = 256;

/** Counters of one kind of request. */
export class OperationCounter {
  operations = 0;
  bytes = 0;
  failed = 0;
  #waited = 0;
  #waitedMs = 0;
  #samples = 0;
  #sampledMs = 0;

  /** Nanoseconds. Requests that wait are timed one by one; those that do not are taken to be like those of them that are timed. */
  get timeNs(): number {
    const didNotWait = this.operations - this.#waited;
    const sampledMs = this.#samples === 0 ? 0 : (this.#sampledMs / this.#samples) * didNotWait;
    return (this.#waitedMs + sampledMs) * 1e6;
  }

  /** The time at which a request begins, or -1 for one that need not be timed unless it waits. */
  startMs(): number {
    const { operations } = this;
    return operations % SAMPLE_EVERY === 0 || operations < SAMPLED_FIRST ? performance.now() : -1;
  }

  /** Counts a request that did not wait. */
  count(bytes: number, startMs: number): void {
    this.operations++;
    this.bytes += bytes;
    if (startMs >= 0) this.#sample(startMs);
  }

  #sample(startMs: number): void {
    this.#samples++;
    this.#sampledMs += performance.now() - startMs;
  }

  /** Counts a request that waited. */
  countWaited(bytes: number, startMs: number): void {
    this.operations++;
    this.bytes += bytes;
    this.#waited++;
    this.#waitedMs += performance.now() - startMs;
  }
}

/** A node's counters. QEMU: BlockAcctStats; nr_bytes, nr_ops, total_time_ns and wr_highest_offset of query-blockstats. */
export class NodeStatistics {
  readonly read = new OperationCounter();
  readonly write = new OperationCounter();
  readonly zero = new OperationCounter();
  readonly discard = new OperationCounter();
  readonly flush = new OperationCounter();
  /** Bytes: the end of the highest write so far. */
  writeHighestOffset = 0;

  /** A plain copy with QEMU's names, to send or print. */
  snapshot(): NodeStatisticsSnapshot {
    return {
      rd_bytes: this.read.bytes,
      wr_bytes: this.write.bytes,
      write_zeroes_bytes: this.zero.bytes,
      unmap_bytes: this.discard.bytes,
      rd_operations: this.read.operations,
      wr_operations: this.write.operations,
      write_zeroes_operations: this.zero.operations,
      unmap_operations: this.discard.operations,
      flush_operations: this.flush.operations,
      rd_total_time_ns: Math.round(this.read.timeNs),
      wr_total_time_ns: Math.round(this.write.timeNs),
      flush_total_time_ns: Math.round(this.flush.timeNs),
      failed_rd_operations: this.read.failed,
      failed_wr_operations: this.write.failed,
      failed_flush_operations: this.flush.failed,
      wr_highest_offset: this.writeHighestOffset,
    };
  }
}

export interface NodeStatisticsSnapshot {
  readonly rd_bytes: number;
  readonly wr_bytes: number;
  readonly write_zeroes_bytes: number;
  readonly unmap_bytes: number;
  readonly rd_operations: number;
  readonly wr_operations: number;
  readonly write_zeroes_operations: number;
  readonly unmap_operations: number;
  readonly flush_operations: number;
  readonly rd_total_time_ns: number;
  readonly wr_total_time_ns: number;
  readonly flush_total_time_ns: number;
  readonly failed_rd_operations: number;
  readonly failed_wr_operations: number;
  readonly failed_flush_operations: number;
  readonly wr_highest_offset: number;
}
