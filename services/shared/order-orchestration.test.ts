/** The commands of stock, payment and order in a saga, whoever of them is ours: every state that it can reach. */
import { defineSaga } from 'ordersaga'
import { check } from 'ordersaga/checker'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { shopOrderCommands } from '../shop-order/messages.ts'
import { shopPaymentCommands } from '../shop-payment/messages.ts'
import { stockCommands } from '../stock/messages.ts'
import type { Answering } from './order-orchestration.ts'

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
