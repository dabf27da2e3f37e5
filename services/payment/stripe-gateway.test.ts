import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { HoldRequest, TransferRequest } from './gateway.ts'
import { GatewayError, stripeGateway } from './stripe-gateway.ts'

/** What the outside answers, by `METHOD /path`; several answers are given in turn, the last one for ever. */
type Answers = Record<string, readonly { readonly status?: number; readonly body: unknown }[]>

let server: Server
let url: string
let answers: Answers
let asked: {
  what: string
  query: URLSearchParams
  key: string | undefined
  version: string | undefined
  form: URLSearchParams
}[]

beforeEach(async () => {
  now = 0
  asked = []
  answers = {}
  server = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk: Buffer) => (text += chunk.toString()))
    request.on('end', () => {
      const what = `${request.method} ${request.url?.split('?')[0]}`
      const times = asked.filter((call) => call.what === what).length
      const { 'idempotency-key': key, 'stripe-version': version } = request.headers
      asked.push({
        what,
        query: new URLSearchParams(request.url?.split('?')[1]),
        key: key as string | undefined,
        version: version as string | undefined,
        form: new URLSearchParams(text),
      })
      const given = answers[what] ?? []
      const answer = given[Math.min(times, given.length - 1)]
      response.writeHead(answer === undefined ? 404 : (answer.status ?? 200), {
        'content-type': 'application/json',
        'request-id': 'req_1',
      })
      response.end(JSON.stringify(answer?.body ?? noSuch))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})

afterEach(() => new Promise<unknown>((resolve) => server.close(resolve)))

const noSuch = { error: { type: 'invalid_request_error', code: 'resource_missing', message: 'No such thing.' } }
/** When the payment of `hold` was begun, its key is trusted; a day later Stripe may have forgotten it. */
let now = 0
const gateway = () => stripeGateway({ secretKey: 'sk_test_secret', url, now: () => now })
const keys = () => asked.filter(({ what }) => what.startsWith('POST')).map(({ key }) => key)

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
  returnUrl: null,
}
const payout: TransferRequest = { intentId: 'pi_1', paymentId: 'p1', orderId: 'o1', cents: 1999, account: 'acct_1' }
const intent = (status: string) => ({ body: { id: 'pi_1', object: 'payment_intent', status, latest_charge: 'ch_1' } })
const wrongState = (status: string) => ({
  status: 400,
  body: {
    error: {
      type: 'invalid_request_error',
      code: 'payment_intent_unexpected_state',
      message: `The intent is ${status}.`,
      payment_intent: { id: 'pi_1', status },
    },
  },
})

test('a hold is asked for in cents of SGD, to be captured by hand, under its key and with the ids of the contract', async () => {
  answers['POST /v1/payment_intents'] = [intent('requires_capture')]
  expect(await gateway().authorise(hold, 'k1')).toEqual({ ok: true, intentId: 'pi_1' })
  expect(asked).toHaveLength(1)
  expect(asked[0]).toMatchObject({ key: 'k1', version: '2026-10-28.endive' })
  expect(Object.fromEntries(asked[0]!.form)).toMatchObject({
    amount: '1999',
    currency: 'sgd',
    capture_method: 'manual',
    confirm: 'true',
    customer: 'cus_1',
    payment_method: 'pm_1',
    'metadata[order_id]': 'o1',
    'metadata[customer_id]': 'c1',
    'metadata[correlation_id]': 's1',
    'metadata[payment_record_id]': 'p1',
  })
})

test('a declined card is a refusal with the bank own code', async () => {
  const error = { type: 'card_error', code: 'card_declined', decline_code: 'insufficient_funds', message: 'Declined.' }
  answers['POST /v1/payment_intents'] = [{ status: 402, body: { error } }]
  expect(await gateway().authorise(hold, 'k1')).toEqual({
    ok: false,
    code: 'STRIPE_CARD_ERROR',
    message: 'Declined.',
    stripeCode: 'insufficient_funds',
  })
})

test.each([
  ['no decline code', {}],
  ['an empty one', { decline_code: '' }],
])('a card error with %s has the code that Stripe gave', async (_what, decline) => {
  const error = { type: 'card_error', code: 'incorrect_cvc', message: 'Wrong security code.', ...decline }
  answers['POST /v1/payment_intents'] = [{ status: 402, body: { error } }]
  expect(await gateway().authorise(hold, 'k1')).toMatchObject({ ok: false, stripeCode: 'incorrect_cvc' })
})

test('a card error without any code has none', async () => {
  answers['POST /v1/payment_intents'] = [{ status: 402, body: { error: { type: 'card_error', message: 'No.' } } }]
  expect(await gateway().authorise(hold, 'k1')).not.toHaveProperty('stripeCode')
})

test('a customer without a card is refused, and Stripe is not asked', async () => {
  const refused = await gateway().authorise({ ...hold, paymentMethodId: null }, 'k1')
  expect(refused).toMatchObject({ ok: false, code: 'STRIPE_API_ERROR' })
  expect(asked).toEqual([])
})

test('an intent that wants an action is refused, and cancelled so that it cannot become a hold', async () => {
  answers['POST /v1/payment_intents'] = [intent('requires_action')]
  answers['POST /v1/payment_intents/pi_1/cancel'] = [intent('canceled')]
  expect(await gateway().authorise(hold, 'k1')).toMatchObject({
    ok: false,
    code: 'STRIPE_UNEXPECTED_STATUS',
    stripeStatus: 'requires_action',
  })
  expect(keys()).toEqual(['k1', 'k1:unfinished'])
})

test('an intent in processing is looked at afresh, since a repeat would say processing for ever', async () => {
  answers['POST /v1/payment_intents'] = [intent('processing')]
  answers['GET /v1/payment_intents/pi_1'] = [intent('processing'), intent('requires_capture')]
  await expect(gateway().authorise(hold, 'k1')).rejects.toThrow('pi_1')
  expect(await gateway().authorise(hold, 'k1')).toEqual({ ok: true, intentId: 'pi_1' })
})

describe('under a key that Stripe may have forgotten', () => {
  const day = 24 * 60 * 60_000
  const found = (...statuses: string[]) => ({
    body: {
      object: 'search_result',
      data: statuses.map((status) => ({ id: `pi_${status}`, status, metadata: { payment_record_id: 'p1' } })),
    },
  })
  const stranger = { id: 'pi_2', status: 'requires_capture', metadata: { payment_record_id: 'p2' } }
  const search = 'GET /v1/payment_intents/search'

  beforeEach(() => {
    now = day
  })

  test('a hold of the payment that is there is found by its metadata, and none is made', async () => {
    answers[search] = [found('requires_payment_method', 'requires_capture')]
    answers['GET /v1/payment_intents/pi_requires_capture'] = [intent('requires_capture')]
    expect(await gateway().authorise(hold, 'k1')).toEqual({ ok: true, intentId: 'pi_1' })
    expect(asked.map(({ what }) => what)).toEqual([search, 'GET /v1/payment_intents/pi_requires_capture'])
    expect(asked[0]?.query.get('query')).toBe("metadata['payment_record_id']:'p1'")
  })

  test.each([
    ['was let go', 'canceled', []],
    ['is what a card refused', 'requires_payment_method', ['k1:unfinished']],
  ])('one that %s is no hold, and none is made', async (_what, status, writes) => {
    answers[search] = [found(status)]
    answers[`GET /v1/payment_intents/pi_${status}`] = [intent(status)]
    answers['POST /v1/payment_intents/pi_1/cancel'] = [intent('canceled')]
    expect(await gateway().authorise(hold, 'k1')).toMatchObject({ ok: false, stripeStatus: status })
    expect(keys()).toEqual(writes)
  })

  test('one that a person has captured is money of the customer, and said to be there', async () => {
    answers[search] = [found('succeeded')]
    answers['GET /v1/payment_intents/pi_succeeded'] = [intent('succeeded')]
    expect(await gateway().authorise(hold, 'k1')).toEqual({ ok: true, intentId: 'pi_1' })
    expect(keys()).toEqual([])
  })

  test('where there is none, it is made under the same key', async () => {
    answers[search] = [found(), { body: { object: 'search_result', data: [stranger] } }]
    answers['POST /v1/payment_intents'] = [intent('requires_capture')]
    for (let i = 0; i < 2; i++) expect(await gateway().authorise(hold, 'k1')).toEqual({ ok: true, intentId: 'pi_1' })
    expect(keys()).toEqual(['k1', 'k1'])
  })

  test.each([
    ['fails to answer', 500, 'api_error'],
    ['refuses to say', 400, 'invalid_request_error'],
  ])('where Stripe %s whether there is one, nothing is known and none is made', async (_what, status, type) => {
    answers[search] = [{ status, body: { error: { type, message: 'pm_1' } } }]
    await expect(gateway().authorise(hold, 'k1')).rejects.toMatchObject({
      code: 'gateway_unreachable',
      message: expect.stringMatching(/^whether Stripe did hold the money before is not known/),
    })
    expect(keys()).toEqual([])
  })

  test('nothing is looked up while the key cannot be forgotten', async () => {
    now = day / 2 - 1
    answers['POST /v1/payment_intents'] = [intent('requires_capture')]
    await gateway().authorise(hold, 'k1')
    expect(asked.map(({ what }) => what)).toEqual(['POST /v1/payment_intents'])
  })
})

describe('an outcome that nobody knows is thrown, never called a refusal', () => {
  test.each([
    ['a fault of Stripe', 500, { type: 'api_error', message: 'pm_1 4242' }, 'gateway_unreachable'],
    ['the key in use', 409, { type: 'idempotency_error', code: 'idempotency_key_in_use' }, 'gateway_unreachable'],
    ['too many requests', 429, { type: 'invalid_request_error', code: 'rate_limit' }, 'gateway_unreachable'],
    ['a key with other parameters', 400, { type: 'idempotency_error', message: 'pm_1' }, 'gateway_unreachable'],
    ['a wrong secret key', 401, { type: 'invalid_request_error', message: 'sk_test_secret' }, 'gateway_misconfigured'],
  ])('%s', async (_what, status, error, code) => {
    answers['POST /v1/payment_intents'] = [{ status, body: { error } }]
    const thrown = await gateway()
      .authorise(hold, 'k1')
      .catch((error: unknown) => error)
    expect(thrown).toBeInstanceOf(GatewayError)
    expect(thrown).toMatchObject({ code })
    expect((thrown as Error).cause).toBeUndefined()
    expect((thrown as Error).message).not.toMatch(/pm_1|4242|sk_test/)
    expect(new Set(keys())).toEqual(new Set(['k1']))
  })

  test('nobody there', async () => {
    const nowhere = stripeGateway({ secretKey: 'sk_test_secret', url: 'http://127.0.0.1:9' })
    await expect(nowhere.capture('pi_1', 'k1')).rejects.toMatchObject({ code: 'gateway_unreachable', retryable: true })
  })
})

test.each([
  ['cancel', 'canceled', 'succeeded'],
  ['capture', 'succeeded', 'canceled'],
] as const)('to %s what is %s already is done; what is %s is refused with its status', async (verb, already, other) => {
  const call = () => (verb === 'cancel' ? gateway().cancel('pi_1', 'abandoned', 'k1') : gateway().capture('pi_1', 'k1'))
  answers[`POST /v1/payment_intents/pi_1/${verb}`] = [intent('any'), wrongState(already), wrongState(other)]
  expect(await call()).toEqual({ ok: true })
  expect(await call()).toEqual({ ok: true })
  expect(await call()).toMatchObject({ ok: false, code: 'stripe_error', stripeStatus: other })
  expect(keys()).toEqual(['k1', 'k1', 'k1'])
})

test('a refund that failed is a refusal; one that was made before is done', async () => {
  const alreadyRefunded = { type: 'invalid_request_error', code: 'charge_already_refunded', message: 'Refunded.' }
  answers['POST /v1/refunds'] = [
    { body: { id: 're_1', status: 'pending' } },
    { body: { id: 're_1', status: 'failed' } },
    { status: 400, body: { error: alreadyRefunded } },
  ]
  const refund = () => gateway().refund('pi_1', 'abandoned', 'k1')
  expect(await refund()).toEqual({ ok: true })
  expect(await refund()).toMatchObject({ ok: false, code: 'stripe_error', stripeStatus: 'failed' })
  expect(await refund()).toEqual({ ok: true })
  expect(Object.fromEntries(asked[0]!.form)).toEqual({ payment_intent: 'pi_1', reason: 'requested_by_customer' })
})

test('the runner is paid out of the very charge, the whole amount', async () => {
  answers['GET /v1/transfers'] = [{ body: { object: 'list', data: [] } }]
  answers['GET /v1/payment_intents/pi_1'] = [intent('succeeded')]
  answers['POST /v1/transfers'] = [{ body: { id: 'tr_1' } }]
  expect(await gateway().transfer(payout, 'k1')).toEqual({ ok: true, transferId: 'tr_1' })
  const made = asked.find(({ what }) => what === 'POST /v1/transfers')
  expect(made?.key).toBe('k1')
  expect(Object.fromEntries(made!.form)).toMatchObject({
    amount: '1999',
    currency: 'sgd',
    destination: 'acct_1',
    source_transaction: 'ch_1',
  })
})

test('a runner who was paid is not paid again under another key; a reversed transfer does not count', async () => {
  const paid = { id: 'tr_0', reversed: false, metadata: { payment_record_id: 'p1' } }
  answers['GET /v1/transfers'] = [
    { body: { object: 'list', data: [paid] } },
    { body: { object: 'list', data: [{ ...paid, reversed: true }] } },
  ]
  answers['GET /v1/payment_intents/pi_1'] = [intent('succeeded')]
  answers['POST /v1/transfers'] = [{ body: { id: 'tr_1' } }]
  expect(await gateway().transfer(payout, 'k2')).toEqual({ ok: true, transferId: 'tr_0' })
  expect(await gateway().transfer(payout, 'k3')).toEqual({ ok: true, transferId: 'tr_1' })
  expect(keys()).toEqual(['k3'])
})

test('a transfer to an account that is not activated is refused', async () => {
  const error = { type: 'invalid_request_error', code: 'transfers_not_allowed', message: 'Not activated.' }
  answers['GET /v1/transfers'] = [{ body: { object: 'list', data: [] } }]
  answers['GET /v1/payment_intents/pi_1'] = [intent('succeeded')]
  answers['POST /v1/transfers'] = [{ status: 400, body: { error } }]
  expect(await gateway().transfer(payout, 'k1')).toEqual({
    ok: false,
    code: 'stripe_error',
    message: 'Not activated.',
    stripeCode: 'transfers_not_allowed',
  })
})

test('a transfer is taken back once: one that is back already counts, one that cannot be is refused', async () => {
  const error = { type: 'invalid_request_error', message: 'It cannot be reversed.' }
  answers['POST /v1/transfers/tr_1/reversals'] = [{ body: { id: 'trr_1' } }, { status: 400, body: { error } }]
  answers['GET /v1/transfers/tr_1'] = [
    { body: { id: 'tr_1', reversed: true } },
    { body: { id: 'tr_1', reversed: false } },
  ]
  expect(await gateway().reverse('tr_1', 'k1')).toEqual({ ok: true })
  expect(await gateway().reverse('tr_1', 'k2')).toEqual({ ok: true })
  expect(await gateway().reverse('tr_1', 'k3')).toMatchObject({ ok: false, message: 'It cannot be reversed.' })
  expect(keys()).toEqual(['k1', 'k2', 'k3'])
})
