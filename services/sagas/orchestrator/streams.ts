/**
 * Event streams (server-sent events, WHATWG HTML section 9.2) of one server.
 *
 * Invariants:
 * - the headers go out at once, and a comment now and then while nothing happens, so that proxies and clients know it lives;
 * - what a client does not read is not kept here: who reads too slowly is waited for, and then dropped, at once where many
 *   do so; he resumes by `Last-Event-ID`;
 * - a stream ends with its client, and with the server;
 * - no client can have all streams that a server keeps open.
 */
import type { FastifyReply } from 'fastify'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { z } from 'zod'
import { clientOf } from '../../shared/http/client.ts'
import { HttpError } from '../../shared/http/http-error.ts'
import type { HttpServer } from '../../shared/http/server.ts'

/** Of a route that streams, for its API page: what its events hold as JSON. */
export const streamOf = (data: z.ZodType) => ({
  description: 'Server-sent events; the data of each is JSON of this shape',
  content: { 'text/event-stream': { schema: data } },
})

export interface StreamOptions {
  /** Open streams of one client; 1,000 where none is given. The server has twice as many for all of them. */
  readonly perClient?: number
  /** Milliseconds between comments. */
  readonly heartbeatMs?: number
  /** How long a client may leave what it was sent unread, in milliseconds. */
  readonly slowMs?: number
  /** What all clients together may leave unread, in bytes; beyond it whoever has not read for longest is dropped. */
  readonly unreadBytes?: number
}

export interface EventStream {
  /** Aborts when the client goes or is dropped, and when the server closes. */
  readonly signal: AbortSignal
  /** Resolves once there is room for more, or the stream is over. */
  readonly send: (id: string | number | null, data: object) => Promise<void>
}

export class Streams {
  readonly #perClient: number
  readonly #most: number
  readonly #heartbeatMs: number
  readonly #slowMs: number
  readonly #unreadBytes: number
  readonly #ending = new AbortController()
  readonly #open = new Map<string, number>()
  /** Who has something unread, and how many bytes; whoever has not read for longest first. */
  readonly #unread = new Map<ServerResponse, number>()

  constructor(server: HttpServer, options: StreamOptions = {}) {
    const { perClient = 1_000, heartbeatMs = 15_000, slowMs = 30_000, unreadBytes = 64 * 1024 * 1024 } = options
    this.#perClient = perClient
    this.#most = 2 * perClient
    this.#heartbeatMs = heartbeatMs
    this.#slowMs = slowMs
    this.#unreadBytes = unreadBytes
    server.addHook('preClose', () => this.#ending.abort())
  }

  get open(): number {
    return [...this.#open.values()].reduce((sum, count) => sum + count, 0)
  }

  /**
   * Streams what `work` sends, until it returns.
   *
   * @throws HttpError 429 where too many are open for one client, 503 where there are too many of all
   */
  async run(reply: FastifyReply, work: (stream: EventStream) => Promise<void>): Promise<void> {
    const client = clientOf(reply.request.socket.remoteAddress)
    this.#admit(client)
    this.#count(client, 1)
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
      this.#count(client, -1)
      reply.raw.end()
    }
  }

  #admit(client: string): void {
    const own = this.#open.get(client) ?? 0
    if (own >= this.#perClient)
      throw new HttpError(
        429,
        `${own} streams are open from ${client}, the most for one client: close some, or set STREAMS_PER_CLIENT higher`,
        5,
      )
    if (this.open >= this.#most)
      throw new HttpError(503, `${this.#most} streams are open, the most for this service: try again in a while`, 5)
  }

  #count(client: string, change: 1 | -1): void {
    const count = (this.#open.get(client) ?? 0) + change
    if (count > 0) this.#open.set(client, count)
    else this.#open.delete(client)
  }

  async #send({ raw }: FastifyReply, signal: AbortSignal, id: string | number | null, data: object): Promise<void> {
    if (signal.aborted) return
    if (raw.write(`${id === null ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`)) return
    this.#unread.set(raw, raw.writableLength)
    this.#relieve()
    const patience = AbortSignal.timeout(this.#slowMs)
    await once(raw, 'drain', { signal: AbortSignal.any([signal, patience]) })
      .catch(() => {
        if (patience.aborted) raw.destroy()
      })
      .finally(() => this.#unread.delete(raw))
  }

  #relieve(): void {
    let total = [...this.#unread.values()].reduce((sum, bytes) => sum + bytes, 0)
    for (const [raw, bytes] of this.#unread) {
      if (total <= this.#unreadBytes) return
      raw.destroy()
      this.#unread.delete(raw)
      total -= bytes
    }
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
