import type { KafkaMessage } from 'kafkajs'
import { describe, expect, test } from 'vitest'
import { message } from '../transport.contract.ts'
import { fromRecord, sizeOf, toDeadNotice, toDeadRecord, toRecord, type Origin } from './wire.ts'

const origin: Origin = { topic: 'order_commands', partition: 2, offset: '17', group: 'orders' }

const record = (value: unknown, headers: KafkaMessage['headers'] = {}): KafkaMessage => ({
  key: null,
  value: Buffer.isBuffer(value) ? value : Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)),
  headers,
  timestamp: '1744081751123',
  attributes: 0,
  offset: origin.offset,
})

const bare = { type: 't', correlation_id: 'c', timestamp: '2025-04-08T03:09:11', payload: { a: 1 } }

const read = (value: unknown, headers?: KafkaMessage['headers']) => {
  const checked = fromRecord(record(value, headers), origin)
  return checked.ok ? checked.value : checked.why
}

describe('a record', () => {
  test('is read as the message that was written', () => {
    const whole = message('s1:création:do', { causationId: 'c-1', undoes: 's1:x', source: 'order-service' })
    const { key, value, headers } = toRecord(whole)
    const bytes = Object.fromEntries(Object.entries(headers).map(([name, text]) => [name, Buffer.from(text)]))
    expect(key).toBe(whole.correlationId)
    expect(fromRecord(record(value, bytes), origin)).toEqual({ ok: true, value: whole })
  })

  test('without our headers has an id by its place and time, the same whenever it is read', () => {
    const id = 'order_commands/2/17@1744081751123'
    expect(read(bare)).toEqual({
      id,
      type: 't',
      correlationId: 'c',
      timestamp: '2025-04-08T03:09:11',
      payload: { a: 1 },
    })
    expect(read(bare, { 'ordersaga-id': '' })).toMatchObject({ id })
  })

  test('may have fields called like our ids in its envelope, which mean nothing to us', () => {
    const found = read({ ...bare, id: '7', causation_id: '8', undoes: '9' })
    expect(found).toMatchObject({ id: 'order_commands/2/17@1744081751123' })
    expect(found).not.toHaveProperty('causationId')
    expect(found).not.toHaveProperty('undoes')
  })

  test('may have headers twice, and others that we do not know', () => {
    expect(read(bare, { 'ordersaga-id': [Buffer.from('a'), Buffer.from('b')], trace: Buffer.from('x') })).toMatchObject(
      {
        id: 'a',
      },
    )
  })

  test.each([
    ['text', 'hello', 'the message is not JSON in UTF-8'],
    ['nothing', '', 'the message is not JSON in UTF-8'],
    ['UTF-16', Buffer.from(JSON.stringify(bare), 'utf16le'), 'the message is not JSON in UTF-8'],
    ['bytes that are no UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'the message is not JSON in UTF-8'],
    ['a number', '7', 'a message is a JSON object with type, correlation_id, timestamp and payload'],
    ['null', 'null', 'a message is a JSON object with type, correlation_id, timestamp and payload'],
    ['an empty type', { ...bare, type: '' }, 'the message has no type, which must be a text that is not empty'],
    [
      'no correlation_id',
      { ...bare, correlation_id: undefined },
      'the message has no correlation_id, which must be a text that is not empty',
    ],
  ])('that is %s is refused with a reason that shows nothing of it', (_, value, why) => {
    expect(read(value)).toBe(why)
  })
})

const cause = (reason: string) => ({ reason, at: Date.UTC(2025, 3, 8) })

describe('a dead letter', () => {
  test('is the record as it came, with a reason that is cut and the origin', () => {
    const dead = toDeadRecord({ ...record('x'), key: Buffer.from('k') }, origin, cause('y'.repeat(5_000)))
    expect([dead.key, dead.value]).toEqual([Buffer.from('k'), Buffer.from('x')])
    expect(dead.headers).toMatchObject({ 'ordersaga-reason': 'y'.repeat(1_000), 'ordersaga-offset': '17' })
    expect(dead.headers).toMatchObject({ 'ordersaga-died-at': '2025-04-08T00:00:00.000Z' })
  })

  test('keeps the foreign headers', () => {
    expect(toDeadRecord(record('x', { trace: Buffer.from('abc') }), origin, cause('why')).headers).toMatchObject({
      trace: Buffer.from('abc'),
    })
  })

  test('keeps no header without a value, which could not be written', () => {
    const none = null as unknown as Buffer
    const dead = toDeadRecord(record('x', { empty: none, mixed: [Buffer.from('a'), none] }), origin, cause('why'))
    expect(dead.headers).toMatchObject({ mixed: [Buffer.from('a')] })
    expect(dead.headers).not.toHaveProperty('empty')
    expect(sizeOf(dead)).toBeGreaterThan(0)
  })

  test('that is a notice only tells where the record is', () => {
    const { key, value, headers } = toDeadNotice(origin, cause('why'))
    expect([key, value]).toEqual([null, null])
    expect(headers).toMatchObject({ 'ordersaga-topic': 'order_commands', 'ordersaga-partition': '2' })
  })
})

test('the size of a record is not less than its parts', () => {
  expect(sizeOf({ key: 'ü', value: 'x'.repeat(1_000), headers: { a: ['y'.repeat(100), 'z'] } })).toBeGreaterThan(1_104)
})

test.each([
  ['key', { key: 7 as unknown as string, value: '' }],
  ['header', { value: '', headers: { a: null as unknown as string } }],
])('a record whose %s is no text has no size', (_, record) => {
  expect(() => sizeOf(record)).toThrow(TypeError)
})
