/** A line in the log for each move of a saga: what happened, to which step, in which trace. */
import type { SagaMoved } from 'ordersaga/engine'
import type { Event } from 'ordersaga/events'
import type { Logger } from 'pino'

/** What a step was answered is in no line, but for why it was refused. */
export function moveLog(log: Logger): (move: SagaMoved) => void {
  return (move) => {
    const parked = move.events.some(({ type }) => type === 'SagaParked')
    const level = parked ? 'error' : 'info'
    if (log.isLevelEnabled(level)) log[level](lineOf(move), move.events.map(words).join(', '))
  }
}

function lineOf({ seq, inputId, status, events, state }: SagaMoved) {
  const steps = events.flatMap((event) => ('step' in event && event.step !== undefined ? [event.step] : []))
  const reasons = events.flatMap((event) => ('reason' in event && event.reason !== null ? [event.reason] : []))
  return {
    sagaId: state.id,
    // One trace for all messages of a saga of ours.
    traceId: state.id.replaceAll('-', ''),
    definition: state.definition,
    version: state.version,
    seq,
    status,
    cause: inputId,
    step: steps.at(-1) ?? null,
    what: events.map(({ type }) => type),
    ...(reasons.length === 0 ? {} : { reason: reasons.at(-1) }),
  }
}

/** @example 'StepAsked create' becomes 'create asked'; 'SagaCompleted' 'saga completed' */
function words(event: Event): string {
  const plain = plainOf(event.type)
  if (!('step' in event) || event.step === undefined) return plain
  return plain.startsWith('step ') ? `${event.step} ${plain.slice(5)}` : `${plain} ${event.step}`
}

/** Types of events in words: a few, and asked for with every move. */
const known = new Map<string, string>()

function plainOf(type: string): string {
  const before = known.get(type)
  if (before !== undefined) return before
  const plain = type.replaceAll(/(?!^)([A-Z])/g, ' $1').toLowerCase()
  known.set(type, plain)
  return plain
}
