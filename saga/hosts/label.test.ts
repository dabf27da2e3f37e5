import { expect, test } from 'vitest'
import { labelOf } from './label.ts'

test.each([
  ['a plain text', 'order 7 \u{1f354}', 'order 7 \u{1f354}'],
  ['NUL', 'a\0b', 'a\ufffdb'],
  ['half a surrogate pair', 'a\ud800b', 'a\ufffdb'],
  ['a long text', 'x'.repeat(6000), 'x'.repeat(200)],
  ['a cut through a pair', 'x'.repeat(199) + '\u{1f354}', 'x'.repeat(199) + '\ufffd'],
])('%s can be kept anywhere', (_what, given, kept) => {
  expect(labelOf(given)).toBe(kept)
})
