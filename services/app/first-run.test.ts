/** What a newcomer is shown, over services that run. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { firstRun } from './first-run.ts'
import { call } from '../shared/testing/call.ts'
import { startEmbedded, type Embedded } from '../shared/testing/embedded.ts'

let system: Embedded
let lines: string[]

beforeEach(async () => {
  system = await startEmbedded()
  lines = []
})
afterEach(() => system.close())

const show = (followMs?: number): Promise<void> => firstRun(system.urls, (line) => lines.push(line), followMs)

/** Without the times and ids, which differ, and the states on the way of a delivery: its stream may begin when they are over. */
const told = (): readonly string[] =>
  lines
    .map((line) => line.replace(/^ +\d+ ms {2}/, '   ').replaceAll(/\d+ ms/g, 'N ms'))
    .filter((line) => line !== '' && !/^ {3}(STARTED|COMPENSATING) /.test(line))

const books = 'The books balance: every cent is held for an order, was given back, or is with the runner who earned it.'

test('orders finish and undo themselves, so do deliveries, the books balance, and curl lines say how to go on', async () => {
  await show()
  expect(told().slice(0, 37)).toEqual([
    '1. An order that finishes: cust_123 pays with a good card.',
    expect.stringMatching(/^ {3}saga [0-9a-f-]{36}$/),
    '   CREATE_ORDER asked',
    '   CREATE_ORDER done',
    '   GET_USER_DATA asked',
    '   GET_USER_DATA done',
    '   AUTHORIZE_PAYMENT asked',
    '   AUTHORIZE_PAYMENT done',
    '   UPDATE_ORDER_STATUS asked',
    '   UPDATE_ORDER_STATUS done',
    '   START_TIMER asked',
    '   START_TIMER done',
    '   COMPLETED after N ms',
    '2. An order that undoes itself: the card of cust_declined is declined.',
    expect.stringMatching(/^ {3}saga [0-9a-f-]{36}$/),
    '   CREATE_ORDER asked',
    '   CREATE_ORDER done',
    '   GET_USER_DATA asked',
    '   GET_USER_DATA done',
    '   AUTHORIZE_PAYMENT asked',
    '   AUTHORIZE_PAYMENT rejected: STRIPE_CARD_ERROR: Your card was declined.',
    '   undo begins, newest step first',
    '   undo of CREATE_ORDER asked',
    '   undo of CREATE_ORDER done',
    '   COMPENSATED after N ms',
    '3. A delivery: runner_123 carries the first order to its customer, and is paid.',
    expect.stringMatching(/^ {3}order [0-9a-f-]{36}, accepted by runner_123, is ON_THE_WAY$/),
    expect.stringMatching(/^ {3}saga [0-9a-f-]{36}; what its stream tells:$/),
    '   COMPLETED    UPDATE_ORDER_STATUS_TO_COMPLETED',
    '   the order is COMPLETED',
    '4. A delivery that undoes itself: the runner cannot be paid, so the order is on its way again.',
    expect.stringMatching(/^ {3}order [0-9a-f-]{36}, accepted by runner_123, is ON_THE_WAY$/),
    expect.stringMatching(/^ {3}saga [0-9a-f-]{36}; what its stream tells:$/),
    '   COMPENSATED  RELEASE_FUNDS',
    expect.stringMatching(/^ {3}The runner could not be paid: stripe_error: The runner's account cannot/),
    '   the order is ON_THE_WAY',
    books,
  ])
  const started = lines.find((line) => line.startsWith('    -d '))?.slice(8, -1) ?? ''
  expect((await call('POST', `${system.urls.sagas}/api/orders`, { body: started })).status).toBe(202)
  const delivered = lines.findLast((line) => line.startsWith('    -d '))?.slice(8, -1) ?? ''
  const url = `${system.urls.deliveries}/saga/complete/completeOrder`
  expect((await call('POST', url, { body: delivered })).body).toMatchObject({ status: 'STARTED' })
  for (const line of lines) {
    const [, url] = /^ {2}curl '?(http[^']+)'?$/.exec(line) ?? []
    if (url !== undefined) expect([line, (await call('GET', url)).status]).toEqual([line, 200])
  }
})

test('a second time it finds the earlier orders', async () => {
  await show()
  lines = []
  await show()
  expect(lines[0]).toBe('Found 4 earlier orders: 3 COMPLETED, 1 COMPENSATED.')
})

test('an order that has not ended in time is told of, and the rest is shown all the same', async () => {
  system.gate.hold('authorize_payment')
  await show(300)
  system.gate.release('authorize_payment')
  const late = '   still STARTED after N ms: earlier orders go first; it goes on by itself'
  expect(told().filter((line) => line === late)).toHaveLength(2)
  expect(lines).toContain(books)
})

test('an order that ends otherwise is told of with why, and is no failure', async () => {
  const card = `${system.urls.user}/api/user/cust_123/payment`
  expect((await call('DELETE', card)).status).toBe(200)
  await show()
  expect(told()).toContain(
    '   COMPENSATED after N ms: Failed to get payment info: user cust_123 has no default payment method',
  )
  expect(told()).toContain('   COMPENSATED after N ms')
})
