/** How messages, answers and refusals look in HTTP, both ways. Nothing here keeps anything or talks to anybody. */
import type { Checked } from '../../core/contract.ts'
import { fromEnvelope, toEnvelope, type Known } from '../envelope.ts'
import { readTraceparent, traceparentOf } from '../trace.ts'
import type { Failure } from '../group.ts'
import type { Message } from '../transport.ts'
import { SendError, type PostRequest } from './peer.ts'

/** A request as any web framework has it. The body is unparsed text, or what a framework has parsed from JSON. */
export interface HttpRequest {
  readonly channel: string
  /** Names in lower case, as Node gives them. */
  readonly headers: RequestHeaders
  readonly body: unknown
}

export type RequestHeaders = Readonly<Record<string, string | readonly string[] | undefined>>

export interface HttpAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Of requests, in bytes. */
export const maxBodyBytes = 1_048_576

/** An answer may hold a message of the greatest size with what is around it. */
const maxAnswerBytes = 2 * maxBodyBytes

function json(status: number, content: unknown, headers: Readonly<Record<string, string>> = {}): HttpAnswer {
  return {
    status,
    headers: { 'content-type': 'application/json; charset=utf-8', ...headers },
    body: JSON.stringify(content),
  }
}

/** @throws Error where nobody would read it */
export function accepted(status: 200 | 202, replies: readonly Message[]): HttpAnswer {
  const answer = json(status, { messages: replies.map(toEnvelope) })
  checkSize('its answer', answer.body, maxAnswerBytes)
  return answer
}

function checkSize(what: string, body: string, most: number): void {
  const bytes = Buffer.byteLength(body)
  if (bytes > most) throw new RangeError(`${what} has ${bytes} bytes, and ${most} is the most allowed`)
}

export const refused = (status: number, why: string): HttpAnswer => json(status, { error: why })

const later = { 'retry-after': '1' }

export const unavailable = (why: string): HttpAnswer => json(503, { error: why }, later)

/** Says apart whether the message is to blame: only then may its sender give up an event for it. */
export const unhandled = ({ reason, blamed }: Failure): HttpAnswer =>
  json(
    503,
    { error: `the message could not be handled: ${reason}` },
    blamed ? { ...later, [failedHeader]: 'true' } : later,
  )

const failedHeader = 'ordersaga-handler-failed'

/** @throws Error where no peer would ever take it */
export function toRequest(message: Message, replyTo: string | null): PostRequest {
  const body = JSON.stringify(toEnvelope(message))
  checkSize('its body', body, maxBodyBytes)
  return { headers: requestHeaders(message, replyTo), body }
}

function requestHeaders(message: Message, replyTo: string | null): Record<string, string> {
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    'idempotency-key': headerText(message.id),
    traceparent: traceparentOf(message),
  }
  if (message.causationId !== undefined) headers['ordersaga-causation-id'] = headerText(message.causationId)
  if (message.undoes !== undefined) headers['ordersaga-undoes'] = headerText(message.undoes)
  if (replyTo !== null) headers['ordersaga-reply-to'] = replyTo
  return headers
}

/** Headers carry ASCII only. The envelope has the id as it is, so nobody needs to read this back. */
const headerText = (id: string): string => (/^[\x21-\x7e]+$/.test(id) ? id : encodeURIComponent(id))

export function replyToIn(request: HttpRequest): string | null {
  return header(request.headers, 'ordersaga-reply-to') ?? null
}

export type ReadRequest =
  { readonly ok: true; readonly message: Message } | { readonly ok: false; readonly answer: HttpAnswer }

/** @param now Unix milliseconds */
export function readRequest(request: HttpRequest, now: number): ReadRequest {
  const { body, headers } = request
  const raw = typeof body === 'string' || body instanceof Uint8Array
  if (raw && Buffer.byteLength(body) > maxBodyBytes) return { ok: false, answer: tooLarge() }
  const parsed = raw ? parse(Buffer.from(body).toString()) : { ok: true as const, value: body }
  if (!parsed.ok) {
    const why = 'the body is not JSON: send one message as a JSON object, with content-type application/json'
    return { ok: false, answer: refused(400, why) }
  }
  const read = fromEnvelope(parsed.value, { ...idsIn(headers), received: isoTime(now) })
  if (!read.ok) return { ok: false, answer: refused(400, read.why) }
  const message = { ...read.value, ...readTraceparent(header(headers, 'traceparent'), read.value) }
  return { ok: true, message }
}

export const tooLarge = (): HttpAnswer =>
  refused(413, `the body has more than ${maxBodyBytes} bytes, which is the most allowed`)

function idsIn(headers: RequestHeaders): Omit<Known, 'received'> {
  return {
    id: header(headers, 'idempotency-key'),
    causationId: header(headers, 'ordersaga-causation-id'),
    undoes: header(headers, 'ordersaga-undoes'),
  }
}

function header(headers: RequestHeaders, name: string): string | undefined {
  const value = headers[name]
  const first = typeof value === 'object' ? value[0] : value
  return first === '' ? undefined : first
}

const isoTime = (ms: number): string => new Date(ms).toISOString()

function parse(text: string): Checked<unknown> {
  try {
    return { ok: true, value: JSON.parse(text) as unknown }
  } catch (error) {
    return { ok: false, why: String(error) }
  }
}

/**
 * The replies in the answer to a POST. What a foreign participant leaves out follows from the message that it answers.
 *
 * @param now Unix milliseconds
 * @throws SendError where it was not taken, or the answer cannot be read
 */
export async function readAnswer(response: Response, asked: Message, now: number): Promise<readonly Message[]> {
  const text = await textOf(response)
  if (!response.ok) throw refusedBy(response, text)
  if (text === '') return []
  const parsed = parse(text)
  if (!parsed.ok) throw unreadable(response, 'it is not JSON')
  const messages = (parsed.value as { readonly messages?: unknown } | null)?.messages ?? []
  if (!Array.isArray(messages)) throw unreadable(response, 'its messages are not a list')
  return messages.map((envelope, index) => {
    const reply = fromEnvelope(envelope, {
      id: `${asked.id}:reply${index === 0 ? '' : index + 1}`,
      correlationId: asked.correlationId,
      causationId: asked.id,
      received: isoTime(now),
    })
    if (!reply.ok) throw unreadable(response, reply.why)
    return reply.value
  })
}

async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  const body: AsyncIterable<Uint8Array> | Iterable<Uint8Array> = response.body ?? []
  for await (const chunk of body) {
    bytes += chunk.byteLength
    if (bytes > maxAnswerBytes) throw unreadable(response, `it has more than ${maxAnswerBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

const unreadable = (response: Response, why: string): SendError =>
  new SendError(`the answer (status ${response.status}) cannot be read: ${why}`, { again: true })

/** Statuses that say "not now" (or that somebody must mend what is not in the message); any other below 500 "never like this". */
const notNow: readonly number[] = [401, 403, 404, 408, 409, 425, 429]

function refusedBy(response: Response, text: string): SendError {
  const parsed = parse(text)
  const error = parsed.ok ? (parsed.value as { readonly error?: unknown } | null)?.error : undefined
  const why = typeof error === 'string' ? error.slice(0, 300) : 'no reason given'
  const seconds = Number(response.headers.get('retry-after') ?? 0)
  return new SendError(`it answered ${response.status}: ${why}`, {
    again: response.status >= 500 || notNow.includes(response.status),
    pauseMs: Number.isFinite(seconds) ? seconds * 1_000 : 0,
    handlerFailed: response.headers.has(failedHeader),
  })
}

/** What went wrong, with the cause that `fetch` hides. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause === undefined ? error.message : `${error.message}: ${describe(error.cause)}`
}
