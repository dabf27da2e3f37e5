/** What an engine that stops, or could not start, still does: what it promises, and nothing more. */
import { describe, expect, test } from 'vitest'
import { memoryStore } from '../../stores/memory/memory-store.ts'
import type { Store } from '../../stores/store.ts'
import { memoryTransport } from '../../transports/memory/memory-transport.ts'
import type { Transport } from '../../transports/transport.ts'
import type { EngineOptions } from './engine.ts'
import { startEngine } from './engine.ts'
import {
  arrived,
  away,
  failing,
  holding,
  milk,
  passing,
  reserved,
  shared,
  started,
  taken,
  turns,
  until,
} from './engine.testkit.ts'
import { handClock, shopkeeper, shopSaga } from './shop.testkit.ts'

const stopped = { code: 'stopped', retryable: true, message: expect.stringMatching(/Ask another replica/) as string }

describe('an engine that stops', () => {
  test('finishes what it has taken in, and refuses what comes meanwhile', async () => {
    const transport = memoryTransport()
    const shop = await shopkeeper(transport, { reserve: 'nothing', pay: 'nothing' })
    const { gate, store } = holding(memoryStore())
    const engine = await started({ transport, store })
    const { saga } = await engine.start(shopSaga, milk)
    gate.close()
    const delivered = engine.deliver(arrived(saga.id))
    await until(() => expect(gate.held).toHaveLength(1))
    const cancelled = engine.cancel(saga.id, 'customer', 'too slow') // waits for the batch under way
    let over = false
    const end = engine.stop().then(() => (over = true))
    await expect(engine.start(shopSaga, milk)).rejects.toMatchObject(stopped)
    await expect(engine.cancel(saga.id, 'customer', 'no')).rejects.toMatchObject(stopped)
    await expect(engine.deliver(arrived(saga.id, 'again'))).rejects.toMatchObject(stopped)
    await turns()
    expect(over).toBe(false)
    gate.release()
    await end
    expect(await delivered).toEqual(taken)
    expect(await cancelled).toMatchObject({ accepted: true, saga: { seq: 3 } })
    await until(() => expect(shop.types()).toContain('pay')) // asked for by the batch in flight
    expect(await engine.count({})).toBe(1)
  })

  test('takes no answers any more, and wakes nobody', async () => {
    const clock = handClock()
    const transport = memoryTransport()
    const store = memoryStore(clock.now)
    const engine = await started({ transport, store, clock })
    const { saga } = await engine.start(shopSaga, milk)
    await engine.stop()
    await expect(engine.deliver(arrived(saga.id))).rejects.toMatchObject(stopped)
    await transport.publish('shop_events', [reserved(saga.id)])
    clock.advance(60_000)
    await turns()
    expect((await engine.get(saga.id))?.seq).toBe(1)
    expect(engine.figures()).toMatchObject({ queued: 0, waking: 0 })
    expect(transport.deadLetters()).toEqual([])
  })

  test('does not wait for a store that is away; answers in hand are left to the next', async () => {
    const clock = handClock()
    const inner = memoryTransport()
    const said: unknown[] = []
    const transport: Transport = {
      ...inner,
      subscribe: (channel, group, handler) =>
        inner.subscribe(channel, group, (batch) =>
          handler(batch).catch((error: unknown) => {
            said.push(error)
            throw error
          }),
        ),
    }
    const shop = await shopkeeper(transport, { reserve: 'nothing' })
    const broken = failing(memoryStore(clock.now))
    const engine = await started({ transport, clock, store: broken.store })
    const { saga } = await engine.start(shopSaga, milk)
    await until(() => expect(shop.types()).toEqual(['reserve']))
    broken.plan.before = Infinity
    await transport.publish('shop_events', [reserved(saga.id)])
    const cancelled = engine.cancel(saga.id, 'customer', 'no')
    await turns()
    const [refusal] = await Promise.allSettled([cancelled, engine.stop()])
    expect(refusal).toMatchObject({ reason: { ...stopped, cause: { code: 'unavailable' } } })
    expect(said).toMatchObject([{ code: 'unavailable' }]) // so that no try is charged
    broken.plan.before = 0
    expect((await engine.get(saga.id))?.seq).toBe(1)
    const next = await started({ transport, clock, store: broken.store })
    await passing(clock, 50, async () => expect((await next.get(saga.id))?.state.status).toBe('COMPLETED'))
    expect(inner.deadLetters()).toEqual([])
  })

  test('waits for the claim under way, and leaves what it took to others', async () => {
    const clock = handClock()
    const store = shared(memoryStore(clock.now))
    let release: (() => void) | null = null
    const slow: Store = {
      ...store,
      async claim(...args) {
        const taken = await store.claim(...args)
        if ((await store.list({})).items[0]?.owner === args[0]) await new Promise<void>((go) => (release = go))
        return taken
      },
    }
    const transport = memoryTransport()
    const shop = await shopkeeper(transport)
    const dead = await started({ store, clock })
    const taking = await started({ store: slow, transport, clock })
    const { saga } = await dead.start(shopSaga, milk)
    await dead.stop()
    clock.advance(2000)
    await until(() => expect(release).not.toBeNull())
    let over = false
    const end = taking.stop().then(() => (over = true))
    await turns()
    expect(over).toBe(false)
    release!()
    await end
    await turns()
    expect(taking.figures()).toMatchObject({ queued: 0, waking: 0, running: 0 })
    expect(shop.types()).toEqual([])
    const next = await started({ store, transport, clock })
    expect((await next.result(saga.id)).status).toBe('COMPLETED')
  })

  test('waits for what it sends, and for the ended sagas that it removes', async () => {
    const clock = handClock()
    const inner = memoryTransport()
    const memory = memoryStore(clock.now)
    const held = new Map<string, () => void>()
    const hold = (what: string): Promise<void> => new Promise((go) => held.set(what, go))
    const transport: Transport = { ...inner, publish: () => hold('publish') }
    const store: Store = { ...memory, prune: () => hold('prune').then(() => 0) }
    const engine = await started({ store, transport, clock, retainMs: 1000 })
    await engine.start(shopSaga, milk)
    clock.advance(2000)
    await until(() => expect([...held.keys()].toSorted()).toEqual(['prune', 'publish']))
    let over = false
    const end = engine.stop().then(() => (over = true))
    for (const what of ['prune', 'publish']) {
      await turns()
      expect(over).toBe(false)
      held.get(what)?.()
    }
    await end
  })

  test('stops once, however often it is asked to', async () => {
    const retired: string[] = []
    const store: Store = { ...memoryStore(), retire: (owner) => Promise.resolve(void retired.push(owner)) }
    const engine = await started({ store })
    await Promise.all([engine.stop(), engine.stop()])
    await engine.stop()
    expect(retired).toEqual([engine.owner])
  })
})

describe('an engine that could not start', () => {
  /** Starts it, and says what it had opened and not closed. */
  async function leftOpen(options: Partial<EngineOptions> & { readonly store: Store }): Promise<string[]> {
    const open = new Set<string>()
    const opened = (what: string, close: () => Promise<void>): { close(): Promise<void> } => {
      open.add(what)
      return {
        close: () => {
          open.delete(what)
          return close()
        },
      }
    }
    const inner = options.transport ?? memoryTransport()
    const transport: Transport = {
      ...inner,
      async subscribe(channel, ...rest) {
        const subscription = await inner.subscribe(channel, ...rest)
        return opened(channel, () => subscription.close())
      },
    }
    const store: Store = {
      ...options.store,
      watch: () => Promise.resolve(opened('watch', () => Promise.resolve())),
    }
    const starting = startEngine({ definitions: [shopSaga], ...options, store, transport })
    await expect(starting).rejects.toThrow('the line is cut')
    return [...open]
  }

  const cut = (): Promise<never> => Promise.reject(away('the line is cut'))

  test('since the store went away takes no answers, wakes nobody, and hears no hints', async () => {
    const clock = handClock()
    const store = shared(memoryStore(clock.now))
    const transport = memoryTransport()
    const working = await started({ store, clock })
    const { saga } = await working.start(shopSaga, milk)
    expect(await leftOpen({ store: { ...store, claim: cut }, transport, clock })).toEqual([])
    await transport.publish('shop_events', [reserved(saga.id)])
    clock.advance(900)
    await turns()
    expect(await working.get(saga.id)).toMatchObject({ seq: 1, owner: working.owner })
  })

  test('since a broker refused one of its subscriptions closes the others', async () => {
    const inner = memoryTransport()
    const [step] = shopSaga.steps
    const stall = { ...step!.do!, participant: 'stall', eventChannel: 'stall_events' }
    const definition = { ...shopSaga, steps: [step!, { ...step!, do: stall, undo: null }] }
    const transport: Transport = {
      ...inner,
      subscribe: (channel, ...rest) => (channel === 'stall_events' ? cut() : inner.subscribe(channel, ...rest)),
    }
    const options = { store: memoryStore(), transport, definitions: [definition] }
    expect(await leftOpen(options)).toEqual([])
  })

  test('does not speak of signing off where it never signed on', async () => {
    const told: string[] = []
    const store: Store = { ...memoryStore(), open: cut, retire: cut }
    expect(await leftOpen({ store, onProblem: ({ what }) => told.push(what) })).toEqual([])
    expect(told).toEqual([])
  })
})
