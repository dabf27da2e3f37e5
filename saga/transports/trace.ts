/**
 * Trace context (W3C, https://www.w3.org/TR/trace-context/): one trace for all messages of a saga, told in the header
 * `traceparent` wherever a transport has headers.
 *
 * Trace and span ids are derived from the saga's id and the message's, so nothing is kept for them, a repeat is the same
 * span, and a process that takes a saga over goes on with its trace. The trace id of a saga of ours is its id without the
 * hyphens. A foreign message keeps the trace that it came with, and so does its reply.
 */
import type { Message } from './transport.ts'

const shape = /^00-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}$/

/** What a transport says of a message: the context that it was given, else the one derived from its ids. */
export const traceparentOf = ({ traceparent, correlationId, id }: Message): string =>
  traceparent ?? `00-${traceIdOf(correlationId)}-${hex64(id)}-01`

/** The context in a message's header, where it says more than the message's ids do; what is no context is overlooked. */
export function readTraceparent(header: string | undefined, message: Message): { readonly traceparent?: string } {
  if (header === undefined || !shape.test(header) || header === traceparentOf(message)) return {}
  return { traceparent: header }
}

/** The context of a message that another one caused: the same trace, and a span of its own. */
export function causedBy({ traceparent }: Message, id: string): { readonly traceparent?: string } {
  if (traceparent === undefined) return {}
  return { traceparent: `${traceparent.slice(0, 36)}${hex64(id)}${traceparent.slice(52)}` }
}

function traceIdOf(correlationId: string): string {
  const plain = correlationId.replaceAll('-', '').toLowerCase()
  return /^(?!0{32})[\da-f]{32}$/.test(plain) ? plain : hex64(correlationId) + hex64(`${correlationId}:`)
}

/** 64 bits in hexadecimal, never all zero. */
function hex64(text: string): string {
  const [high, low] = [fnv1a(text, 0x811c_9dc5), fnv1a(text, 0x9747_b28c)]
  return hex32(high) + hex32(low === 0 ? 1 : low)
}

const hex32 = (value: number): string => value.toString(16).padStart(8, '0')

/** FNV-1a over UTF-16 units (http://www.isthe.com/chongo/tech/comp/fnv/): ids need to differ, not to be hard to guess. */
function fnv1a(text: string, offset: number): number {
  let hash = offset
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x0100_0193)
  return hash >>> 0
}
