/** Starts and moves as the engine makes them, for tests of stores; nothing in here needs a test runner. */
import { v7 as uuidv7 } from 'uuid'
import type { Event } from '../core/events.ts'
import { evolve } from '../core/evolve.ts'
import type { SagaState, SagaStatus } from '../core/state.ts'
import type { Move, Start, StoredSaga, StoreWatcher } from './store.ts'

/** When everything happens that a test does not place elsewhere. */
export const at = 1_700_000_000_000

/** What `startOf` makes, as a claim names it. */
export const testVersions = [{ definition: 'test', version: 1 }]

export const watcherOf = (
  moved: (ids: readonly string[]) => unknown = () => undefined,
  waiting: () => unknown = () => undefined,
): StoreWatcher => ({ moved: (ids) => void moved(ids), waiting: () => void waiting() })

export type SagaOverrides = Partial<Omit<StoredSaga, 'state'>> & {
  readonly status?: SagaStatus
  readonly input?: unknown
}

/** A start as the engine makes it, with what a test wants otherwise. */
export function startOf(overrides: SagaOverrides = {}, live = true): Start {
  const { status = 'STARTED', input = { text: 'input' }, ...rest } = overrides
  const id = rest.id ?? uuidv7()
  const first: Event = { type: 'SagaStarted', id, definition: 'test', version: 1, seed: 1, input, at, deadline: null }
  const events = [first, ...becoming(status)]
  const saga: StoredSaga = {
    id,
    definition: 'test',
    version: 1,
    seq: 1,
    state: folded(null, events),
    owner: 'owner',
    key: null,
    fingerprint: 'fingerprint',
    businessKey: null,
    createdAt: at,
    updatedAt: at,
    ...rest,
  }
  const entry = { sagaId: id, seq: 1, at: saga.createdAt, inputId: `start:${id}`, events, status: saga.state.status }
  return { saga, live, entry }
}

/** The next move of a saga as the engine makes it, with what a test wants otherwise. */
export function moveOf(
  saga: StoredSaga,
  overrides: Partial<Pick<Move, 'owner' | 'businessKey' | 'live' | 'updatedAt'>> & {
    readonly status?: SagaStatus
    readonly entries?: number
    readonly step?: string
    readonly reply?: unknown
    readonly inputId?: string
  } = {},
): Move {
  const { status = 'STARTED', entries = 1, step = 'one', reply = 'reply', inputId, ...rest } = overrides
  const events = [stepDone(reply, step), ...becoming(status)]
  const state = folded(saga.state, events)
  return {
    id: saga.id,
    fromSeq: saga.seq,
    toSeq: saga.seq + entries,
    state,
    businessKey: saga.businessKey,
    owner: saga.owner,
    live: true,
    updatedAt: at,
    entries: Array.from({ length: entries }, (_, index) => ({
      sagaId: saga.id,
      seq: saga.seq + 1 + index,
      at: at + index,
      inputId: inputId ?? `input-${saga.seq + 1 + index}`,
      events,
      status: state.status,
    })),
    ...rest,
  }
}

const stepDone = (reply: unknown, step = 'one'): Event => ({ type: 'StepDone', step, reply })

const folded = (state: SagaState | null, events: readonly Event[]): SagaState =>
  events.reduce(evolve, state) as SagaState

/** What makes a saga that was just started so. */
function becoming(status: SagaStatus): readonly Event[] {
  switch (status) {
    case 'STARTED':
      return []
    case 'PARKED':
      return [{ type: 'SagaParked', step: 'one', reason: 'test' }]
    case 'COMPENSATING':
      return [{ type: 'CompensationStarted', step: 'one', reason: 'test' }]
    case 'CANCELLING':
      return [{ type: 'CancelStarted', afterCompletion: false }]
    case 'COMPLETED':
      return [{ type: 'SagaCompleted', at }]
    case 'COMPENSATED':
      return [{ type: 'SagaCompensated', at }]
    case 'CANCELLED':
      return [{ type: 'SagaCancelled', at }]
    case 'FAILED':
      return [{ type: 'SagaFailed', at, leftBehind: [], reason: null }]
  }
}
