/** What the events of a move say, to whoever caused it and to the host that carries it out: the same on every host. */
import type { Event } from '../core/events.ts'
import type { Command } from '../core/pending.ts'
import type { SagaState } from '../core/state.ts'
import type { Answer, Delivery, Moved } from './host.ts'

/** Why a request was refused; null where it was not. */
export function refusalIn(events: readonly Event[]): string | null {
  for (const event of events) {
    if (event.type === 'CancelRefused') return event.reason
    if (event.type === 'RequestRefused') return event.why
  }
  return null
}

/** @param state the saga after the events that a request has caused */
export function answerIn(events: readonly Event[], state: SagaState): Answer {
  const reason = refusalIn(events)
  return { accepted: reason === null, reason, state }
}

/**
 * @param events what an event or answer has caused
 * @param type its type
 * @param definition what its saga runs under, as it is told of
 */
export function deliveryIn([first]: readonly Event[], type: string, definition: string): Delivery {
  if (first === undefined)
    return { outcome: 'refused', reason: `nothing in ${definition} waits for ${type}, or follows it` }
  if (first.type === 'ReplyIgnored')
    return { outcome: first.repeated === true ? 'repeated' : 'refused', reason: first.why }
  return { outcome: first.type === 'EventKept' ? 'kept' : 'taken', reason: null }
}

/** What becomes of an event whose saga does not exist. */
export const noSaga = (sagaId: string): Delivery => ({ outcome: 'refused', reason: `There is no saga ${sagaId}.` })

/** Of the pending commands, those that these moves asked for; the others were sent before. */
export function askedIn(moves: readonly Pick<Moved, 'events'>[], commands: readonly Command[]): readonly Command[] {
  if (commands.length === 0) return commands
  const steps = new Set<string>()
  for (const { events } of moves)
    for (const event of events)
      if (event.type === 'StepAsked' || event.type === 'StepQueried' || event.type === 'UndoAsked')
        steps.add(event.step)
  return commands.filter((command) => steps.has(command.step))
}
