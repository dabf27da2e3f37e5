/**
 * Messages as Kafka carries them: the value is the envelope of docs/wire-contract.md and nothing else, the key is the saga id, our
 * ids and the trace are in headers. Foreign producers leave key, headers and `source` out.
 *
 * A foreign message has an id by its place in the log, and by its time, since a topic that was deleted and made again counts
 * from the beginning: the same whenever it is read, and never that of another.
 */
import type { IHeaders, KafkaMessage, Message as KafkaRecord } from 'kafkajs'
import type { Checked } from '../../core/contract.ts'
import { fromEnvelope } from '../envelope.ts'
import { readTraceparent, traceparentOf } from '../trace.ts'
import type { Message } from '../transport.ts'

/** Where a record was found. */
export interface Origin {
  readonly topic: string
  readonly partition: number
  readonly offset: string
  readonly group: string
}

/** Why a record goes to the dead letters, and when (Unix milliseconds). */
export interface DeadLetterCause {
  readonly reason: string
  readonly at: number
}

type Headers = Record<string, string>

/** The longest reason that is written to a dead letter: it may come from anywhere. */
const mostReasonLength = 1_000

export function toRecord(message: Message) {
  const { id, type, correlationId, causationId, undoes, timestamp, source, payload } = message
  const headers: Headers = { 'ordersaga-id': id, traceparent: traceparentOf(message) }
  if (causationId !== undefined) headers['ordersaga-causation-id'] = causationId
  if (undoes !== undefined) headers['ordersaga-undoes'] = undoes
  const envelope = { type, correlation_id: correlationId, timestamp, payload: payload ?? null, source }
  return { key: correlationId, value: JSON.stringify(envelope), headers } satisfies KafkaRecord
}

/** Reads a record, or says what is wrong with it. Headers and fields that we do not know are overlooked. */
export function fromRecord(record: KafkaMessage, origin: Origin): Checked<Message> {
  const parsed = parse(record.value)
  if (!parsed.ok) return parsed
  const header = (name: string): string | undefined => textIn(record.headers, `ordersaga-${name}`)
  const read = fromEnvelope(envelopeOf(parsed.value), {
    id: header('id') ?? `${origin.topic}/${origin.partition}/${origin.offset}@${record.timestamp}`,
    causationId: header('causation-id'),
    undoes: header('undoes'),
    received: timeOf(record),
  })
  if (!read.ok) return read
  return { ok: true, value: { ...read.value, ...readTraceparent(textIn(record.headers, 'traceparent'), read.value) } }
}

/** When the broker, or its producer, wrote it. */
function timeOf({ timestamp }: KafkaMessage): string {
  const time = new Date(Number(timestamp))
  return Number.isNaN(time.getTime()) ? new Date(0).toISOString() : time.toISOString()
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

function parse(value: Buffer | null): Checked<unknown> {
  try {
    return { ok: true, value: JSON.parse(utf8.decode(value ?? undefined)) as unknown }
  } catch {
    return { ok: false, why: 'the message is not JSON in UTF-8' }
  }
}

/** The contract's fields. What others mean in a foreign envelope, also those called like our ids, we do not know. */
function envelopeOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const { type, correlation_id, timestamp, payload, source } = value as Readonly<Record<string, unknown>>
  return { type, correlation_id, timestamp, payload, source }
}

/** A header's text; undefined where there is none or an empty one. */
function textIn(headers: KafkaMessage['headers'], name: string): string | undefined {
  const found = headers?.[name]
  const text = (Array.isArray(found) ? found[0] : found)?.toString()
  return text === '' ? undefined : text
}

/** The record as it came, with the reason and the origin in headers. */
export function toDeadRecord(record: KafkaMessage, origin: Origin, cause: DeadLetterCause): KafkaRecord {
  const { key, value, headers } = record
  return { key, value, headers: { ...withoutNulls(headers), ...causeHeaders(origin, cause) } }
}

/** Other producers write headers without a value; this client reads them as null, against its types, and writes none. */
function withoutNulls(headers: KafkaMessage['headers'] = {}): IHeaders {
  const there = (value: unknown): boolean => value != null
  const kept = Object.entries(headers).map(([name, value]) => [
    name,
    Array.isArray(value) ? value.filter(there) : value,
  ])
  return Object.fromEntries(kept.filter(([, value]) => there(value))) as IHeaders
}

/** Without the record, for one that cannot be copied: it is where it was, for as long as its topic keeps it. */
export function toDeadNotice(origin: Origin, cause: DeadLetterCause): KafkaRecord {
  return {
    key: null,
    value: null,
    headers: { ...causeHeaders(origin, cause), 'ordersaga-left-out': 'Kafka refused a copy' },
  }
}

const causeHeaders = ({ topic, partition, offset, group }: Origin, { reason, at }: DeadLetterCause): Headers => ({
  'ordersaga-reason': reason.slice(0, mostReasonLength),
  'ordersaga-topic': topic,
  'ordersaga-partition': String(partition),
  'ordersaga-offset': offset,
  'ordersaga-group': group,
  'ordersaga-died-at': new Date(at).toISOString(),
})

/** What a record takes in a request, in bytes; rather more than less. @throws TypeError where it cannot be written */
export function sizeOf({ key, value, headers = {} }: KafkaRecord): number {
  let bytes = 100 + Buffer.byteLength(key ?? '') + Buffer.byteLength(value ?? '')
  for (const [name, values] of Object.entries(headers)) {
    for (const text of [values].flat())
      bytes += 10 + Buffer.byteLength(name) + Buffer.byteLength(text as string | Buffer)
  }
  return bytes
}
