/**
 * Messages as Kafka carries them: the value is the envelope of contract 0.3 and nothing else, the key is the saga id, our
 * ids are in headers. Foreign producers leave key, headers and `source` out (contract 0.3, 1.5).
 */
import type { IHeaders, KafkaMessage, Message as KafkaRecord } from 'kafkajs'
import type { Checked } from '../../core/contract.ts'
import { fromEnvelope } from '../envelope.ts'
import type { Message } from '../transport.ts'

/** Where a record was found. */
export interface Origin {
  readonly topic: string
  readonly partition: number
  readonly offset: string
  readonly group: string
}

const header = { id: 'ordersaga-id', causationId: 'ordersaga-causation-id', undoes: 'ordersaga-undoes' } as const

const mostReasonLength = 1_000

export function toRecord(message: Message): KafkaRecord {
  const { type, correlationId, timestamp, source, payload } = message
  const headers: IHeaders = {}
  for (const [field, name] of Object.entries(header)) {
    const value = message[field as keyof typeof header]
    if (value !== undefined) headers[name] = value
  }
  return {
    key: correlationId,
    value: JSON.stringify({ type, correlation_id: correlationId, timestamp, payload, source }),
    headers,
  }
}

/** Reads a record, or says what is wrong with it. A record without an id has one by its place: the same if it comes again. */
export function fromRecord({ value, headers = {} }: KafkaMessage, origin: Origin): Checked<Message> {
  const text = (name: string): string | undefined => {
    const found = headers[name]
    const one = Array.isArray(found) ? found[0] : found
    return one === undefined ? undefined : one.toString()
  }
  const parsed = parse(value)
  if (!parsed.ok) return parsed
  return fromEnvelope(parsed.value, {
    id: text(header.id) ?? `kafka:${origin.topic}:${origin.partition}:${origin.offset}`,
    causationId: text(header.causationId),
    undoes: text(header.undoes),
  })
}

function parse(value: Buffer | null): Checked<unknown> {
  try {
    return { ok: true, value: JSON.parse(value?.toString() ?? '') as unknown }
  } catch {
    return { ok: false, why: 'the record is no JSON' }
  }
}

/** The record as it came, with the reason and the origin in headers. */
export function toDeadRecord({ key, value, headers }: KafkaMessage, origin: Origin, reason: string): KafkaRecord {
  return {
    key,
    value,
    headers: {
      ...headers,
      'ordersaga-reason': reason.slice(0, mostReasonLength),
      'ordersaga-topic': origin.topic,
      'ordersaga-partition': String(origin.partition),
      'ordersaga-offset': origin.offset,
      'ordersaga-group': origin.group,
      'ordersaga-died-at': new Date().toISOString(),
    },
  }
}

/** About what a record takes in a request, in bytes. */
export const sizeOf = ({ key, value }: KafkaRecord): number =>
  Buffer.byteLength(key ?? '') + Buffer.byteLength(value ?? '') + 300
