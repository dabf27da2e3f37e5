/**
 * Takes an event from outside in: a step waits for it, or will; or something follows it by the definition.
 *
 * Each event counts once, by the id of its message. One that comes before its wait is kept with the saga; since each fills
 * one wait, no more are kept than there are waits to come.
 */
import { followEvent } from './advance.ts'
import { check, type EventContract, type ReplyMessage } from './contract.ts'
import type { Follow } from './definition.ts'
import type { EventName } from './events.ts'
import { followedName } from './evolve.ts'
import { whyNotPlain } from './plain.ts'
import { hasEnded } from './state.ts'
import type { Turn } from './turn.ts'

/** Events that are kept for what follows them: more is a flood, not an order. */
const mostKept = 32

/** False where the definition knows no such event. */
export function takeEvent(turn: Turn, message: ReplyMessage): boolean {
  const waits = turn.definition.byEvent.get(message.type) ?? []
  const follow = turn.definition.follows.find(({ event }) => event.type === message.type)
  if (waits.length === 0 && follow === undefined) return false
  const event: EventName = { type: message.type, id: message.id ?? null }
  const why = whyNot(turn, message, event)
  if (why !== null) turn.emit({ type: 'ReplyIgnored', reply: message.type, ...why })
  else take(turn, event, message, follow)
  return true
}

interface Ignored {
  readonly why: string
  readonly repeated?: true
}

/** Why an event has no consequence, whatever is in it. */
function whyNot(turn: Turn, { type }: ReplyMessage, event: EventName): Ignored | null {
  const { state } = turn
  if (event.id !== null && cameBefore(turn, event)) return { why: 'this event came before', repeated: true }
  if (hasEnded(state.status) && !(state.status === 'COMPLETED' && turn.definition.follows.length > 0))
    return { why: `the saga has ended ${state.status}` }
  if ((state.kept ?? []).filter((each) => each.event.type === type).length >= mostKept)
    return { why: `${mostKept} events of ${type} wait already` }
  return null
}

function cameBefore(turn: Turn, name: EventName): boolean {
  const { type, id } = name
  const { kept = [], followed = [] } = turn.state
  const waits = turn.definition.byEvent.get(type) ?? []
  return (
    kept.some(({ event }) => event.type === type && event.id === id) ||
    followed.includes(followedName(name)) ||
    waits.some((step) => turn.step(step).by === id)
  )
}

function take(turn: Turn, event: EventName, message: ReplyMessage, follow: Follow | undefined): void {
  const waits = turn.definition.byEvent.get(event.type) ?? []
  const waiting = waits.find((step) => turn.step(step).phase === 'asked')
  const contract = ((waiting ?? waits[0])?.event ?? follow?.event) as EventContract // one of them is why it is taken
  const data = check(contract.data, message.payload)
  const wrong = data.ok ? whyNotPlain(data.value, 'it') : data.why
  if (!data.ok || wrong !== null)
    return turn.emit({
      type: 'ReplyIgnored',
      reply: event.type,
      why: `it cannot be read: ${wrong}`,
      ...(waiting === undefined ? {} : { step: waiting.name }),
    })
  if (waiting !== undefined) return turn.emit({ type: 'StepDone', step: waiting.name, reply: data.value, event })
  if (mayStillWait(turn, event)) return turn.emit({ type: 'EventKept', event, data: data.value })
  if (follow !== undefined) return void followEvent(turn, follow, event, data.value)
  turn.emit({ type: 'ReplyIgnored', reply: event.type, why: 'no step waits for it any more' })
}

/** A wait for it is to come, and is not filled yet. */
function mayStillWait(turn: Turn, { type }: EventName): boolean {
  const { state, definition } = turn
  if ((state.parked?.from ?? state.status) !== 'STARTED') return false
  const waits = definition.byEvent.get(type) ?? []
  const toCome = waits.filter((step) => turn.step(step).phase === 'todo').length
  return (state.kept ?? []).filter(({ event }) => event.type === type).length < toCome
}
