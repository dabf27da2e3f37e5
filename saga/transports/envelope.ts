/**
 * A message as JSON on the wire (docs/wire-contract.md): the envelope, with our ids in fields of their own beside it. Foreign
 * producers leave those out, and foreign consumers overlook them.
 */
import type { Checked } from '../core/contract.ts'
import type { Message } from './transport.ts'

export interface Envelope {
  readonly type: string
  readonly correlation_id: string
  readonly timestamp: string
  readonly payload: unknown
  readonly source?: string | undefined
  readonly id?: string | undefined
  readonly causation_id?: string | undefined
  readonly undoes?: string | undefined
}

export function toEnvelope(message: Message): Envelope {
  return {
    type: message.type,
    correlation_id: message.correlationId,
    timestamp: message.timestamp,
    payload: message.payload,
    source: message.source,
    id: message.id,
    causation_id: message.causationId,
    undoes: message.undoes,
  }
}

/** What the reader knows besides the envelope, for fields that it lacks. */
export interface Known {
  /** When it was received, ISO 8601. */
  readonly received: string
  readonly id?: string | undefined
  readonly correlationId?: string | undefined
  readonly causationId?: string | undefined
  readonly undoes?: string | undefined
}

/** Reads an envelope; says what it lacks. Fields that we do not know are overlooked. */
export function fromEnvelope(value: unknown, known: Known): Checked<Message> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { ok: false, why: 'a message is a JSON object with type, correlation_id, timestamp and payload' }
  }
  const fields = value as Readonly<Record<string, unknown>>
  const text = (field: string): string | undefined => {
    const found = fields[field]
    return typeof found === 'string' && found !== '' ? found : undefined
  }
  const type = text('type')
  if (type === undefined) return lacks('type')
  const correlationId = text('correlation_id') ?? known.correlationId
  if (correlationId === undefined) return lacks('correlation_id')
  const id = text('id') ?? known.id
  if (id === undefined) return { ok: false, why: 'the message has no id: send it in the header Idempotency-Key' }
  return {
    ok: true,
    value: {
      id,
      type,
      correlationId,
      timestamp: text('timestamp') ?? known.received,
      payload: fields['payload'] ?? null,
      ...present('source', text('source')),
      ...present('causationId', text('causation_id') ?? known.causationId),
      ...present('undoes', text('undoes') ?? known.undoes),
    },
  }
}

const lacks = (field: string): Checked<Message> => ({
  ok: false,
  why: `the message has no ${field}, which must be a text that is not empty`,
})

const present = <Key extends string>(key: Key, value: string | undefined): { readonly [K in Key]?: string } =>
  (value === undefined ? {} : { [key]: value }) as { readonly [K in Key]?: string }
