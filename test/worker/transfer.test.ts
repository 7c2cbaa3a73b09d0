import { expose, wrap } from 'comlink';
import { describe, expect, test } from 'vitest';
import { BlockError } from '../../src/block/error.ts';
import { installErrorTransfer, packError, unpackError } from '../../src/worker/transfer.ts';

const sent = (error: unknown): unknown => unpackError(structuredClone(packError(error)));

describe('an error that was packed, cloned and unpacked', () => {
  test('is a BlockError with its kind, context and causes', () => {
    const root = new TypeError('the disk is on fire');
    const middle = new BlockError('io', 'The storage failed', { driver: 'opfs', offset: 512 }, { cause: root });
    const top = new BlockError(
      'corrupt',
      'The table is broken',
      { node: 'mine', via: ['a', 'b'], detail: { recorded: { size: 5 } } },
      { cause: middle },
    );
    const arrived = sent(top) as BlockError;
    expect(arrived).toBeInstanceOf(BlockError);
    expect(arrived.kind).toBe('corrupt');
    expect(arrived.message).toBe('The table is broken');
    expect(arrived.context).toEqual(top.context);
    expect(arrived.describe()).toBe(top.describe());
    expect(arrived.stack).toBe(top.stack);
    const cause = arrived.cause as BlockError;
    expect(cause).toBeInstanceOf(BlockError);
    expect(cause.kind).toBe('io');
    expect(cause.context).toEqual({ driver: 'opfs', offset: 512 });
    const rootCause = cause.cause as Error;
    expect([rootCause.name, rootCause.message, rootCause.stack]).toEqual(['TypeError', root.message, root.stack]);
  });

  test('loses of its detail what no message can carry, and nothing else', () => {
    const error = new BlockError('denied', 'no', { filename: 'x', detail: { ask: () => true, depth: 3 } });
    expect((sent(error) as BlockError).context).toEqual({ filename: 'x', detail: { depth: 3 } });
  });

  test('is the value itself when it was no error', () => {
    expect(sent('text')).toBe('text');
    expect(sent(undefined)).toBe(undefined);
    expect(sent(() => 1)).toBe('() => 1');
  });

  test('ends where its causes go round in a circle', () => {
    const error = new BlockError('io', 'round');
    error.cause = error;
    let depth = 0;
    for (let at: unknown = sent(error); at instanceof BlockError; at = at.cause) depth++;
    expect(depth).toBe(9);
  });

  test('of an unknown kind is a defect', () => {
    const packed = { ...packError(new BlockError('io', 'x')), kind: 'from-the-future' } as ReturnType<typeof packError>;
    expect((unpackError(packed) as BlockError).kind).toBe('internal');
  });
});

interface ThrowingApi {
  fail(): void;
}

describe('comlink', () => {
  async function callThrowing(error: unknown): Promise<unknown> {
    const { port1, port2 } = new MessageChannel();
    const api: ThrowingApi = {
      fail: () => {
        throw error;
      },
    };
    // Node's ports have the methods of the browser's.
    expose(api, port1);
    port1.start();
    try {
      await wrap<ThrowingApi>(port2).fail();
      return undefined;
    } catch (caught) {
      return caught;
    } finally {
      port1.close();
    }
  }

  test('carries BlockErrors once the handler is installed, and other errors as before', async () => {
    installErrorTransfer();
    installErrorTransfer();
    const arrived = (await callThrowing(new BlockError('busy', 'in use', { filename: 'a' }))) as BlockError;
    expect(arrived).toBeInstanceOf(BlockError);
    expect([arrived.kind, arrived.context]).toEqual(['busy', { filename: 'a' }]);
    const plain = (await callThrowing(new RangeError('too far'))) as Error;
    expect([plain.name, plain.message]).toEqual(['RangeError', 'too far']);
    expect(await callThrowing('a word')).toBe('a word');
  });
});
