/**
 * Event streams (server-sent events, WHATWG HTML section 9.2) of one server.
 *
 * Invariants:
 * - the headers go out at once, and a comment now and then while nothing happens, so that proxies and clients know it lives;
 * - what a client does not read is not kept here: who reads too slowly is waited for, and then dropped; he resumes by
 *   `Last-Event-ID`;
 * - a stream ends with its client, and with the server.
 */
import type { FastifyReply } from 'fastify'
import { once } from 'node:events'
import type { z } from 'zod'
import { HttpError } from '../../shared/http/http-error.ts'
import type { HttpServer } from '../../shared/http/server.ts'

/** Of a route that streams, for its API page: what its events hold as JSON. */
export const streamOf = (data: z.ZodType) => ({
  description: 'Server-sent events; the data of each is JSON of this shape',
  content: { 'text/event-stream': { schema: data } },
})

export interface StreamOptions {
  /** Open streams of a server; each holds a socket. */
  readonly most?: number
  /** Milliseconds between comments. */
  readonly heartbeatMs?: number
  /** How long a client may leave what it was sent unread, in milliseconds. */
  readonly slowMs?: number
}

export interface EventStream {
  /** Aborts when the client goes or is dropped, and when the server closes. */
  readonly signal: AbortSignal
  /** Resolves once there is room for more, or the stream is over. */
  readonly send: (id: string | number | null, data: object) => Promise<void>
}

export class Streams {
  readonly #most: number
  readonly #heartbeatMs: number
  readonly #slowMs: number
  readonly #ending = new AbortController()
  #open = 0

  constructor(server: HttpServer, { most = 1000, heartbeatMs = 15_000, slowMs = 30_000 }: StreamOptions = {}) {
    this.#most = most
    this.#heartbeatMs = heartbeatMs
    this.#slowMs = slowMs
    server.addHook('preClose', () => this.#ending.abort())
  }

  get open(): number {
    return this.#open
  }

  /** Streams what `work` sends, until it returns. @throws HttpError 503 where too many are open */
  async run(reply: FastifyReply, work: (stream: EventStream) => Promise<void>): Promise<void> {
    if (this.#open >= this.#most)
      throw new HttpError(503, `${this.#open} streams are open already. Try again in a while.`, 5)
    this.#open += 1
    const gone = begin(reply)
    const beat = setInterval(() => {
      // What is unread already is sign enough.
      if (!reply.raw.writableNeedDrain) reply.raw.write(':\n\n')
    }, this.#heartbeatMs)
    try {
      const signal = AbortSignal.any([gone, this.#ending.signal])
      await work({ signal, send: (id, data) => this.#send(reply, signal, id, data) })
    } catch (error) {
      // The answer has begun: the client sees its end, and comes again.
      reply.log.warn({ err: error }, 'an event stream was cut off')
    } finally {
      clearInterval(beat)
      this.#open -= 1
      reply.raw.end()
    }
  }

  async #send({ raw }: FastifyReply, signal: AbortSignal, id: string | number | null, data: object): Promise<void> {
    if (signal.aborted) return
    if (raw.write(`${id === null ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`)) return
    const patience = AbortSignal.timeout(this.#slowMs)
    await once(raw, 'drain', { signal: AbortSignal.any([signal, patience]) }).catch(() => {
      if (patience.aborted) raw.destroy()
    })
  }
}

/** Takes the answer out of the framework's hands, with the headers that it has got there. Aborts when the client goes. */
function begin(reply: FastifyReply): AbortSignal {
  const gone = new AbortController()
  reply.raw.on('close', () => gone.abort())
  if (reply.raw.destroyed) gone.abort() // while something was looked up
  reply.hijack()
  for (const [name, value] of Object.entries(reply.getHeaders()))
    if (value !== undefined) reply.raw.setHeader(name, value)
  reply.raw.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
    // Its end is the end of the connection: a server that stops waits for none that is kept.
    connection: 'close',
  })
  reply.raw.flushHeaders()
  return gone.signal
}
