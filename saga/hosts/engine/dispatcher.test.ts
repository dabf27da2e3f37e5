import { expect, test } from 'vitest'
import type { Command } from '../../core/pending.ts'
import { memoryTransport } from '../../transports/memory/memory-transport.ts'
import { RefusedError, type Message, type Transport } from '../../transports/transport.ts'
import { turns } from './engine.testkit.ts'
import { Dispatcher } from './dispatcher.ts'
import { handClock } from './shop.testkit.ts'

const command = (id: string, attempt = 1): Command => ({
  id,
  sagaId: id,
  step: 'pay',
  direction: 'do',
  attempt,
  participant: 'shop',
  channel: 'shop_commands',
  unanswered: false,
  type: 'pay',
  payload: {},
  undoes: null,
})

/** A dispatcher over a transport that takes what `refuse` lets it: what was tried, what arrived, what was told. */
function setUp(refuse: (batch: readonly Message[]) => Error | null, repeatsPerSecond = 500) {
  const clock = handClock()
  const tried: string[][] = []
  const sent: string[] = []
  const told: string[] = []
  const taken: string[] = []
  const transport: Transport = {
    ...memoryTransport(),
    publish(_channel, messages) {
      const ids = messages.map(({ id }) => id)
      tried.push(ids)
      const error = refuse(messages)
      if (error !== null) throw error // at once, as a transport that is no async function may
      sent.push(...ids)
      return Promise.resolve()
    },
  }
  const dispatcher = new Dispatcher({
    transport,
    clock,
    repeatsPerSecond,
    onProblem: ({ what }) => told.push(what),
    onSent: (commands) => taken.push(...commands.map(({ id }) => id)),
  })
  return { dispatcher, clock, tried, sent, told, taken }
}

const ids = Array.from({ length: 20 }, (_, index) => `c${index}`)

const stumbles = (messages: readonly Message[]): Error | null =>
  messages.some(({ id }) => id === 'c7' || id === 'c13') ? new TypeError('Do not know how to serialize a BigInt') : null

test('a command that cannot be sent keeps no other of its batch back', async () => {
  const { dispatcher, sent, tried, told } = setUp(stumbles)
  dispatcher.send(ids.map((id) => command(id)))
  await turns()
  expect(sent).toEqual(ids.filter((id) => id !== 'c7' && id !== 'c13'))
  expect(tried.length).toBeLessThan(20)
  expect(told).toEqual([expect.stringMatching(/refuses c7, c13 on shop_commands: change the payload/)])
})

test('a command that cannot be sent is told once, and tried only with its attempts', async () => {
  const { dispatcher, clock, tried, told } = setUp(stumbles)
  dispatcher.send([command('c7')])
  await turns()
  clock.advance(60_000)
  await turns()
  expect(tried).toHaveLength(1)
  dispatcher.send([command('c7', 2)])
  await turns()
  expect(tried).toHaveLength(2)
  expect(told).toHaveLength(1)
})

test('what a transport refuses by name is not tried again with the others, which it has taken', async () => {
  const { dispatcher, tried, told } = setUp(() => new RefusedError('larger than the broker takes', ['c3', 'c4']))
  dispatcher.send(ids.map((id) => command(id)))
  await turns()
  expect(tried).toEqual([ids])
  expect(told).toEqual([expect.stringMatching(/refuses c3, c4 on shop_commands/)])
})

test('in an outage the batch is tried once, since each half would wait for the end of it as well', async () => {
  const { dispatcher, tried, told } = setUp(() => Object.assign(new Error('no broker answers'), { code: 'not_sent' }))
  dispatcher.send(ids.map((id) => command(id)))
  await turns()
  expect(tried).toEqual([ids])
  expect(told).toEqual([expect.stringMatching(/^20 commands could not all be handed to shop_commands/)])
})

test('repeats keep to the budget of their participant; first attempts do not wait for them', async () => {
  const { dispatcher, clock, sent } = setUp(() => null, 5)
  dispatcher.send(ids.map((id) => command(id, 2)))
  dispatcher.send([command('first')])
  await turns()
  expect(sent).toEqual(['c0', 'c1', 'c2', 'c3', 'c4', 'first'])
  for (let tenth = 0; tenth < 10; tenth += 1) {
    clock.advance(100)
    await turns()
  }
  expect(sent).toHaveLength(11)
  clock.advance(60_000) // a long silence saves up one second's worth
  await turns()
  expect(sent).toHaveLength(16)
  await dispatcher.flush()
  clock.advance(60_000)
  await turns()
  expect(sent).toHaveLength(16)
})
