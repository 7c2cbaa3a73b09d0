/** Time is taken of one in so many requests that do not wait: reading the clock twice costs as much as a fast read. */
const SYNCHRONOUS_SAMPLE = 64;

/** Counters of one kind of request. */
export class OperationCounter {
  operations = 0;
  bytes = 0;
  failed = 0;
  /** Nanoseconds. Requests that wait are timed one by one; of those that do not, one in 64 is timed and stands for all. */
  timeNs = 0;

  /** The time at which a request begins, or -1 for one that need not be timed unless it waits. */
  startMs(): number {
    return this.operations % SYNCHRONOUS_SAMPLE === 0 ? performance.now() : -1;
  }

  /** Counts a request that did not wait. */
  count(bytes: number, startMs: number): void {
    if (startMs >= 0) this.timeNs += (performance.now() - startMs) * 1e6 * SYNCHRONOUS_SAMPLE;
    this.operations++;
    this.bytes += bytes;
  }

  /** Counts a request that waited. */
  countWaited(bytes: number, startMs: number): void {
    this.timeNs += (performance.now() - startMs) * 1e6;
    this.operations++;
    this.bytes += bytes;
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
