/** Given a saga, when inputs come, then this follows: the language of the core's tests. States are frozen throughout. */
import { z } from 'zod'
import { participantContract } from '../declare/contract.ts'
import type { Input } from './decide.ts'
import { decide } from './decide.ts'
import type { SagaDefinition } from './definition.ts'
import type { Event } from './events.ts'
import { evolve, stepOf } from './evolve.ts'
import { commandId, pending, type Command, type Direction } from './pending.ts'
import type { RetryPolicy } from './retry.ts'
import type { SagaState } from './state.ts'

export const Data = z.looseObject({ id: z.string().optional() })
const failure = z.looseObject({ error: z.string() })
export const Empty = z.looseObject({})

const shop = participantContract('shop', { tombstones: true })
const foreign = participantContract('foreign')

/** `do_x` answers `x.done` or `x.refused`. */
export const ask = (x: string, from = shop) =>
  from.command(`do_${x}`, { payload: Empty, done: [`${x}.done`, Data], rejected: [`${x}.refused`, failure] })

export const undo = (x: string, safeOnNothing = true, from = shop) =>
  from.command(`undo_${x}`, {
    payload: Empty,
    done: [`${x}.undone`, Empty],
    rejected: [`${x}.kept`, failure],
    safeOnNothing,
  })

export const foreignAsk = (x: string) => ask(x, foreign)

/** A command that cannot be refused. */
export const sure = (x: string) => shop.command(`do_${x}`, { payload: Empty, done: [`${x}.done`, Data] })

export const steady: RetryPolicy = { tries: 3, firstMs: 100, factor: 2, maxMs: 1000, jitter: 0 }

export const both = (x: string) => ({
  do: ask(x),
  with: () => ({}),
  undo: undo(x),
  undoWith: () => ({}),
  retry: steady,
  attemptMs: 1000,
})

export class Run {
  readonly definition: SagaDefinition
  readonly history: Event[] = []
  now = 0
  #state: SagaState | null = null

  constructor(definition: SagaDefinition, input: unknown = {}) {
    this.definition = definition
    this.input({ type: 'start', id: 'S', input, seed: 7 })
  }

  get state(): SagaState {
    return this.#state as SagaState
  }

  get status(): string {
    return this.state.status
  }

  /** Ids of the commands that are outstanding. */
  get open(): readonly string[] {
    return pending(this.definition, this.state).commands.map((command) => command.id)
  }

  commands(): readonly Command[] {
    return pending(this.definition, this.state).commands
  }

  get wakeAt(): number | null {
    return pending(this.definition, this.state).wakeAt
  }

  phase(step: string): string {
    return stepOf(this.state, step).phase
  }

  input(input: Input): readonly Event[] {
    const events = decide(this.definition, this.#state, freeze(input), this.now)
    this.history.push(...events)
    this.#state = freeze(events.reduce(evolve, this.#state))
    return events
  }

  /** An answer that names its command. */
  reply(step: string, type: string, payload: unknown = {}, direction: Direction = 'do'): readonly Event[] {
    return this.input({ type: 'reply', reply: { type, payload, causationId: commandId(this.state, step, direction) } })
  }

  done(...steps: readonly string[]): this {
    for (const step of steps) this.reply(step, `${step}.done`, { id: `${step}-1` })
    return this
  }

  refused(step: string, error = 'no'): this {
    this.reply(step, `${step}.refused`, { error })
    return this
  }

  undone(...steps: readonly string[]): this {
    for (const step of steps) this.reply(step, `${step}.undone`, {}, 'undo')
    return this
  }

  cancel(by = 'customer', reason = 'changed my mind'): readonly Event[] {
    return this.input({ type: 'cancel', by, reason })
  }

  /** Moves to the next wake-up and fires it, so many times. */
  wake(times = 1): this {
    for (let each = 0; each < times; each++) {
      this.now = Math.max(this.now, this.wakeAt ?? this.now)
      this.input({ type: 'time' })
    }
    return this
  }

  act(action: (Input & { type: 'act' })['action']): readonly Event[] {
    return this.input({ type: 'act', action, by: 'ann', reason: 'looked' })
  }
}

export function freeze<T>(value: T): T {
  if (value !== null && typeof value === 'object' && !Object.isFrozen(value)) {
    Object.freeze(value)
    Object.values(value).forEach(freeze)
  }
  return value
}
