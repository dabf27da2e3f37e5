/** The commands of stock, payment and order in a saga, whoever of them is ours: every state that it can reach. */
import { defineSaga } from 'ordersaga'
import { check } from 'ordersaga/checker'
import { startEngine } from 'ordersaga/engine'
import { memoryStore } from 'ordersaga/stores/memory'
import type { Message } from 'ordersaga/transport'
import { memoryTransport } from 'ordersaga/transports/memory'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { shopOrderCommands } from '../shop-order/messages.ts'
import { shopPaymentCommands } from '../shop-payment/messages.ts'
import { stockCommands } from '../stock/messages.ts'
import { orderOrchestrationChannels, type Answering } from './order-orchestration.ts'

type Who = Readonly<Record<'stock' | 'payment' | 'order', Answering>>

/** A foreign one does twice what it is asked twice: it is asked once. */
const onUnknown = (who: Answering) => (who === 'ours' ? 'repeat' : 'undo')

function saga(who: Who) {
  const { reduceStock, rollbackStock } = stockCommands[who.stock]
  const { takePayment, rollbackPayment, updatePaymentOrderId } = shopPaymentCommands[who.payment]
  const { createOrder, rollbackOrder, updateOrderPaymentId } = shopOrderCommands[who.order]
  const ids = ({ replies }: { readonly replies: Replies }) => ({
    order_id: replies.order.order_id,
    payment_id: replies.payment.payment_id,
  })
  return defineSaga('orchestrated', { version: 1, input: z.object({}) })
    .step('stock', {
      do: reduceStock,
      with: () => ({ products: [{ product_id: 'p', quantity: 1 }] }),
      undo: rollbackStock,
      undoWith: ({ sagaId }) => ({ transaction_id: sagaId }),
      onUnknown: onUnknown(who.stock),
    })
    .step('payment', {
      do: takePayment,
      with: () => ({ user_email: 'ada@example.com', amount: 19.99, payment_method: 'Credit Card' as const }),
      undo: rollbackPayment,
      undoWith: ({ reply }) => ({ payment_id: reply?.payment_id ?? null }),
      onUnknown: onUnknown(who.payment),
    })
    .step('order', {
      do: createOrder,
      with: () => ({
        user_email: 'ada@example.com',
        vendor_email: 'v@example.com',
        delivery_address: '1 Main Street',
        items: [{ product_id: 'p', quantity: 1, unit_price: 19.99 }],
      }),
      undo: rollbackOrder,
      undoWith: () => ({}),
      onUnknown: onUnknown(who.order),
    })
    .step('tellOrder', { do: updateOrderPaymentId, with: ids })
    .pivot()
    .step('tellPayment', { do: updatePaymentOrderId, with: ids, onRejected: 'retry' })
    .end({ cancelDecidedBy: 'order' })
}

interface Replies {
  readonly order: { readonly order_id: string }
  readonly payment: { readonly payment_id: string }
}

const ours: Who = { stock: 'ours', payment: 'ours', order: 'ours' }

const names = { stock: 'stock', payment: 'shop-payment', order: 'shop-order' } as const

test.each<readonly [string, Who]>([
  ['all of them are ours', ours],
  ['the stock is foreign', { ...ours, stock: 'foreign' }],
  ['payment and order are foreign', { ...ours, payment: 'foreign', order: 'foreign' }],
  ['none of them is ours', { stock: 'foreign', payment: 'foreign', order: 'foreign' }],
])('where %s, every state keeps the promises', (_who, who) => {
  const foreign = (['stock', 'payment', 'order'] as const)
    .filter((one) => who[one] === 'foreign')
    .map((one) => names[one])
  const { fault, statuses } = check(saga(who), { tries: 1, foreign, silentUndos: foreign })
  expect(fault).toBeNull()
  expect(statuses).toHaveProperty('COMPLETED')
})

/** What a hand-written participant says to a command: a type and its data; nothing where it says nothing. */
type Says = (command: Message) => readonly [type: string, data: unknown] | undefined

/** Runs a saga to its end among hand-written participants that know nothing of our ids. */
async function among(who: Who, says: Says) {
  const transport = memoryTransport()
  const heard: Message[] = []
  const { replies, ...channels } = orderOrchestrationChannels
  for (const channel of Object.values(channels))
    await transport.subscribe(channel, 'foreign', async (batch) => {
      for (const command of batch) {
        heard.push(command)
        const [type, payload] = says(command) ?? []
        const { correlationId, timestamp } = command
        if (type !== undefined)
          await transport.publish(replies, [
            { id: `${type} of ${command.id}`, type, correlationId, timestamp, payload },
          ])
      }
    })
  const orchestrated = saga(who)
  const engine = await startEngine({ store: memoryStore(), transport, definitions: [orchestrated] })
  try {
    const started = await engine.start(orchestrated, {})
    const { status, error } = await engine.result(started.saga.id)
    const sent = heard.map(({ type, payload }) => [type, payload] as const)
    return { id: started.saga.id, status, error, sent, types: sent.map(([type]) => type) }
  } finally {
    await engine.stop()
    await transport.close()
  }
}

describe('in a saga among foreign participants', () => {
  const none: Who = { stock: 'foreign', payment: 'foreign', order: 'foreign' }
  const done: Readonly<Record<string, unknown>> = {
    reduce_stock: null,
    take_payment: { payment_id: 41 },
    create_order: { order_id: '42' },
  }
  /** As the originals: what they do is answered, rollbacks and updates are not. */
  const silent: Says = ({ type }) => (type in done ? [`${type}.success`, done[type]] : undefined)
  const refusing =
    (refused: string, others: Says): Says =>
    (command) =>
      command.type === refused ? [`${refused}.error`, { error: 'sold out' }] : others(command)
  /** Also to what they need not. */
  const talkative: Says = (command) => silent(command) ?? [`${command.type}.success`, null]

  test('an order is made of their answers, and what nobody answers is sent', async () => {
    const { status, sent } = await among(none, silent)
    expect(status).toBe('COMPLETED')
    const ids = { order_id: '42', payment_id: '41' }
    expect(sent.slice(3)).toEqual([
      ['update_order_payment_id', ids],
      ['update_payment_order_id', ids],
    ])
  })

  test('stock that was refused is rolled back too, by the id where they look for it', async () => {
    const { id, status, error, sent } = await among(none, refusing('reduce_stock', silent))
    expect([status, error?.reason]).toEqual(['COMPENSATED', 'sold out'])
    expect(sent.at(-1)).toEqual(['rollback_stock', { transaction_id: id }])
  })

  test.each([
    ['that answer no rollback', silent],
    ['that answer rollbacks', talkative],
  ])('of ones %s, what was done before a refusal is undone, newest first', async (_who, says) => {
    const { status, error, types } = await among(none, refusing('create_order', says))
    expect([status, error?.reason]).toEqual(['COMPENSATED', 'sold out'])
    expect(types.slice(3)).toEqual(['rollback_payment', 'rollback_stock'])
  })

  test('those that are ours in name are waited for until they answer', async () => {
    const ours: Who = { stock: 'ours', payment: 'ours', order: 'ours' }
    const { status, types } = await among(ours, refusing('create_order', talkative))
    expect([status, types.slice(3)]).toEqual(['COMPENSATED', ['rollback_payment', 'rollback_stock']])
  })
})
