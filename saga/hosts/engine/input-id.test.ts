import { expect, test } from 'vitest'
import { handedIdOf, inputIdOf } from './input-id.ts'

test('an ordinary id is kept as it is', () => {
  for (const id of ['order-42', 'x'.repeat(200), 'caf\u00e9 \u{1f354}']) expect(inputIdOf(id)).toBe(id)
})

test.each([
  ['of 6,000 characters', 'x'.repeat(6000), 'x'.repeat(5999) + 'y'],
  ['with NUL', 'a\0b', 'a\ufffdb'],
  ['with half a surrogate pair', 'a\ud800b', 'a\ud801b'],
  ['cut through a pair', 'x'.repeat(182) + '\u{1f354}'.repeat(50), 'x'.repeat(182) + '\u{1f354}'.repeat(51)],
])('an id %s can be kept, and differs from one that begins or reads alike', (_what, id, other) => {
  const kept = inputIdOf(id)
  expect(kept.length).toBeLessThanOrEqual(200)
  expect(kept).not.toMatch(/\0|\p{Surrogate}/u)
  expect(inputIdOf(id)).toBe(kept)
  expect(inputIdOf(other)).not.toBe(kept)
})

test('messages of different types are handed over apart, whatever their id', () => {
  const reply = (type: string) =>
    handedIdOf('order-42', { type: 'reply', reply: { id: 'order-42', type, payload: {} } })
  expect(reply('paid')).not.toBe(reply('shipped'))
  expect(handedIdOf('cancel:1', { type: 'cancel', by: 'ann', reason: '' })).toBe('cancel:1')
})
