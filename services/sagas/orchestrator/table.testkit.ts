/**
 * For tests of the shell: a second saga and all of its service. A table is held, then the guest is told; the shell has the
 * rest. What stands here is what a further saga's service costs.
 */
import { defineSaga } from 'ordersaga'
import { participantContract } from 'ordersaga/contract'
import { stepOf } from 'ordersaga/core'
import type { StoredSaga } from 'ordersaga/store'
import { z } from 'zod'
import { failureWithError } from '../../shared/http/error-shapes.ts'
import { openOrchestrator, type OpenOrchestrator, type OrchestratorOptions } from './orchestrator.ts'
import type { Presenter } from './presenter.ts'
import { addReads, Status } from './reads.ts'
import { addActions, addCancel } from './requests.ts'
import type { Shell } from './shell.ts'
import { addStart } from './starting.ts'
import { addUpdates } from './updates.ts'

const house = participantContract('house', { tombstones: true })
const Guest = z.object({ guest: z.string() })
const refusal = z.object({ error: z.string() })
export const hold = house.command('hold', {
  payload: Guest,
  done: ['held', z.object({ table: z.int() })],
  rejected: ['full', refusal],
})
export const free = house.command('free', {
  payload: Guest,
  done: ['freed', z.object({})],
  rejected: ['kept', refusal],
  safeOnNothing: true,
})
export const tell = house.command('tell', {
  payload: z.object({ guest: z.string(), table: z.int() }),
  done: ['told', z.object({ secret: z.string() })],
  rejected: ['unreachable', refusal],
})

const quick = { tries: 2, firstMs: 10, factor: 1, maxMs: 10, jitter: 0 }
const patient = { ...quick, tries: 1000 }

const tableSaga = defineSaga('table', { version: 1, input: Guest })
  .step('hold', {
    do: hold,
    with: ({ input }) => input,
    retry: patient,
    attemptMs: 100,
    undo: free,
    undoWith: ({ input }) => input,
    undoRetry: quick,
  })
  .step('tell', {
    do: tell,
    with: ({ input, replies }) => ({ ...input, table: replies.hold.table }),
    retry: patient,
    attemptMs: 100,
  })
  .pivot()
  .end({ businessKey: ({ input }) => input.guest })

const Summary = z.object({ id: z.string(), guest: z.string(), status: Status })
const View = Summary.extend({ table: z.int().nullable() })

const summaryOf = ({ id, state }: StoredSaga) => ({ id, guest: Guest.parse(state.input).guest, status: state.status })

const tablePresenter: Presenter<z.infer<typeof Summary>, z.infer<typeof View>> = {
  summary: Summary,
  view: View,
  summaryOf,
  viewOf: (saga) => ({
    ...summaryOf(saga),
    table: (stepOf(saga.state, 'hold').reply as { readonly table: number } | undefined)?.table ?? null,
  }),
  eventView: ({ type, ...event }) => ('step' in event ? { type, step: event.step } : { type }),
}

function tableRoutes(shell: Shell): void {
  const presenter = tablePresenter
  addStart(shell, {
    path: '/tables',
    operationId: 'hold_table',
    summary: 'Hold a table',
    definition: tableSaga,
    body: Guest,
    asker: ({ guest }) => guest,
    input: (body) => body,
    status: 201,
    answer: z.object({ id: z.string() }),
    answerOf: ({ id }) => ({ id }),
  })
  addReads(shell, { prefix: '', definition: tableSaga.name, keyName: 'guest', presenter })
  addUpdates(shell, {
    path: '/tables/:saga_id/stream',
    operationId: 'follow_table',
    tells: 'states',
    presenter,
    unknown: (id) => ({ error: `There is no table ${id}.` }),
  })
  addUpdates(shell, { path: '/tables/:saga_id/moves', operationId: 'follow_moves', tells: 'moves', presenter })
  addCancel(shell, {
    prefix: '',
    summary: 'Give the table back',
    description: 'Until the guest is told.',
    by: 'guest',
    reason: 'changed plans',
    subject: 'table',
  })
  addActions(shell, '')
}

export const openTableService = (options: OrchestratorOptions): Promise<OpenOrchestrator> =>
  openOrchestrator(options, {
    name: 'table-saga',
    title: 'Table saga',
    description: 'Holds tables.',
    definitions: [tableSaga],
    group: 'table-saga',
    portVariable: 'TABLE_PORT',
    secretSteps: ['tell'],
    whenSilent: 'look again',
    errors: failureWithError,
    routes: tableRoutes,
  })
