import { describe, expect, test } from 'vitest';
import { SerialConsole } from './serial-console.ts';

const escape = '\u001b';

function consoleWithLog(): { console: SerialConsole; sent: string[] } {
  const sent: string[] = [];
  return { console: new SerialConsole((text) => sent.push(text)), sent };
}

describe('waiting', () => {
  test('a marker that comes byte by byte is found, and consumed', async () => {
    const { console } = consoleWithLog();
    const first = console.until('READY');
    for (const byte of new TextEncoder().encode('boot\r\nREADY 1\r\nREADY 2\r\n')) console.feed(byte);
    expect(await first).toBe('boot\r\nREADY');
    expect(await console.until('READY')).toBe(' 1\r\nREADY');
  });

  test('what was written before the wait began counts', async () => {
    const { console } = consoleWithLog();
    console.feed('GUEST-READY boot=1\r\nguest# ');
    expect(await console.until('guest# ')).toBe('GUEST-READY boot=1\r\nguest# ');
  });

  test('the error of a wait that ends in nothing quotes the end of the output', async () => {
    const { console } = consoleWithLog();
    console.feed('Kernel panic');
    await expect(console.until('READY', 5)).rejects.toThrow(/No "READY".*5 ms.*Kernel panic/s);
  });

  test('closing ends the wait under way and later ones, but not one for what is there already', async () => {
    const { console } = consoleWithLog();
    const waiting = console.until('READY');
    console.close('the machine was stopped');
    await expect(waiting).rejects.toThrow('the machine was stopped');
    await expect(console.until('READY')).rejects.toThrow('the machine was stopped');
    console.feed('READY');
    expect(await console.until('READY')).toBe('READY');
  });

  test('two waits at once and a wait for nothing are refused', async () => {
    const { console } = consoleWithLog();
    const first = console.until('a');
    await expect(console.until('b')).rejects.toThrow('already');
    await expect(console.until('')).rejects.toThrow('nothing');
    console.feed('a');
    expect(await first).toBe('a');
  });
});

describe('escape sequences', () => {
  const sequences = ['[6n', '[0;1;31m', '[?25l', ']0;title\u0007', ']0;title\u001b\\', '(B', '7', 'M', '[1 q'];

  test.each(sequences)('ESC %j goes, however it is cut', (sequence) => {
    const text = `guest${escape}${sequence}# `;
    for (let cut = 0; cut <= text.length; cut += 1) {
      const { console } = consoleWithLog();
      console.feed(text.slice(0, cut));
      console.feed(text.slice(cut));
      expect(console.text).toBe('guest# ');
    }
  });

  test('one that never ends holds nothing back for long', () => {
    const { console } = consoleWithLog();
    console.feed(`${escape}]${'x'.repeat(300)}`);
    console.feed('guest# ');
    expect(console.text.endsWith('xguest# ')).toBe(true);
  });

  test('a letter of several bytes that is cut comes out whole', () => {
    const { console } = consoleWithLog();
    for (const byte of new TextEncoder().encode('é✓')) console.feed(byte);
    expect(console.text).toBe('é✓');
  });
});

describe('commands', () => {
  async function answer(command: string, output: string): Promise<string> {
    const { console, sent } = consoleWithLog();
    console.feed('guest# ');
    await console.until('guest# ');
    const result = console.command(command, 'guest# ');
    expect(sent).toEqual([`${command}\r`]);
    console.feed(output);
    return result;
  }

  test('the answer comes without echo, prompt and carriage returns', async () => {
    expect(await answer('echo a b', `${escape}[6necho a b\r\na b\r\nguest# `)).toBe('a b');
    expect(await answer('true', `true\r\nguest# `)).toBe('');
    expect(await answer('cat f', 'cat f\r\none\r\n two\r\nguest# ')).toBe('one\n two');
  });

  test('an echo that the terminal broke over lines goes whole', async () => {
    expect(await answer('echo aaaa bbbb', 'echo aaa\r\na bb\r\nbb\r\naaaa bbbb\r\nguest# ')).toBe('aaaa bbbb');
  });

  test('an output that begins like the command stays', async () => {
    expect(await answer('echo echo', 'echo echo\r\necho\r\nguest# ')).toBe('echo');
  });
});
