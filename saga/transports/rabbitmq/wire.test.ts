import type { ConsumeMessage, Options } from 'amqplib'
import { describe, expect, test } from 'vitest'
import { message } from '../transport.contract.ts'
import type { Message } from '../transport.ts'
import { fromDelivery, timesReturned, toBareDeadLetter, toDeadLetter, toAmqpMessage } from './wire.ts'

const fields = {
  deliveryTag: 1,
  redelivered: false,
  exchange: '',
  routingKey: 'orchestration_queue',
  consumerTag: 'c',
}

/** As the broker delivers it: properties that were not sent are undefined. */
const delivered = (body: unknown, properties: Options.Publish = {}): ConsumeMessage => ({
  content: Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
  fields,
  properties: { headers: undefined, ...properties } as ConsumeMessage['properties'],
})

function read(body: unknown, properties?: Options.Publish): Message {
  const got = fromDelivery(delivered(body, properties), Date.now())
  if (!got.ok) throw new Error(got.why)
  return got.value
}

function refusal(body: unknown, properties?: Options.Publish): string {
  const got = fromDelivery(delivered(body, properties), Date.now())
  return got.ok ? 'it was read' : got.why
}

const written = (more: Partial<Message>): unknown => {
  const sent = toAmqpMessage(message('t-1:stock:do', { correlationId: 't-1', ...more }))
  return JSON.parse(sent.content.toString()) as unknown
}

describe('what we write', () => {
  test('a command has event, transaction_id and data, and nothing else', () => {
    expect(written({ type: 'reduce_stock', payload: { products: [] } })).toEqual({
      event: 'reduce_stock',
      transaction_id: 't-1',
      data: { products: [] },
    })
  })

  test('a success carries the name of the command, the status and the data', () => {
    const reply = { type: 'take_payment.success', causationId: 't-1:pay:do', payload: 'payment-7' }
    expect(written(reply)).toEqual({
      event: 'take_payment',
      transaction_id: 't-1',
      status: 'success',
      message: '',
      data: 'payment-7',
    })
  })

  test('a refusal says its reason as the message', () => {
    const reply = { type: 'reduce_stock.error', causationId: 't-1:stock:do', payload: { error: 'sold out' } }
    expect(written(reply)).toEqual({
      event: 'reduce_stock',
      transaction_id: 't-1',
      status: 'error',
      message: 'sold out',
      data: { error: 'sold out' },
    })
  })

  test('a reply of another form of name keeps it whole', () => {
    expect(written({ type: 'order.created', causationId: 'c', payload: null })).toMatchObject({
      event: 'order.created',
      status: 'success',
      data: null,
    })
  })

  test('our ids are properties and headers', () => {
    const command = message('t-1:stock:undo', {
      type: 'rollback_stock',
      correlationId: 't-1',
      undoes: 't-1:stock:do',
      source: 'order-sagas',
      timestamp: '2025-04-08T03:09:11.123Z',
    })
    expect(toAmqpMessage(command).properties).toEqual({
      messageId: 't-1:stock:undo',
      type: 'rollback_stock',
      correlationId: 't-1',
      appId: 'order-sagas',
      contentType: 'application/json',
      timestamp: 1_744_081_751,
      headers: {
        'ordersaga-timestamp': '2025-04-08T03:09:11.123Z',
        'ordersaga-undoes': 't-1:stock:do',
        traceparent: expect.stringMatching(/^00-[\da-f]{32}-[\da-f]{16}-01$/) as string,
      },
    })
  })
})

describe('what we wrote', () => {
  const back = (sent: Message): Message => {
    const { content, properties } = toAmqpMessage(sent)
    return read(content, properties)
  }

  test.each<[string, Partial<Message>]>([
    ['a command', { type: 'reduce_stock' }],
    ['an undo', { undoes: 't-1:stock:do' }],
    ['a success', { type: 'take_payment.success', causationId: 'c', payload: 'payment-7' }],
    ['a refusal', { type: 'take_payment.error', causationId: 'c', payload: { error: 'no', code: 3 } }],
    ['a reply whose name only looks like a refusal', { type: '.error', causationId: 'c', payload: null }],
    [
      'ids longer than a property holds',
      { id: 'ü'.repeat(200), correlationId: 'c'.repeat(300), source: 's'.repeat(256) },
    ],
    ['a time that no clock shows', { timestamp: 'yesterday' }],
    ['a payload that is a list', { payload: [1, 'two', null] }],
  ])('%s reads as it was', (_, more) => {
    const sent = message('m', more)
    expect(back(sent)).toEqual(sent)
  })
})

describe('what foreign services write', () => {
  test('a bare command is named by its event', () => {
    const command = { event: 'take_payment', transaction_id: 't-1', data: { amount: 19.99, order_id: null } }
    expect(read(command)).toMatchObject({ type: 'take_payment', correlationId: 't-1', payload: command.data })
    expect(read(command)).not.toHaveProperty('causationId')
  })

  test('a success is named so, and its data may be a text or nothing', () => {
    const reply = { event: 'take_payment', transaction_id: 't-1', status: 'success', message: '', data: 'payment-7' }
    expect(read(reply)).toMatchObject({ type: 'take_payment.success', payload: 'payment-7' })
    expect(read({ ...reply, data: null })).toMatchObject({ type: 'take_payment.success', payload: null })
  })

  test.each([
    ['error', 'sold out', null, { error: 'sold out' }],
    ['error', '', null, { error: 'no reason was given' }],
    ['Internal Error', 'sold out', { product_id: 'p' }, { product_id: 'p', error: 'sold out' }],
    ['error', '', { error: 'sold out' }, { error: 'sold out' }],
    ['ERROR', 'sold out', 'p', { data: 'p', error: 'sold out' }],
  ])('status %j with message %j and data %j is a refusal with its reason', (status, text, data, payload) => {
    const reply = { event: 'reduce_stock', transaction_id: 't-1', status, message: text, data }
    expect(read(reply)).toMatchObject({ type: 'reduce_stock.error', payload })
  })

  test('a message without transaction_id is taken where a property says whose it is', () => {
    const command = { event: 'update_order_payment_id', data: { order_id: 'o', payment_id: 'p' } }
    expect(read(command, { correlationId: 't-1' }).correlationId).toBe('t-1')
    expect(refusal(command)).toBe('it has no transaction_id (a text that is not empty) and no correlation id either')
  })

  test('a command that may name no transaction is one of its own, the same each time, and no other is', () => {
    const command = { event: 'update_order_payment_id', data: { order_id: 'o', payment_id: 'p' } }
    const readAs = (body: object, ...types: readonly string[]) => fromDelivery(delivered(body), 0, types)
    const [first, again] = [readAs(command, command.event), readAs(command, command.event)]
    expect(first).toMatchObject({
      ok: true,
      value: {
        type: command.event,
        correlationId: expect.stringMatching(/^content:/) as string,
        payload: command.data,
      },
    })
    expect(again).toEqual(first)
    expect(readAs({ ...command, data: { order_id: 'o2' } }, command.event)).not.toMatchObject({
      value: { correlationId: first.ok ? first.value.correlationId : '' },
    })
    expect(readAs({ ...command, transaction_id: 't-1' }, command.event)).toMatchObject({
      value: { correlationId: 't-1' },
    })
    expect(readAs(command, 'reduce_stock').ok).toBe(false)
    expect(readAs({ ...command, status: 'success' }, command.event).ok).toBe(false)
  })

  test('unknown fields and headers are overlooked', () => {
    const command = { event: 'e', transaction_id: 't', data: 1, retries: 3, type: 'x' }
    expect(read(command, { headers: { 'x-delivery-count': 1, 'ordersaga-undoes': 7 } })).toEqual({
      id: expect.stringMatching(/^content:/) as string,
      type: 'e',
      correlationId: 't',
      payload: 1,
      timestamp: expect.any(String) as string,
    })
  })

  test('the time is read in seconds, in milliseconds, or is now', () => {
    const command = { event: 'e', transaction_id: 't' }
    const time = (timestamp: number) => read(command, { timestamp }).timestamp
    expect(time(1_744_081_751)).toBe('2025-04-08T03:09:11.000Z')
    expect(time(1_744_081_751_123)).toBe('2025-04-08T03:09:11.123Z')
    const now = Date.now()
    expect(Date.parse(read(command).timestamp)).toBeGreaterThanOrEqual(now)
    expect(Date.parse(time(1e300))).toBeGreaterThanOrEqual(now)
  })

  test('without an id, the same message has the same one again, and another has another', () => {
    const command = { event: 'e', transaction_id: 't', data: { a: 1 } }
    const { id } = read(command)
    expect(read(command).id).toBe(id)
    expect(read({ ...command, data: { a: 2 } }).id).not.toBe(id)
    expect(read({ ...command, transaction_id: 'u' }).id).not.toBe(id)
    const bare = { event: 'e', data: { a: 1 } }
    expect(read(bare, { correlationId: 't' }).id).not.toBe(read(bare, { correlationId: 'u' }).id)
    expect(read(command, { messageId: 'theirs' }).id).toBe('theirs')
  })

  test.each([
    ['text', 'hello', 'it is not JSON in UTF-8'],
    ['nothing', '', 'it is not JSON in UTF-8'],
    ['bytes that are no UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), 'it is not JSON in UTF-8'],
    ['UTF-16', Buffer.from('{"event":"e"}', 'utf16le'), 'it is not JSON in UTF-8'],
    ['very deep nesting', '['.repeat(200_000), 'it is not JSON in UTF-8'],
    ['a list', [], 'it is not a JSON object with event, transaction_id and data'],
    ['null', 'null', 'it is not a JSON object with event, transaction_id and data'],
    ['no event', { transaction_id: 't' }, 'it has no event, which must be a text that is not empty'],
    ['a number as event', { event: 7, transaction_id: 't' }, 'it has no event, which must be a text that is not empty'],
    [
      'a number as transaction_id',
      { event: 'e', transaction_id: 7 },
      'it has no transaction_id (a text that is not empty) and no correlation id either',
    ],
  ])('%s is refused with a reason that shows nothing of it', (_, body, why) => {
    expect(refusal(body)).toBe(why)
  })

  test('a packed body is refused', () => {
    expect(refusal({ event: 'e', transaction_id: 't' }, { contentEncoding: 'gzip' })).toBe(
      'its content encoding is not read: send plain UTF-8',
    )
    expect(read({ event: 'e', transaction_id: 't' }, { contentEncoding: 'UTF-8' }).type).toBe('e')
  })
})

describe('a dead letter', () => {
  const origin = { channel: 'order_commands', group: 'orders', queue: 'orders_queue', at: Date.UTC(2025, 3, 8) }

  test('is the message as it came, with the reason and the origin', () => {
    const raw = delivered('hello', { messageId: 'm', correlationId: 'c', timestamp: 7, headers: { trace: 'abc' } })
    const { content, properties } = toDeadLetter(raw, 'it is not JSON in UTF-8', origin)
    expect(content.toString()).toBe('hello')
    expect(properties).toEqual({
      messageId: 'm',
      correlationId: 'c',
      timestamp: 7,
      headers: {
        trace: 'abc',
        'ordersaga-reason': 'it is not JSON in UTF-8',
        'ordersaga-channel': 'order_commands',
        'ordersaga-group': 'orders',
        'ordersaga-queue': 'orders_queue',
        'ordersaga-exchange': '',
        'ordersaga-routing-key': 'orchestration_queue',
        'ordersaga-died-at': '2025-04-08T00:00:00.000Z',
      },
    })
  })

  test('does not expire, goes nowhere else, needs nobody to answer or to be, and can be written', () => {
    const raw = delivered('hello', {
      expiration: '1',
      userId: 'someone',
      timestamp: 2 ** 64,
      replyTo: 'amq.rabbitmq.reply-to',
      headers: { CC: ['elsewhere'], BCC: ['elsewhere'] },
    })
    const { properties } = toDeadLetter(raw, 'why', origin)
    expect(Object.keys(properties)).toEqual(['headers'])
    expect(properties.headers).not.toHaveProperty('CC')
    expect(properties.headers).not.toHaveProperty('BCC')
  })

  test('keeps in headers what is too long for a property once it is read, and leaves names behind that are too long', () => {
    // Bytes that are no UTF-8 are read as three each.
    const id = '\u{fffd}'.repeat(200)
    const raw = delivered('hello', { messageId: id, appId: 's', headers: { [id]: 1, short: 2 } })
    const { properties } = toDeadLetter(raw, 'why', origin)
    expect(properties).not.toHaveProperty('messageId')
    expect(properties).toMatchObject({ appId: 's', headers: { 'ordersaga-messageId': id, short: 2 } })
    expect(properties.headers).not.toHaveProperty(id)
  })

  test('leaves behind what the broker wrote, so that it can be put back', () => {
    const written = { 'x-delivery-count': 20, 'x-first-death-reason': 'rejected', 'x-request-id': 'theirs' }
    const { headers } = toDeadLetter(delivered('hello', { headers: written }), 'why', origin).properties
    expect(Object.keys(headers as object).filter((name) => name.startsWith('x-'))).toEqual(['x-request-id'])
  })

  test('of which nothing else can be written is its content and the reason', () => {
    const { content, properties } = toBareDeadLetter(delivered('hello', { messageId: 'm' }), 'y'.repeat(5_000))
    expect(content.toString()).toBe('hello')
    expect(properties).toEqual({ headers: { 'ordersaga-reason': 'y'.repeat(1_000) } })
  })

  test('leaves headers behind that are too large to write, and cuts a long reason', () => {
    const raw = delivered('hello', { headers: { large: 'x'.repeat(50_000) } })
    const { properties } = toDeadLetter(raw, 'y'.repeat(5_000), origin)
    expect(properties.headers).not.toHaveProperty('large')
    expect(properties.headers).toHaveProperty('ordersaga-reason', 'y'.repeat(1_000))
  })
})

test('how often a message came back is believed of the broker, not of the message', () => {
  const raw = delivered('hello', { headers: { 'x-delivery-count': 20 } })
  expect(timesReturned(raw)).toBe(0)
  expect(timesReturned({ ...raw, fields: { ...fields, redelivered: true } })).toBe(20)
})
