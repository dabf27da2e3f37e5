/** Engines that end with their test, and stores that fail as told. */
import { setImmediate as turn } from 'node:timers/promises'
import { onTestFinished, vi } from 'vitest'
import { memoryStore } from '../../stores/memory/memory-store.ts'
import type { Move, Start, Store } from '../../stores/store.ts'
import { StoreError } from '../../stores/store.ts'
import { memoryTransport } from '../../transports/memory/memory-transport.ts'
import type { Message } from '../../transports/transport.ts'
import type { Delivery, Incoming } from '../host.ts'
import type { Engine, EngineOptions } from './engine.ts'
import { startEngine } from './engine.ts'
import { shopSaga, type HandClock } from './shop.testkit.ts'

export const milk = { item: 'milk' }

export async function started(options: Partial<EngineOptions> = {}): Promise<Engine> {
  const engine = await startEngine({
    store: memoryStore(),
    transport: memoryTransport(),
    definitions: [shopSaga],
    ...options,
  })
  onTestFinished(() => engine.stop())
  return engine
}

export const until = (check: () => void | Promise<void>): Promise<void> =>
  vi.waitFor(check, { timeout: 10_000, interval: 5 })

/** Lets what is under way in this process go on, where nothing says that it has. */
export async function turns(): Promise<void> {
  for (let count = 0; count < 20; count += 1) await turn()
}

/** Moves the clock on until it holds: what a move starts has ended before the next, however slow the machine is. */
export const passing = (clock: HandClock, ms: number, check: () => void | Promise<void>): Promise<void> =>
  until(async () => {
    clock.advance(ms)
    await turns()
    await check()
  })

/** As a store that several processes share; none of them hears hints. */
export function shared(store: Store): Store {
  const { exclusive: _, use: _one, ...rest } = store
  return rest
}

interface Batch {
  readonly starts: readonly Start[]
  readonly moves: readonly Move[]
}

/** A store whose commits fail as told: before their effect, after it, or for what is refused. */
export function failing(store: Store) {
  const plan = { before: 0, after: 0, error: away('the line is cut'), refuse: (_batch: Batch): boolean => false }
  const wrapped: Store = {
    ...store,
    async commit(batch) {
      if (plan.before-- > 0) throw plan.error
      if (plan.refuse(batch)) throw new StoreError('refused', 'a row is refused')
      const result = await store.commit(batch)
      if (plan.after-- > 0) throw plan.error
      return result
    },
  }
  return { plan, store: wrapped }
}

export const away = (why: string): Error => new StoreError('unavailable', why)

/** A store whose commits wait from `close` until `release`; `held` are those that do. */
export function holding(store: Store) {
  let waiting: (() => void)[] | null = null
  const gate = {
    held: [] as Batch[],
    close(): void {
      waiting = []
      onTestFinished(gate.release) // an engine whose commit is held would not stop
    },
    release(): void {
      waiting?.forEach((go) => go())
      waiting = null
    },
  }
  const wrapped: Store = {
    ...store,
    async commit(batch) {
      if (waiting !== null) {
        gate.held.push(batch)
        await new Promise<void>((go) => waiting?.push(go))
      }
      return store.commit(batch)
    },
  }
  return { gate, store: wrapped }
}

/** The shop's answer to the first step of a saga. */
export const reserved = (sagaId: string, id = 'reserved'): Message => ({
  id,
  type: 'reserve.done',
  correlationId: sagaId,
  causationId: `${sagaId}:reserve:do`,
  timestamp: '',
  payload: { ref: 'r-1' },
})

/** The same, handed in. */
export function arrived(sagaId: string, id = 'reserved'): Incoming {
  const { correlationId: _, timestamp: _at, ...message } = reserved(sagaId, id)
  return { ...message, sagaId }
}

export const taken: Delivery = { outcome: 'taken', reason: null }
