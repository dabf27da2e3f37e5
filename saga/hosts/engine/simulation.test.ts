/**
 * A whole system under a simulated clock, from one seed: engine, transport and participants, with messages that are lost,
 * doubled and late. The same seed gives the same histories, whatever the machine does.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { seededChance } from '../../chance.ts'
import { participantContract } from '../../declare/contract.ts'
import { defineSaga } from '../../declare/define.ts'
import { isSettled } from '../../core/state.ts'
import { memoryInbox } from '../../participant/memory-inbox.ts'
import { done, handle, participant, rejected } from '../../participant/participant.ts'
import { memoryStore } from '../../stores/memory/memory-store.ts'
import { memoryTransport } from '../../transports/memory/memory-transport.ts'
import type { Message, Transport } from '../../transports/transport.ts'
import { startEngine } from './engine.ts'
import { turns } from './engine.testkit.ts'
import { handClock } from './shop.testkit.ts'

const Item = z.object({ item: z.string() })
const shop = participantContract('shop', { tombstones: true })
const refusal = z.object({ error: z.string() })
const reserve = shop.command('reserve', { payload: Item, done: ['reserved', Item], rejected: ['sold_out', refusal] })
const release = shop.command('release', { payload: Item, done: ['released', Item], safeOnNothing: true })
const pay = shop.command('pay', { payload: Item, done: ['paid', Item], rejected: ['declined', refusal] })
const timing = { attemptMs: 1000, retry: { tries: 6 }, undoRetry: { tries: Infinity } }

const buy = defineSaga('buy', { version: 1, input: Item })
  .step('reserve', {
    do: reserve,
    with: ({ input }) => input,
    undo: release,
    undoWith: ({ input }) => input,
    ...timing,
  })
  .step('pay', { do: pay, with: ({ input }) => input, ...timing, retry: { tries: Infinity } })
  .pivot()
  .end()

/** Runs thirty sagas to their ends, and gives their histories and the effects that they left. */
async function simulate(seed: number) {
  const clock = handClock()
  const chance = seededChance(seed, clock)
  const inner = memoryTransport({ clock })
  const unreliable: Transport = {
    ...inner,
    async publish(channel, messages) {
      for (const message of messages) await inner.publish(channel, fate(chance.random(), message))
    },
  }
  const stock = new Map<string, number>()
  const add = (id: string, change: number) => void stock.set(id, (stock.get(id) ?? 0) + change)
  await participant({
    name: 'shop',
    source: 'shop',
    inbox: memoryInbox(),
    clock,
    handlers: [
      handle(reserve, async (_tx, { sagaId, payload }) => {
        if (chance.random() < 0.2) return rejected('sold out')
        add(sagaId, 1)
        return done(payload)
      }),
      handle(release, async (_tx, { sagaId, payload, original }) => {
        if (original?.kind === 'done') add(sagaId, -1)
        return done(payload)
      }),
      handle(pay, async (_tx, { payload }) => (chance.random() < 0.3 ? rejected('declined') : done(payload))),
    ],
  }).attach(unreliable)
  const store = memoryStore(clock.now)
  const engine = await startEngine({ store, transport: unreliable, clock, chance, definitions: [buy] })
  const ids: string[] = []
  for (let each = 0; each < 30; each += 1) ids.push((await engine.start(buy, { item: `item-${each}` })).id)
  for (let seconds = 0; seconds < 600; seconds += 1) {
    await turns()
    clock.advance(1000)
  }
  const states = await Promise.all(ids.map((id) => engine.state(id)))
  const histories = await Promise.all(ids.map((id) => engine.history(id)))
  await engine.stop()
  await inner.close()
  return { states, histories, stock }
}

/** Three messages of ten are lost, one comes twice. */
const fate = (chance: number, message: Message): readonly Message[] =>
  chance < 0.3 ? [] : chance < 0.4 ? [message, message] : [message]

test('from the same seed everything happens again, ids and times included', async () => {
  const [one, again, other] = [await simulate(7), await simulate(7), await simulate(8)]
  expect(again).toEqual(one)
  expect(other.histories).not.toEqual(one.histories)
}, 60_000)

test(
  'whatever the network does, every saga ends, and what it reserved is sold or given back',
  () =>
    fc.assert(
      fc.asyncProperty(fc.integer(), async (seed) => {
        const { states, stock } = await simulate(seed)
        for (const state of states) {
          expect(state !== null && isSettled(state.status) && state.status !== 'PARKED').toBe(true)
          expect(stock.get(String(state?.id)) ?? 0).toBe(state?.status === 'COMPLETED' ? 1 : 0)
        }
      }),
      { numRuns: 20 },
    ),
  120_000,
)
