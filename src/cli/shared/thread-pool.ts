import { availableParallelism } from 'node:os';

/**
 * Says how many threads Node is to have for files and compression: as many as there are processors, but for those that this thread and
 * others keep busy. With more of them they take turns, and each request that is handed over wakes another one: on two processors a copy
 * took 1.2 times as long with the four that Node has by itself. Before the first of them is needed; `UV_THREADPOOL_SIZE` has the last word.
 *
 * @param othersBusy how many processors are busy with other things than those threads
 */
export function sizeThreadPool(othersBusy: number): void {
  process.env['UV_THREADPOOL_SIZE'] ??= String(Math.max(1, availableParallelism() - othersBusy));
}
