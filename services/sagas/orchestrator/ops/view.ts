/** Sagas, moves and plans as an operator sees them: in the words of the definition, without what is for the saga alone. */
import { stepOf, openSteps } from 'ordersaga/core'
import type { Plan, Preview } from 'ordersaga/engine'
import type { Event } from 'ordersaga/events'
import type { SagaState } from 'ordersaga/state'
import type { HistoryEntry, StoredSaga } from 'ordersaga/store'
import type { z } from 'zod'
import type { EventView } from '../presenter.ts'
import type { AuditView, Detail, MoveView, PlanView, PreviewView, Summary } from './schemas.ts'

export interface OpsView {
  readonly move: (entry: HistoryEntry) => z.infer<typeof MoveView>
  readonly preview: (preview: Preview) => z.infer<typeof PreviewView>
}

/** @param secretSteps steps whose answers are for the saga alone */
export function opsView(secretSteps: readonly string[]): OpsView {
  const event = (event: Event): z.infer<typeof EventView> =>
    'reply' in event && event.type !== 'ReplyIgnored' && secretSteps.includes(event.step)
      ? { ...event, reply: null }
      : event
  return {
    move: ({ seq, at, status, inputId, events }) => ({
      seq,
      at: timeOf(at),
      status,
      cause: inputId,
      events: events.map(event),
    }),
    preview: ({ accepted, reason, events, state, plan }) => ({
      accepted,
      refused: reason,
      events: events.map(event),
      status: state.status,
      plan: planView(plan),
    }),
  }
}

const timeOf = (ms: number): string => new Date(ms).toISOString()

const timeOrNull = (ms: number | null | undefined): string | null => (ms == null ? null : timeOf(ms))

export function summaryOf(saga: StoredSaga): z.infer<typeof Summary> {
  const { state } = saga
  return {
    id: saga.id,
    definition: saga.definition,
    version: saga.version,
    status: state.status,
    key: saga.businessKey,
    seq: saga.seq,
    waits: state.parked === null ? [...openSteps(state)] : [state.parked.step],
    reason: state.parked?.reason ?? state.cancel?.reason ?? state.error?.reason ?? null,
    startedAt: timeOf(saga.createdAt),
    updatedAt: timeOf(saga.updatedAt),
  }
}

export function detailOf(saga: StoredSaga, steps: readonly string[], plan: Plan | null): z.infer<typeof Detail> {
  const { state, owner } = saga
  return {
    ...summaryOf(saga),
    input: state.input,
    cancel: state.cancel === null ? null : { ...state.cancel, at: timeOf(state.cancel.at) },
    leftBehind: [...state.leftBehind],
    endedAt: timeOrNull(state.endedAt),
    owner,
    steps: steps.flatMap((step) => stepView(state, step)),
    plan: plan === null ? null : planView(plan),
  }
}

function stepView(state: SagaState, step: string) {
  const { phase, attempts, since, nextAt, why } = stepOf(state, step)
  if (phase === 'todo') return []
  return [{ step, phase, attempts, firstAskedAt: timeOf(since), nextAt: timeOrNull(nextAt), why: why ?? null }]
}

const planView = ({ outstanding, ahead, undo, wakeUps }: Plan): z.infer<typeof PlanView> => ({
  outstanding: [...outstanding],
  ahead: [...ahead],
  undo: [...undo],
  wakeUps: wakeUps.map(({ at, step, why }) => ({ at: timeOf(at), step, why })),
})

/** What people and clocks asked for, as the causes of moves name it. */
const asked = /^(cancel|retry|skip|resolve|giveUp):/

/** The record of a request; null where something else caused the move. */
export function auditOf({ seq, at, inputId, events }: HistoryEntry): z.infer<typeof AuditView> | null {
  const [, what] = asked.exec(inputId) ?? []
  if (what === undefined) return null
  const record = { seq, at: timeOf(at), what, by: null, why: null, accepted: true, refused: null }
  for (const event of events) {
    if (event.type === 'CancelRequested' || event.type === 'SagaResumed')
      return { ...record, by: event.by, why: event.reason }
    if (event.type === 'SagaFailed') return { ...record, ...gaveUp(event.reason ?? '') }
    if (event.type === 'CancelRefused') return { ...record, by: event.by, accepted: false, refused: event.reason }
    if (event.type === 'RequestRefused')
      return { ...record, by: event.by ?? null, why: event.reason ?? null, accepted: false, refused: event.why }
  }
  return record
}

/** The history keeps both in one sentence. */
function gaveUp(text: string): { readonly by: string | null; readonly why: string } {
  const [, by = null, why = text] = /^(.*?) gave up: (.*)$/s.exec(text) ?? []
  return { by, why }
}
