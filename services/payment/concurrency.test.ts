/** Slow answers of the gateway are waited for side by side: one of a second must not make the next order wait for it. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { sqlitePlace } from '../shared/testing/places.ts'
import { running } from '../shared/testing/running.ts'
import { authorizePayment } from './messages.ts'
import { openPaymentService } from './service.ts'

const declined = {
  error: { type: 'card_error', code: 'card_declined', message: 'Your card was declined.' },
}

test('40 holds are asked for at once', async () => {
  const orders = Array.from({ length: 40 }, (_, index) => `order-${index}`)
  const waiting: (() => void)[] = []
  // Answers nobody until everybody has asked.
  const gateway = createServer((_request, response) => {
    waiting.push(() => response.writeHead(402, { 'content-type': 'application/json' }).end(JSON.stringify(declined)))
    if (waiting.length === orders.length) for (const answer of waiting) answer()
  })
  await new Promise<void>((resolve) => gateway.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(gateway.address() as AddressInfo).port}`
  const payment = await running(await sqlitePlace(), 'payment', (options) =>
    openPaymentService({ ...options, stripe: { secretKey: 'sk_test_secret', url } }),
  )
  const answers = await Promise.all(
    orders.map((order_id) =>
      payment.ask(authorizePayment, {
        order_id,
        customer: { clerkUserId: 'c', stripeCustomerId: 'cus', userStripeCard: { payment_method_id: 'pm' } },
        order: { amount: 1299 },
      }),
    ),
  )
  expect(new Set(answers.map(({ kind }) => kind))).toEqual(new Set(['rejected']))
  expect(waiting).toHaveLength(orders.length)
  await payment.close()
  await new Promise((resolve) => gateway.close(resolve))
})
