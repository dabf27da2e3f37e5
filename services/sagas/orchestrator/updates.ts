/**
 * A saga as an event stream, until it ends or parks; each event's id is the number of the move that it tells of, and a client
 * that was cut off resumes with `Last-Event-ID`.
 *
 * An end in the past is none where the saga went on after it (a cancel after completion, a late answer, an operator). A
 * client that has seen the last move of a saga at rest is answered 204, which tells an EventSource not to come again.
 */
import type { FastifyRequest } from 'fastify'
import { evolve } from 'ordersaga/core'
import type { Engine } from 'ordersaga/engine'
import { isSettled, type SagaState } from 'ordersaga/state'
import type { HistoryEntry, StoredSaga } from 'ordersaga/store'
import { z } from 'zod'
import { errorAlone } from '../../shared/http/error-shapes.ts'
import { UtcText, utcText } from '../../shared/time/utc.ts'
import { EventView, type Presenter } from './presenter.ts'
import { AfterMove, Status } from './reads.ts'
import { found, SagaId, type Shell } from './shell.ts'
import { streamOf, type EventStream } from './streams.ts'

const Move = z.object({
  seq: z.int().meta({ example: 3 }),
  at: UtcText,
  status: Status,
  events: z.array(EventView),
})

export interface UpdatesRoute {
  /** With `:saga_id` in it. */
  readonly path: string
  readonly operationId: string
  /** `moves`: every move, the past ones first. `states`: the state now, then the state after what follows. */
  readonly tells: 'moves' | 'states'
  readonly presenter: Presenter
  /** What is told, with 200, of a saga that is not there; 404 where none is given. */
  readonly unknown?: (sagaId: string) => { readonly error: string }
  /** Where not everybody may follow every saga. */
  readonly guard?: {
    /** For the API page. */
    readonly security: readonly Readonly<Record<string, readonly string[]>>[]
    /** @throws HttpError where nobody may that asks like this */
    readonly preValidation: (request: FastifyRequest) => Promise<void>
    /** @throws HttpError where there is none for who asks */
    readonly find: (request: FastifyRequest, id: string) => Promise<StoredSaga>
  }
}

export function addUpdates({ server, engine, streams }: Shell, route: UpdatesRoute): void {
  const { path, operationId, tells, presenter, unknown, guard } = route
  const told = tells === 'moves' ? Move : presenter.view
  server.get(
    path,
    {
      exposeHeadRoute: false, // it would follow the saga for nobody
      schema: {
        operationId,
        tags: ['sagas'],
        summary: 'Follow a saga as an event stream',
        description: `Each event has an id and JSON as its data: ${tells === 'moves' ? 'a move of the saga, from its first' : 'the saga as it is now, then as it becomes'}. It ends when the saga has ended or needs an operator.`,
        ...(guard === undefined ? {} : { security: guard.security }),
        params: SagaId,
        headers: z.object({ 'last-event-id': AfterMove }),
        response: {
          200: streamOf(unknown === undefined ? told : z.union([told, errorAlone.schema])),
          204: z.null().describe('Nothing more is to come'),
        },
      },
      config: { refuses: refusedWith(route) },
      ...(guard === undefined ? {} : { preValidation: guard.preValidation }),
    },
    async (request, reply) => {
      const { saga_id } = request.params
      const seen = request.headers['last-event-id'] ?? 0
      if (unknown !== undefined && (await engine.get(saga_id)) === null)
        return streams.run(reply, (stream) => stream.send(null, unknown(saga_id)))
      const saga = guard === undefined ? await found(engine, saga_id) : await guard.find(request, saga_id)
      // One that says that it has seen moves that are not there yet has mistaken the saga, and shall hear of its end all the same.
      const after = Math.min(seen, saga.seq)
      const shown = tells === 'moves' ? null : await shownOf(engine, presenter, saga, after)
      const more = shown === null ? seen < saga.seq : shown.changes.length > 0
      if (isSettled(saga.state.status) && !more) return reply.code(204).send(null)
      await streams.run(reply, (stream) =>
        shown === null
          ? tellMoves({ engine, presenter, stream, saga, after })
          : tellStates({ engine, presenter, stream, saga, shown }),
      )
    },
  )
}

const refusedWith = ({ unknown, guard }: UpdatesRoute): readonly (401 | 404 | 422)[] => [
  ...(unknown === undefined ? ([404] as const) : []),
  ...(guard === undefined ? [] : ([401, 422] as const)),
]

interface Telling {
  readonly engine: Engine
  readonly presenter: Presenter
  readonly stream: EventStream
  /** As it was when the client came. */
  readonly saga: StoredSaga
}

/** @param telling with the number of the last move that the client has seen */
async function tellMoves(telling: Telling & { readonly after: number }): Promise<void> {
  const { engine, presenter, stream, saga, after } = telling
  for await (const update of engine.updates(saga.id, after, stream.signal)) {
    const { seq, at, status, events } = update
    await stream.send(seq, { seq, at: utcText(at), status, events: events.map(presenter.eventView) })
    if (isSettled(status) && (await isLast(engine, update))) return
  }
}

async function isLast(engine: Engine, { sagaId, seq }: Pick<HistoryEntry, 'sagaId' | 'seq'>): Promise<boolean> {
  const saga = await engine.get(sagaId)
  return saga === null || saga.seq <= seq
}

interface Shown {
  /** What is to be told at once: the state now; to a client that comes again, every state since the one that he saw last. */
  readonly changes: readonly StoredSaga[]
  /** Takes the next move; null where it changed nothing of what is shown (but its time). */
  readonly next: (move: HistoryEntry) => StoredSaga | null
}

async function shownOf(engine: Engine, presenter: Presenter, saga: StoredSaga, after: number): Promise<Shown> {
  if (after === 0) return { changes: [saga], next: showing(presenter, saga, saga.state) }
  const changes: StoredSaga[] = []
  const next = showing(presenter, saga, null)
  for (let seq = 0; seq < saga.seq;) {
    const moves = (await engine.history(saga.id, seq)).filter((move) => move.seq <= saga.seq)
    for (const move of moves) {
      const now = next(move)
      if (now !== null && now.seq > after) changes.push(now)
    }
    seq = moves.at(-1)?.seq ?? saga.seq // where there are none, it has been removed
  }
  return { changes, next }
}

/** @param from the state before the first move that comes */
function showing(presenter: Presenter, saga: StoredSaga, from: SagaState | null): Shown['next'] {
  const viewOf = (at: StoredSaga): string => JSON.stringify(presenter.viewOf({ ...at, updatedAt: 0 }))
  let state = from
  let told = from === null ? '' : viewOf(saga)
  return ({ seq, at, events }) => {
    state = events.reduce<SagaState | null>(evolve, state)
    if (state === null) return null
    const now = { ...saga, seq, state, updatedAt: at }
    const view = viewOf(now)
    if (view === told) return null
    told = view
    return now
  }
}

async function tellStates(telling: Telling & { readonly shown: Shown }): Promise<void> {
  const { engine, presenter, stream, saga, shown } = telling
  const tell = (now: StoredSaga): Promise<void> => stream.send(now.seq, presenter.viewOf(now))
  for (const now of shown.changes) await tell(now)
  if (isSettled(saga.state.status) && (await isLast(engine, { sagaId: saga.id, seq: saga.seq }))) return
  for await (const move of engine.updates(saga.id, saga.seq, stream.signal)) {
    const now = shown.next(move)
    if (now !== null) await tell(now)
    if (isSettled(move.status) && (await isLast(engine, move))) return
  }
}
