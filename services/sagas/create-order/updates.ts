/**
 * A saga's moves as an event stream (server-sent events, WHATWG HTML section 9.2): past ones first, then live ones, until
 * the saga ends or parks. A client that was cut off resumes with `Last-Event-ID`; each event's id is the move's number.
 *
 * An end in the past is none where the saga went on after it (a cancel after completion, a late answer, an operator). A
 * client that has seen the last move of a saga at rest is answered 204, which tells an EventSource not to come again.
 */
import type { FastifyReply } from 'fastify'
import type { Engine } from 'ordersaga/engine'
import type { HistoryEntry } from 'ordersaga/store'
import { isSettled } from 'ordersaga/state'
import { z } from 'zod'
import { HttpError } from '../../shared/http/http-error.ts'
import type { HttpServer } from '../../shared/http/server.ts'
import { utcText } from '../../shared/time/utc.ts'
import { eventView } from './presenter.ts'

/** Open streams of this process; each holds a socket. */
const mostStreams = 1000

export function addUpdates(server: HttpServer, engine: Engine): void {
  let open = 0
  const ending = new AbortController()
  server.addHook('preClose', () => ending.abort())
  for (const prefix of ['/api', ''])
    server.get(
      `${prefix}/sagas/:saga_id/updates`,
      {
        exposeHeadRoute: false, // it would follow the saga for nobody
        schema: {
          summary: 'Follow a saga as an event stream',
          params: z.object({ saga_id: z.string().max(100) }),
          headers: z.object({ 'last-event-id': z.coerce.number().int().min(0).optional() }),
        },
      },
      async (request, reply) => {
        const { saga_id } = request.params
        const after = request.headers['last-event-id'] ?? 0
        const saga = await engine.get(saga_id)
        if (saga === null) throw new HttpError(404, `There is no saga ${saga_id}.`)
        if (isSettled(saga.state.status) && after >= saga.seq) return reply.code(204).send()
        if (open >= mostStreams) throw new HttpError(503, `${open} streams are open already. Try again in a while.`, 5)
        open += 1
        try {
          const gone = beginStream(reply)
          for await (const update of engine.updates(saga_id, after, AbortSignal.any([gone, ending.signal]))) {
            reply.raw.write(eventOf(update))
            if (isSettled(update.status) && (await isLast(engine, saga_id, update))) break
          }
        } finally {
          open -= 1
          reply.raw.end()
        }
      },
    )
}

/** Takes the answer out of the framework's hands, with the headers that it has got there. Aborts when the client goes. */
function beginStream(reply: FastifyReply): AbortSignal {
  const gone = new AbortController()
  reply.raw.on('close', () => gone.abort())
  if (reply.raw.destroyed) gone.abort() // while the saga was looked up
  reply.hijack()
  for (const [name, value] of Object.entries(reply.getHeaders()))
    if (value !== undefined) reply.raw.setHeader(name, value)
  reply.raw.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  })
  return gone.signal
}

async function isLast(engine: Engine, sagaId: string, { seq }: HistoryEntry): Promise<boolean> {
  const saga = await engine.get(sagaId)
  return saga === null || saga.seq <= seq
}

function eventOf({ seq, at, status, events }: HistoryEntry): string {
  const update = { seq, at: utcText(at), status, events: events.map(eventView) }
  return `id: ${seq}\ndata: ${JSON.stringify(update)}\n\n`
}
