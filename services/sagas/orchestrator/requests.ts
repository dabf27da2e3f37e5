/** What a client asks of a saga that runs: a cancel, an operator's action. */
import type { Engine, StoredAnswer } from 'ordersaga/engine'
import type { StoredSaga } from 'ordersaga/store'
import { z } from 'zod'
import { errorAlone } from '../../shared/http/error-shapes.ts'
import { HttpError } from '../../shared/http/http-error.ts'
import { act } from './acting.ts'
import { operation, SagaId, type Shell } from './shell.ts'

/** How long a cancel waits for who decides it, in milliseconds. */
const decisionMs = 10_000

const Message = z.object({ message: z.string().meta({ example: 'Done; the saga is COMPENSATED.' }) })

export interface CancelRoute {
  readonly prefix: string
  readonly summary: string
  readonly description: string
  /** Who asks and why, as the saga's history has it. */
  readonly by: string
  readonly reason: string
  /** What the saga is about, such as `order`. */
  readonly subject: string
}

export function addCancel({ server, engine, ask }: Shell, route: CancelRoute): void {
  const { prefix, summary, description, subject } = route
  server.post(
    `${prefix}/sagas/:saga_id/cancel`,
    {
      schema: {
        operationId: operation('cancel_saga', prefix),
        tags: ['sagas'],
        summary,
        description,
        params: SagaId,
        response: { 202: Message },
      },
      config: { errors: errorAlone, refuses: [404, 409] },
    },
    async (request, reply) => {
      const refused = await ask(() => cancelAndWait(engine, request.params.saga_id, route))
      if (refused !== null) throw new HttpError(409, refused)
      return reply.code(202).send({ message: `Cancellation started; the ${subject} is being undone.` })
    },
  )
}

type CancelRequest = Pick<CancelRoute, 'by' | 'reason' | 'subject'>

/**
 * Cancels, and where the saga was complete already waits for the step that decides.
 *
 * @returns null where it is cancelled or being cancelled, else why not
 */
export async function cancelAndWait(engine: Engine, sagaId: string, request: CancelRequest): Promise<string | null> {
  return outcomeOf(engine, await engine.cancel(sagaId, request.by, request.reason), request)
}

/** As `cancelAndWait`; who asks again, also at the same moment, is answered as who asked first. */
export async function cancelOnce(engine: Engine, sagaId: string, request: CancelRequest): Promise<string | null> {
  const before = await engine.get(sagaId)
  if (before !== null && isCancelled(before)) return outcomeOfFirst(engine, before, request.subject)
  const answer = await engine.cancel(sagaId, request.by, request.reason)
  if (!answer.accepted && isCancelled(answer.saga)) return outcomeOfFirst(engine, answer.saga, request.subject)
  return outcomeOf(engine, answer, request)
}

const isCancelled = ({ state: { status } }: StoredSaga): boolean => status === 'CANCELLING' || status === 'CANCELLED'

async function outcomeOf(
  engine: Engine,
  { accepted, reason, saga }: StoredAnswer,
  { subject }: CancelRequest,
): Promise<string | null> {
  const { status, cancel } = saga.state
  if (!accepted) return status === 'COMPENSATING' ? null : `The ${subject} cannot be cancelled: ${reason ?? status}`
  return cancel?.after === true ? decisionOf(engine, saga, saga.seq - 1, subject) : null
}

async function outcomeOfFirst(engine: Engine, saga: StoredSaga, subject: string): Promise<string | null> {
  if (saga.state.status !== 'CANCELLING' || saga.state.cancel?.after !== true) return null
  const started = (await engine.history(saga.id)).findLast(({ events }) =>
    events.some(({ type }) => type === 'CancelStarted'),
  )
  return decisionOf(engine, saga, (started?.seq ?? saga.seq) - 1, subject)
}

async function decisionOf(engine: Engine, saga: StoredSaga, after: number, subject: string): Promise<string | null> {
  for await (const { events, status } of engine.updates(saga.id, after, AbortSignal.timeout(decisionMs))) {
    const refused = events.find((event) => event.type === 'CancelRefused')
    if (refused !== undefined) return `The ${subject} cannot be cancelled any more (saga ${status}): ${refused.reason}`
    if (events.some((event) => event.type === 'UndoDone')) return null
  }
  return null // not decided yet: it goes on by itself, and the saga shows the outcome
}

const OperatorAction = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('retry') }),
  z.object({ kind: z.literal('skip') }),
  z.object({ kind: z.literal('giveUp') }),
  z.object({ kind: z.literal('resolve'), reply: z.unknown() }),
])

/** Who does it and why: kept with the saga. */
const Because = {
  by: z.string().min(1).max(100).meta({ example: 'jane' }),
  reason: z.string().min(1).max(1000).meta({ example: 'the gateway is mended' }),
}

export function addActions(shell: Shell, prefix: string): void {
  shell.server.post(
    `${prefix}/sagas/:saga_id/actions`,
    {
      schema: {
        operationId: operation('act_on_saga', prefix),
        tags: ['sagas'],
        summary: 'An operator settles a parked saga',
        description:
          'retry: try again; skip: the operator made sure that the step has no effect; resolve: it was done, with this reply; giveUp: end it as FAILED.',
        params: SagaId,
        body: z.object({ action: OperatorAction.meta({ example: { kind: 'retry' } }), ...Because }),
        response: { 202: Message },
      },
      config: { refuses: [404, 409] },
    },
    async (request, reply) => {
      const { accepted, refused, saga } = await act(shell, request.params.saga_id, request.body)
      if (!accepted) throw new HttpError(409, refused ?? 'refused')
      return reply.code(202).send({ message: `Done; the saga is ${saga.state.status}.` })
    },
  )
}
