/** Events and answers that are handed in: what became of each is told. */
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { participantContract } from '../../declare/contract.ts'
import { defineSaga } from '../../declare/define.ts'
import { memoryStore } from '../../stores/memory/memory-store.ts'
import { memoryTransport } from '../../transports/memory/memory-transport.ts'
import type { Message } from '../../transports/transport.ts'
import { failing, milk, passing, started, taken, until } from './engine.testkit.ts'
import { handClock, shopkeeper, shopSaga } from './shop.testkit.ts'

const confirmed = { type: 'confirmed', data: z.object({ mail: z.string() }), channel: 'web_events' }
const [reserve] = shopSaga.steps

const signUp = defineSaga('sign-up', { version: 1, input: shopSaga.input })
  .step('reserve', { do: reserve!.do!, with: () => ({}), undo: reserve!.undo!, undoWith: () => ({}), attemptMs: 1000 })
  .wait('confirmed', { for: confirmed, withinMs: 3 * 86_400_000 })
  .end()

async function setUp(answer: 'done' | 'nothing' = 'done') {
  const clock = handClock()
  const transport = memoryTransport({ clock })
  const shop = await shopkeeper(transport, { reserve: answer })
  const engine = await started({ transport, clock, definitions: [signUp] })
  const { saga } = await engine.start(signUp, milk)
  const event = (id: string, payload: unknown = { mail: 'a@b.c' }, type = 'confirmed') => ({
    sagaId: saga.id,
    id,
    type,
    payload,
  })
  return { clock, transport, shop, engine, saga, event }
}

describe('an event', () => {
  test('that comes before its wait is kept, and the saga completes when it gets there', async () => {
    const { engine, saga, event, transport } = await setUp('nothing')
    expect(await engine.deliver(event('m1'))).toEqual({ outcome: 'kept', reason: null })
    expect(await engine.deliver(event('m1'))).toMatchObject({ outcome: 'repeated' })
    await transport.publish('shop_events', [answer(saga.id)])
    expect(await engine.result(saga.id, { definition: signUp })).toMatchObject({
      status: 'COMPLETED',
      replies: { confirmed: { mail: 'a@b.c' } },
    })
    expect(await engine.deliver(event('m1'))).toMatchObject({ outcome: 'repeated' })
    expect(await engine.deliver(event('m2'))).toEqual({ outcome: 'refused', reason: 'the saga has ended COMPLETED' })
  })

  test('comes by the channel that its contract names', async () => {
    const { engine, saga, transport } = await setUp()
    const message = { ...answer(saga.id), id: 'w1', type: 'confirmed', causationId: undefined, payload: { mail: 'x' } }
    await transport.publish('web_events', [message])
    expect((await engine.result(saga.id)).status).toBe('COMPLETED')
  })

  test('of a wrong type, with a bad payload, or for no saga is refused with the reason', async () => {
    const { engine, event } = await setUp('nothing')
    expect(await engine.deliver(event('m1', {}, 'confirmd'))).toEqual({
      outcome: 'refused',
      reason: 'nothing in sign-up version 1 waits for confirmd, or follows it',
    })
    expect(await engine.deliver(event('m2', { mail: 7 }))).toMatchObject({
      outcome: 'refused',
      reason: expect.stringMatching(/cannot be read: mail/) as string,
    })
    expect(await engine.deliver({ ...event('m3'), sagaId: 'nobody' })).toEqual({
      outcome: 'refused',
      reason: 'There is no saga nobody.',
    })
  })
})

const answer = (sagaId: string): Message => ({
  id: 'r1',
  type: 'reserve.done',
  correlationId: sagaId,
  causationId: `${sagaId}:reserve:do`,
  timestamp: '',
  payload: { ref: 'r-1' },
})

test('a result is typed by its definition, and refused where the saga is of another', async () => {
  const { engine, saga, event } = await setUp()
  await until(async () => expect((await engine.deliver(event('m1'))).outcome).not.toBe('refused'))
  const { replies } = await engine.result(saga.id, { definition: signUp })
  const mail: string | undefined = replies.confirmed?.mail
  expect(mail).toBe('a@b.c')
  // @ts-expect-error there is no step called paid
  expect(replies.paid).toBeUndefined()
  await expect(engine.result(saga.id, { definition: shopSaga })).rejects.toThrow(/none of shop, but of sign-up/)
})

test('an event under the id of another, whose commit fails at first, is not taken for that one', async () => {
  const { store, plan } = failing(memoryStore())
  const clock = handClock()
  const twice = defineSaga('twice', { version: 1, input: z.object({}) })
    .wait('paid', { for: { type: 'paid', data: z.object({}) }, withinMs: 60_000 })
    .wait('sent', { for: { type: 'sent', data: z.object({}) }, withinMs: 60_000 })
    .step('reserve', { do: reserve!.do!, with: () => ({}), effect: 'none' })
    .end()
  const engine = await started({ store, clock, definitions: [twice], onProblem: () => undefined })
  const { id: sagaId } = await engine.start(twice, {})
  const event = { sagaId, id: 'order-42', payload: {} }
  expect(await engine.deliver({ ...event, type: 'paid' })).toEqual(taken)
  plan.before = 1
  const delivered = engine.deliver({ ...event, type: 'sent' })
  await passing(clock, 50, async () => expect((await engine.state(sagaId))?.stage).toBe(2))
  expect(await delivered).toEqual(taken)
})

test('an event that two definitions find their sagas by in different ways reaches the sagas of both', async () => {
  const Seen = z.object({ order: z.string(), customer: z.string() })
  const waiting = (name: string, sagaId?: (payload: unknown) => string) =>
    defineSaga(name, { version: 1, input: z.object({}) })
      .wait('seen', { for: { type: 'seen', channel: 'news', data: Seen, ...(sagaId && { sagaId }) }, withinMs: 60_000 })
      .step('reserve', { do: reserve!.do!, with: () => ({}), effect: 'none' })
      .end()
  const byOrder = waiting('by-order', (payload) => Seen.parse(payload).order)
  const byCustomer = waiting('by-customer', (payload) => Seen.parse(payload).customer)
  const byCorrelation = waiting('by-correlation')
  const transport = memoryTransport()
  const engine = await started({ transport, definitions: [byOrder, byCustomer, byCorrelation] })
  const { id: order } = await engine.start(byOrder, {})
  const { id: customer } = await engine.start(byCustomer, {})
  const { id: correlationId } = await engine.start(byCorrelation, {})
  const { id: other } = await engine.start(byOrder, {})
  const message = { type: 'seen', correlationId, timestamp: '' }
  await transport.publish('news', [
    { ...message, id: 'odd', payload: null },
    { ...message, id: 'm1', payload: { order, customer } },
  ])
  for (const id of [order, customer, correlationId])
    await until(async () => expect((await engine.state(id))?.stage).toBe(1))
  expect((await engine.state(other))?.stage).toBe(0)
})

test('a message id that no database takes harms no saga', async () => {
  const { engine, saga, event } = await setUp('nothing')
  expect(await engine.deliver(event(`a\0${'x'.repeat(9000)}`))).toMatchObject({ outcome: 'kept' })
  const [, kept] = await engine.history(saga.id)
  expect(kept?.inputId).toHaveLength(200)
})

describe('a command that nobody answers', () => {
  const post = participantContract('post').notice('send_mail', {
    payload: z.object({ to: z.string() }),
    safeOnNothing: true,
  })
  const mailing = defineSaga('mailing', { version: 1, input: z.object({ to: z.string() }) })
    .step('mail', { do: post, with: ({ input }) => input, undo: post, undoWith: ({ input }) => input, attemptMs: 1000 })
    .step('reserve', { do: reserve!.do!, with: () => ({}), effect: 'none' })
    .end()

  test('is done once the transport has taken it, and so is its undo', async () => {
    const transport = memoryTransport()
    await shopkeeper(transport, { reserve: 'refused' })
    const mails: Message[] = []
    await transport.subscribe('post_commands', 'post', async (batch) => void mails.push(...batch))
    const engine = await started({ transport, definitions: [mailing] })
    const { saga } = await engine.start(mailing, { to: 'ann' })
    expect((await engine.result(saga.id)).status).toBe('COMPENSATED')
    await until(() => expect(mails.map(({ id }) => id)).toEqual([`${saga.id}:mail:do`, `${saga.id}:mail:undo`]))
  })

  test('is sent again under its id while it is not known whether the transport has it', async () => {
    const clock = handClock()
    const inner = memoryTransport({ clock })
    await shopkeeper(inner)
    const tried: string[] = []
    const transport = {
      ...inner,
      publish: async (channel: string, messages: readonly Message[]) => {
        if (channel === 'post_commands') tried.push(...messages.map(({ id }) => id))
        if (channel === 'post_commands' && tried.length < 3)
          throw Object.assign(new Error('away'), { code: 'unavailable' })
        return inner.publish(channel, messages)
      },
    }
    const engine = await started({ transport, clock, definitions: [mailing] })
    const { saga } = await engine.start(mailing, { to: 'ann' })
    await passing(clock, 500, async () => expect((await engine.state(saga.id))?.status).toBe('COMPLETED'))
    expect(tried).toEqual(Array.from({ length: 3 }, () => `${saga.id}:mail:do`))
  })
})
