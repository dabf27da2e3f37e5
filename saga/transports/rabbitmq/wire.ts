/**
 * Messages as RabbitMQ carries them: the envelope of docs/wire-contract.md in the body, our ids in AMQP properties and headers,
 * which foreign services leave out and overlook.
 *
 * A foreign message without an id gets one from its content: that is all that stays the same when a broker delivers again
 * (delivery tags and the order of coming do not), and whoever says the same twice in one transaction means it once.
 */
import { createHash } from 'node:crypto'
import type { ConsumeMessage, Options } from 'amqplib'
import type { Checked } from '../../core/contract.ts'
import { readTraceparent, traceparentOf } from '../trace.ts'
import type { Message } from '../transport.ts'

/** A message as the client publishes it. */
export interface AmqpMessage {
  readonly content: Buffer
  readonly properties: Options.Publish
}

type Fields = Readonly<Record<string, unknown>>

/** AMQP's properties hold so many bytes; what is longer goes into a header. */
const mostShortBytes = 255

/** The longest reason that is written to a dead letter: it may come from anywhere. */
const mostReasonLength = 1_000

/** More than this of foreign headers is left behind: the client cannot write any number of them. */
const mostHeaderBytes = 32_768

export function toAmqpMessage(message: Message): AmqpMessage {
  const { id, type, correlationId, source, timestamp } = message
  const seconds = Math.floor(Date.parse(timestamp) / 1_000)
  const { properties, headers } = placed({ messageId: id, type, correlationId, appId: source })
  return {
    content: Buffer.from(JSON.stringify(envelopeOf(message))),
    properties: {
      ...properties,
      contentType: 'application/json',
      ...(Number.isFinite(seconds) ? { timestamp: seconds } : {}),
      headers: {
        ...headers,
        ...given({
          'ordersaga-timestamp': timestamp,
          'ordersaga-causation-id': message.causationId,
          'ordersaga-undoes': message.undoes,
          traceparent: traceparentOf(message),
        }),
      },
    },
  }
}

/** What fits goes into properties, longer texts into headers. */
function placed(values: Fields): { readonly properties: Options.Publish; readonly headers: Fields } {
  const all = Object.entries(values).filter(([, value]) => value !== undefined)
  const fits = (value: unknown): boolean => typeof value !== 'string' || isShort(value)
  return {
    properties: Object.fromEntries(all.filter(([, value]) => fits(value))),
    headers: Object.fromEntries(
      all.filter(([, value]) => !fits(value)).map(([name, value]) => [headerOf(name), value]),
    ),
  }
}

function envelopeOf({ type, correlationId, causationId, payload }: Message): Fields {
  const data = payload ?? null
  if (causationId === undefined) return { event: type, transaction_id: correlationId, data }
  const [, event = type, status = 'success'] = /^(.+)\.(success|error)$/s.exec(type) ?? []
  const message = status === 'error' ? (textIn(data, 'error') ?? '') : ''
  return { event, transaction_id: correlationId, status, message, data }
}

/**
 * Reads a message, or says what is wrong with it. Fields and headers that we do not know are overlooked.
 *
 * @param now Unix milliseconds
 * @param uncorrelated types of commands that may name no transaction: each is then one of its own
 */
export function fromDelivery(
  { content, properties }: ConsumeMessage,
  now: number,
  uncorrelated: readonly string[] = [],
): Checked<Message> {
  const parsed = parse(content, properties.contentEncoding)
  if (!parsed.ok) return parsed
  const envelope = parsed.value
  const property = (name: string): string | undefined =>
    textIn(properties, name) ?? textIn(properties.headers, headerOf(name))
  const header = (name: string): string | undefined => textIn(properties.headers, name)

  const said = whatIsSaid(envelope, property('type'))
  if (said === null) return lacks('event, which must be a text that is not empty')
  const correlationId =
    textIn(envelope, 'transaction_id') ??
    property('correlationId') ??
    (uncorrelated.includes(said.type) ? contentId('', content) : undefined)
  if (correlationId === undefined)
    return lacks('transaction_id (a text that is not empty) and no correlation id either')
  const message: Message = {
    id: property('messageId') ?? contentId(correlationId, content),
    ...said,
    correlationId,
    timestamp: header('ordersaga-timestamp') ?? timeOf(properties.timestamp, now),
    ...given({
      source: property('appId'),
      causationId: header('ordersaga-causation-id'),
      undoes: header('ordersaga-undoes'),
    }),
  }
  return { ok: true, value: { ...message, ...readTraceparent(header('traceparent'), message) } }
}

/**
 * Our type says exactly what it is. Foreign, a message with a status is a reply, and by its status a refusal, whose text
 * goes where contracts read a reason; one without is a command or an event.
 */
function whatIsSaid(envelope: Fields, exact: string | undefined): Pick<Message, 'type' | 'payload'> | null {
  const data = envelope['data'] ?? null
  if (exact !== undefined) return { type: exact, payload: data }
  const [event, status] = [textIn(envelope, 'event'), textIn(envelope, 'status')]
  if (event === undefined) return null
  if (status === undefined) return { type: event, payload: data }
  if (!/error/i.test(status)) return { type: `${event}.success`, payload: data }
  const error = textIn(envelope, 'message') ?? textIn(data, 'error') ?? 'no reason was given'
  return { type: `${event}.error`, payload: { ...(isObject(data) ? data : given({ data })), error } }
}

function parse(content: Buffer, encoding: unknown): Checked<Fields> {
  if (typeof encoding === 'string' && !/^(utf-?8|identity)?$/i.test(encoding)) {
    return { ok: false, why: 'its content encoding is not read: send plain UTF-8' }
  }
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(content))
    if (isObject(value)) return { ok: true, value }
  } catch {
    return { ok: false, why: 'it is not JSON in UTF-8' }
  }
  return { ok: false, why: 'it is not a JSON object with event, transaction_id and data' }
}

const lacks = (what: string): Checked<Message> => ({ ok: false, why: `it has no ${what}` })

function contentId(correlationId: string, content: Buffer): string {
  return `content:${createHash('sha256').update(correlationId).update('\0').update(content).digest('hex')}`
}

/** AMQP counts seconds. Some producers count milliseconds, which would be far in the future. */
function timeOf(property: unknown, now: number): string {
  const seconds = typeof property === 'number' && property > 0 ? property : now / 1_000
  const date = new Date(seconds < 1e11 ? seconds * 1_000 : seconds)
  return Number.isNaN(date.getTime()) ? new Date(now).toISOString() : date.toISOString()
}

/**
 * How often the broker has taken this message back. Quorum queues count it; elsewhere it is 0. What a message brings along
 * is not believed: one that was put back from the dead letters may still tell how often it had come back then.
 */
export function timesReturned({ fields, properties }: ConsumeMessage): number {
  const count: unknown = properties.headers?.['x-delivery-count']
  return fields.redelivered && typeof count === 'number' ? count : 0
}

/** Where a dead letter came from, and when it became one (Unix milliseconds). */
export interface Origin {
  readonly at: number
  readonly channel: string
  readonly group: string
  readonly queue: string
}

const takenAlong = ['contentType', 'contentEncoding', 'messageId', 'type', 'correlationId', 'appId', 'timestamp']

/** What the client surely writes as it has read it. */
const isPlain = (value: unknown): boolean =>
  typeof value === 'string' || typeof value === 'boolean' || Number.isSafeInteger(value)

/** Headers in which the broker tells what it did with a message. Of the next one they would not be true. */
const brokersOwn = /^x-(stream-offset|delivery-count|acquired-count|opt-.*|((first|last)-)?death.*)$/

/**
 * The message as it came, with the reason and the origin in headers. Properties and headers that would make it expire or
 * send copies elsewhere stay behind, and those that may not be writable.
 */
export function toDeadLetter(
  { content, fields, properties }: ConsumeMessage,
  reason: string,
  origin: Origin,
): AmqpMessage {
  const own = Object.entries(properties.headers ?? {}).filter(
    ([name, value]) => isPlain(value) && isShort(name) && !brokersOwn.test(name),
  )
  const small = Buffer.byteLength(JSON.stringify(own)) <= mostHeaderBytes
  const taken = Object.entries(properties).filter(([name, value]) => takenAlong.includes(name) && isPlain(value))
  const { properties: short, headers: long } = placed(Object.fromEntries(taken))
  return {
    content,
    properties: {
      ...short,
      headers: {
        ...(small ? Object.fromEntries(own) : {}),
        ...long,
        'ordersaga-reason': reason.slice(0, mostReasonLength),
        'ordersaga-channel': origin.channel,
        'ordersaga-group': origin.group,
        'ordersaga-queue': origin.queue,
        'ordersaga-exchange': fields.exchange,
        'ordersaga-routing-key': fields.routingKey,
        'ordersaga-died-at': new Date(origin.at).toISOString(),
      },
    },
  }
}

/** For a message that brought something along which cannot be written. */
export function toBareDeadLetter({ content }: ConsumeMessage, reason: string): AmqpMessage {
  return { content, properties: { headers: { 'ordersaga-reason': reason.slice(0, mostReasonLength) } } }
}

const headerOf = (property: string): string => `ordersaga-${property}`

const isShort = (text: string): boolean => Buffer.byteLength(text) <= mostShortBytes

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A field's text; undefined where it has none or an empty one. */
function textIn(value: unknown, field: string): string | undefined {
  const found = isObject(value) ? value[field] : undefined
  return typeof found === 'string' && found !== '' ? found : undefined
}

/** The fields that have a value. */
function given<T extends object>(fields: T): { [Key in keyof T]?: NonNullable<T[Key]> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null)) as {
    [Key in keyof T]?: NonNullable<T[Key]>
  }
}
