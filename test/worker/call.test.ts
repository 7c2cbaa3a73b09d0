import { afterEach, describe, expect, test } from 'vitest';
import { BlockError } from '../../src/block/error.ts';
import { CallControl, withControl } from '../../src/worker/call.ts';
import { ABORT, type ProgressMessage } from '../../src/worker/wire.ts';
import { failsWith } from '../support/check.ts';

const open: MessagePort[] = [];
afterEach(() => open.splice(0).forEach((port) => port.close()));

function callPort(): { page: MessagePort; worker: MessagePort; progress: ProgressMessage[] } {
  const { port1: page, port2: worker } = new MessageChannel();
  const progress: ProgressMessage[] = [];
  page.addEventListener('message', (event) => progress.push((event as MessageEvent<ProgressMessage>).data));
  page.start();
  open.push(page, worker);
  return { page, worker, progress };
}

const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

describe('the control of a call', () => {
  test('reports the first step, the last one, and between them ten a second', async () => {
    const { worker, progress } = callPort();
    const control = new CallControl(worker);
    for (let done = 1; done <= 1000; done++) control.report(done, 1000);
    await turn();
    expect(progress[0]).toEqual([1, 1000]);
    expect(progress.at(-1)).toEqual([1000, 1000]);
    expect(progress.length).toBeLessThan(5);
  });

  test('throws at the next report once the page has given up', async () => {
    const { page, worker } = callPort();
    const control = new CallControl(worker);
    control.report(1, 10);
    page.postMessage(ABORT);
    await turn();
    await failsWith('aborted', () => control.report(2, 10), 'a report after the abort');
    await failsWith('aborted', () => control.throwIfAborted(), 'a look after the abort');
  });

  test('waits for what cannot be stopped no longer than the page does, and undoes what comes later', async () => {
    const { page, worker } = callPort();
    const control = new CallControl(worker);
    const undone: string[] = [];
    let finish: (value: string) => void = () => undefined;
    const work = new Promise<string>((resolve) => {
      finish = resolve;
    });
    const waiting = control.waitFor(work, (late) => {
      undone.push(late);
      return Promise.resolve();
    });
    page.postMessage(ABORT);
    await failsWith('aborted', () => waiting, 'the wait');
    finish('late');
    await turn();
    expect(undone).toEqual(['late']);
  });

  test('gives what comes in time, and its errors', async () => {
    const { worker } = callPort();
    const undo = (): Promise<void> => Promise.reject(new Error('not to be called'));
    expect(await withControl(worker, (control) => control.waitFor(Promise.resolve(5), undo))).toBe(5);
    const refused = Promise.reject(new BlockError('busy', 'in use'));
    await failsWith('busy', () => withControl(undefined, (control) => control.waitFor(refused, undo)), 'the wait');
  });
});
