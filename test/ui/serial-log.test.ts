import { expect, test } from 'vitest';
import { plain } from '../../src/ui/machine/serial-log.ts';

test('takes colours, cursor moves, titles and carriage returns out', () => {
  expect(plain('\u001b[1;32mok\u001b[0m\r\n\u001b]0;title\u0007\u001b(Bnext\u001b[?25h\b')).toEqual({
    text: 'ok\nnext',
    begun: '',
  });
});

test('a sequence that is cut waits for its rest', () => {
  const first = plain('one\u001b[1;3');
  expect(first).toEqual({ text: 'one', begun: '\u001b[1;3' });
  expect(plain(`${first.begun}2mtwo`)).toEqual({ text: 'two', begun: '' });
});

test('a stray escape does not hold back what follows for ever', () => {
  const text = 'x'.repeat(5000);
  expect(plain(`\u001b]${text}`)).toEqual({ text: `]${text}`, begun: '' });
});
