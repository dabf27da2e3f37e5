import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { causedBy, readTraceparent, traceparentOf } from './trace.ts'
import type { Message } from './transport.ts'

const message = (id: string, correlationId: string, more: Partial<Message> = {}): Message => ({
  id,
  correlationId,
  type: 'create_order',
  timestamp: '2025-04-08T03:09:11.123Z',
  payload: null,
  ...more,
})
const saga = '01a1fe49-4668-7190-96b0-ec17898bdd7c'
const foreign = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00'

describe('the trace of a message', () => {
  test('is the saga, its span the message', () => {
    const asked = traceparentOf(message(`${saga}:create:do`, saga))
    const answered = traceparentOf(message(`${saga}:create:do:reply`, saga))
    expect(asked).toMatch(/^00-01a1fe494668719096b0ec17898bdd7c-[\da-f]{16}-01$/)
    expect(answered.slice(0, 36)).toBe(asked.slice(0, 36))
    expect(answered).not.toBe(asked)
    expect(traceparentOf(message(`${saga}:create:do`, saga))).toBe(asked) // a repeat
  })

  test('has the form of the standard, whatever the ids are', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.string({ minLength: 1 }), (id, correlationId) => {
        const text = traceparentOf(message(id, correlationId))
        expect(text).toMatch(/^00-[\da-f]{32}-[\da-f]{16}-01$/)
        expect(text).not.toMatch(/-0{32}-|-0{16}-/)
        expect(readTraceparent(text, message(id, correlationId))).toEqual({}) // it says nothing that the ids do not
      }),
    )
  })

  test('differs from saga to saga and from message to message', () => {
    const texts = Array.from({ length: 20_000 }, (_, n) => traceparentOf(message(`m${n}`, `order-${n}`)))
    expect(new Set(texts.map((text) => text.slice(3, 35))).size).toBe(20_000)
    expect(new Set(texts.map((text) => text.slice(36, 52))).size).toBe(20_000)
  })

  test('that a foreign message came with is kept, and goes on in what it causes', () => {
    const asked = message('c1', 'order-1', readTraceparent(foreign, message('c1', 'order-1')))
    expect(traceparentOf(asked)).toBe(foreign)
    const reply = message('c1:reply', 'order-1', causedBy(asked, 'c1:reply'))
    expect(traceparentOf(reply)).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-[\da-f]{16}-00$/)
    expect(traceparentOf(reply)).not.toBe(foreign)
    expect(causedBy(message('c1', 'order-1'), 'c1:reply')).toEqual({})
  })

  test.each([
    '',
    'abc',
    '01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00',
    foreign.toUpperCase(),
    `${foreign}-x`,
  ])('is not taken from %j', (header) => {
    expect(readTraceparent(header, message('c1', 'order-1'))).toEqual({})
  })
})
