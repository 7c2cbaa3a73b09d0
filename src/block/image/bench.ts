/** Requests one after the other, several in flight, to see how fast they are. */
import { chain, settle, withTasks, type Co, type MaybePromise } from '../co.ts';
import type { BlockBackend } from '../graph/backend.ts';
import { TimeSlice } from '../time-slice.ts';

/** What `qemu-img bench` does; sizes and offsets in bytes. */
export interface BenchSettings {
  readonly count: number;
  /** Requests in flight. */
  readonly depth: number;
  readonly bufferSize: number;
  readonly offset: number;
  /** From one request to the next; the disk's end leads back to its start. */
  readonly stepSize: number;
  readonly write: boolean;
  /** Writes between two flushes; 0 for none. */
  readonly flushInterval: number;
  /** Wait for the requests in flight before a flush. */
  readonly drainOnFlush: boolean;
  /** The byte that is written. */
  readonly pattern: number;
}

/** Makes the requests. @throws BlockError the first error of any of them */
export function* benchImage(disk: BlockBackend, settings: BenchSettings): Co<void> {
  const { count, depth, bufferSize, stepSize, write, flushInterval, drainOnFlush } = settings;
  const slice = new TimeSlice();
  const buffers = Array.from({ length: depth }, () => new Uint8Array(bufferSize).fill(settings.pattern));
  const request = (offset: number): MaybePromise<void> => {
    const buffer = buffers.pop()!;
    return chain(write ? disk.write(offset, buffer) : disk.read(offset, buffer), () => {
      buffers.push(buffer);
    });
  };
  yield* withTasks(depth, function* (tasks) {
    let { offset } = settings;
    for (let done = 1; done <= count && !tasks.failed; done++) {
      const at = offset;
      yield* tasks.issue(() => request(at));
      offset += stepSize;
      if (disk.length <= offset) offset %= disk.length;
      if (flushInterval > 0 && done % flushInterval === 0) {
        if (drainOnFlush) yield* tasks.drain();
        yield* settle(disk.flush());
      }
      yield* slice.pause();
    }
  });
}
