/**
 * Our calls against Stripe's own mock, which checks each of them by Stripe's own description of its API.
 *
 * The mock keeps no state and answers with one example each, whose status is always the same; between it and us a relay
 * gives the status that Stripe would, and writes down what was asked.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { suiteOn } from '../../tests/kit/parts.ts'
import type { HoldRequest } from './gateway.ts'
import { stripeGateway } from './stripe-gateway.ts'

const mock = process.env['TEST_STRIPE_URL'] ?? 'http://127.0.0.1:12111'
async function answers(): Promise<boolean> {
  const request = { headers: { authorization: 'Bearer sk_test_mock' }, signal: AbortSignal.timeout(3_000) }
  return fetch(`${mock}/v1/balance`, request).then(
    ({ ok }) => ok,
    () => false,
  )
}

suiteOn(
  'the Stripe mock',
  (await answers()) ? mock : null,
  'the Stripe gateway on the Stripe mock',
  suite,
  'start it with `bash scripts/stripe-mock.sh start`, or name one in TEST_STRIPE_URL',
)

const hold: HoldRequest = {
  paymentId: 'p1',
  begunAt: 0,
  orderId: 'o1',
  customerId: 'c1',
  sagaId: 's1',
  cents: 1999,
  description: 'lunch',
  stripeCustomerId: 'cus_1',
  paymentMethodId: 'pm_1',
  returnUrl: 'https://localhost:5173/customer/history',
}

function suite(): void {
  let relay: Server
  let url: string
  let relayed: { what: string; status: number; key: string | undefined }[]
  const gateway = (now = 0) => stripeGateway({ secretKey: 'sk_test_mock', url, now: () => now })

  beforeAll(async () => {
    relay = createServer((request, response) => {
      void pass(request).then(({ status, body }) => {
        const key = request.headers['idempotency-key'] as string | undefined
        relayed.push({ what: `${request.method} ${request.url?.split('?')[0]}`, status, key })
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
      })
    })
    await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${(relay.address() as AddressInfo).port}`
  })
  afterAll(() => new Promise<unknown>((resolve) => relay.close(resolve)))
  beforeEach(() => {
    relayed = []
  })

  test('a hold, its capture and the transfer to the runner are calls that Stripe understands', async () => {
    expect(await gateway().authorise(hold, 'k1')).toMatchObject({ ok: true, intentId: expect.stringMatching(/^pi_/) })
    expect(await gateway().capture('pi_1', 'k2')).toEqual({ ok: true })
    const payout = { intentId: 'pi_1', paymentId: 'p1', orderId: 'o1', cents: 1999, account: 'acct_1' }
    expect(await gateway().transfer(payout, 'k3')).toMatchObject({
      ok: true,
      transferId: expect.stringMatching(/^tr_/),
    })
    expect(relayed).toEqual([
      { what: 'POST /v1/payment_intents', status: 200, key: 'k1' },
      { what: 'POST /v1/payment_intents/pi_1/capture', status: 200, key: 'k2' },
      { what: 'GET /v1/transfers', status: 200, key: undefined },
      { what: 'GET /v1/payment_intents/pi_1', status: 200, key: undefined },
      { what: 'POST /v1/transfers', status: 200, key: 'k3' },
    ])
  })

  test.each(['duplicate', 'fraudulent', 'requested_by_customer', 'abandoned'] as const)(
    'cancel and refund because of %s are calls that Stripe understands',
    async (reason) => {
      expect(await gateway().cancel('pi_1', reason, 'k1')).toEqual({ ok: true })
      expect(await gateway().refund('pi_1', reason, 'k2')).toEqual({ ok: true })
      expect(relayed).toEqual([
        { what: 'POST /v1/payment_intents/pi_1/cancel', status: 200, key: 'k1' },
        { what: 'POST /v1/refunds', status: 200, key: 'k2' },
      ])
    },
  )

  test('the search for a hold under a key that may be forgotten is a call that Stripe understands', async () => {
    expect(await gateway(24 * 60 * 60_000).authorise(hold, 'k1')).toMatchObject({ ok: true })
    expect(relayed).toEqual([
      { what: 'GET /v1/payment_intents/search', status: 200, key: undefined },
      { what: 'POST /v1/payment_intents', status: 200, key: 'k1' },
    ])
  })

  test('a reversal is a call that Stripe understands', async () => {
    expect(await gateway().reverse('tr_1', 'k1')).toEqual({ ok: true })
    expect(relayed).toEqual([{ what: 'POST /v1/transfers/tr_1/reversals', status: 200, key: 'k1' }])
  })

  test('a call that Stripe does not understand is refused, not passed over', async () => {
    const wrong = { ...hold, cents: 19.99 }
    expect(await gateway().authorise(wrong, 'k1')).toMatchObject({ ok: false, code: 'STRIPE_API_ERROR' })
    expect(relayed).toEqual([{ what: 'POST /v1/payment_intents', status: 400, key: 'k1' }])
  })
}

async function pass(request: IncomingMessage): Promise<{ status: number; body: unknown }> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const { authorization = '', 'content-type': type, 'stripe-version': version } = request.headers
  const answer = await fetch(`${mock}${request.url}`, {
    method: request.method ?? 'GET',
    headers: {
      authorization,
      'stripe-version': String(version),
      ...(type === undefined ? {} : { 'content-type': type }),
    },
    ...(request.method === 'POST' ? { body: Buffer.concat(chunks).toString() } : {}),
  })
  const body = (await answer.json()) as { status?: string }
  if (answer.ok && request.url === '/v1/payment_intents') body.status = 'requires_capture'
  return { status: answer.status, body }
}
