/**
 * Passes requests on to the services behind the front door, and their answers back.
 *
 * Invariants:
 * - a request is whole, and within our limits, before its upstream hears of it;
 * - nothing is sent twice: whether what broke off has taken effect is for the client to find out, and it is told so;
 * - a client that goes takes its request with it; an upstream that goes in the middle of its answer breaks that off, so that
 *   no client takes a part for the whole;
 * - an event stream goes out as it comes in, for as long as both sides want it, and ends with either of them or with us.
 */
import replyFrom from '@fastify/reply-from'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { AsyncLocalStorage } from 'node:async_hooks'
import { Agent, type Dispatcher } from 'undici'
import { HttpError } from '../shared/http/http-error.ts'
import type { HttpServer } from '../shared/http/server.ts'
import { back, towards } from './headers.ts'
import type { InHand } from './in-hand.ts'
import { addressOf, type Place, type Upstream } from './upstream.ts'

/** How long a service may take to begin its answer, in milliseconds: twice what the slowest of ours allows itself. */
const defaultAnswerMs = 60_000

const connectMs = 5_000

export interface ProxyOptions {
  readonly upstreams: readonly Upstream[]
  readonly inHand: InHand
  /** How long an upstream may take to begin its answer, in milliseconds; a minute where none is given. */
  readonly answerMs?: number
}

const methods = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT']

export async function passOn(server: HttpServer, { upstreams, inHand, answerMs }: ProxyOptions): Promise<void> {
  const streams: OpenStreams = new Set()
  server.addHook('preClose', async () => {
    for (const end of streams) end()
  })
  // As many connections as there are requests, whose number is bounded. A stream may be silent for as long as it likes.
  const agent = new Agent({
    headersTimeout: answerMs ?? defaultAnswerMs,
    bodyTimeout: 0,
    connect: { timeout: connectMs },
  })
  server.addHook('onClose', () => agent.destroy())

  await server.register(async (behind) => {
    // A body goes on as the bytes that came.
    behind.removeAllContentTypeParsers()
    behind.addContentTypeParser('*', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) => body)
    await behind.register(replyFrom, {
      undici: untilClientGoes(agent),
      disableCache: true,
      disableRequestLogging: true,
    })
    behind.addHook('onRequest', async (request, reply) => {
      reply.raw.on('close', inHand.begin(request.ip))
    })
    for (const upstream of upstreams)
      for (const place of upstream.behind) {
        const handler = passOnTo(upstream, place, streams)
        for (const url of [place.prefix, `${place.prefix}/*`])
          behind.route({ method: methods, url, schema: { hide: true }, handler })
      }
  })
}

/** The streams that are open, each as what ends it. */
type OpenStreams = Set<() => void>

const passOnTo =
  (upstream: Upstream, place: Place, streams: OpenStreams) => (request: FastifyRequest, reply: FastifyReply) => {
    const { method, headers, ip } = request
    const [path = ''] = request.url.split('?')
    const address = addressOf(upstream, place, path)
    const body = request.body as Buffer | undefined
    const hasBody = body !== undefined && body.length > 0
    client.run(goneWith(reply), () =>
      reply.from(address, {
        ...(hasBody ? { body, contentType: headers['content-type'] ?? 'application/octet-stream' } : {}),
        rewriteRequestHeaders: (_request, sent) => towards(sent, place, { headers, ip, hasBody }),
        rewriteHeaders: (answered) => back(answered, upstream, place),
        retryDelay: () => null,
        onResponse: (_request, _reply, { statusCode, stream }) => {
          if (isEventStream(reply)) follow(reply, statusCode, stream, streams)
          else void reply.send(stream)
        },
        onError: (_reply, { error }) => void reply.send(failure(error, upstream, method)),
      }),
    )
    return reply
  }

/** Aborted when the client of the request that is being passed on has gone. */
const client = new AsyncLocalStorage<AbortSignal>()

function goneWith(reply: FastifyReply): AbortSignal {
  const gone = new AbortController()
  reply.raw.on('close', () => gone.abort())
  return gone.signal
}

/** The library passes no signal on, and tells of a client that has gone as of an upstream that failed. */
function untilClientGoes(agent: Agent): { readonly request: Dispatcher['request'] } {
  const request = (
    options: Dispatcher.RequestOptions,
    done: (error: Error | null, data: Dispatcher.ResponseData) => void,
  ) => {
    const signal = client.getStore() ?? null
    agent.request({ ...options, signal }, (error, data) => {
      if (error === null || signal?.aborted !== true) done(error, data)
    })
  }
  return { request: request as Dispatcher['request'] }
}

const isEventStream = (reply: FastifyReply): boolean =>
  String(reply.getHeader('content-type')).startsWith('text/event-stream')

/** Takes the answer out of the framework's hands: its headers go out before there is anything else to send. */
function follow(reply: FastifyReply, statusCode: number, stream: NodeJS.ReadableStream, streams: OpenStreams): void {
  const { raw } = reply
  const end = (): void => {
    stream.unpipe(raw)
    raw.end()
  }
  streams.add(end)
  raw.on('close', () => streams.delete(end))
  reply.hijack()
  for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) raw.setHeader(name, value)
  // Its end is the end of the connection: a server that stops waits for none that is kept.
  raw.writeHead(statusCode, { connection: 'close' })
  raw.flushHeaders()
  stream.on('error', () => raw.destroy())
  stream.pipe(raw)
}

/** Nothing has been sent yet when these happen. */
const unreachable: readonly unknown[] = [
  'ECONNREFUSED',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'EMFILE',
  'ENETUNREACH',
  'ENOTFOUND',
  'UND_ERR_CONNECT_TIMEOUT',
]

function failure({ cause }: Error, { name, title }: Upstream, method: string): HttpError {
  const { code } = Object(cause) as { readonly code?: unknown }
  const who = `${name} (${title})`
  if (unreachable.includes(code))
    return new HttpError(503, `${who} cannot be reached, so nothing was done: start it, or try again in a moment`, 2)
  const next =
    method === 'GET' || method === 'HEAD'
      ? 'try again in a moment'
      : 'whether it has done what was asked is not known, so look before you ask again'
  return code === 'UND_ERR_HEADERS_TIMEOUT'
    ? new HttpError(504, `${who} has not answered in time: ${next}`)
    : new HttpError(502, `${who} broke off before it answered: ${next}`)
}
