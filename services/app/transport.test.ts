/** Who may send messages to services that are processes of their own, without a broker. */
import { statSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createLog } from '../shared/log/log.ts'
import { newFolder } from '../shared/testing/ask.ts'
import { call } from '../shared/testing/call.ts'
import { readConfig } from './config.ts'
import { serviceNames } from './registry.ts'
import { secretIn, senderOf, tokenOf } from './service-token.ts'
import { startOne, type System } from './system.ts'

const log = createLog('test', 'silent')
let folder: string
let payment: System
let url: string

beforeEach(async () => {
  folder = newFolder()
  payment = await startOne('payment', readConfig({ ORDERSAGA_DIR: folder, PAYMENT_PORT: '0' }), log)
  url = `${payment.url('payment')}/messages/payment_commands`
})
afterEach(() => payment.close())

/** What a thief would send: takes 100 dollars from a card. */
const forged = {
  type: 'authorize_payment',
  id: 'forged:1',
  correlation_id: 'forged',
  timestamp: '2026-01-01T00:00:00Z',
  payload: { order_id: 'o1', amount: 10_000, customer: { customer_id: 'cust_123' } },
}

const post = (headers: Record<string, string>, to = url) => call('POST', to, { json: forged, headers })
const as = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` })

test('a message without a token, with a made-up one, or as a web page can send it, is refused', async () => {
  const secret = secretIn(folder)
  const refused = [
    await post({}),
    await post(as('create-order')),
    await post(as(tokenOf('create-order', 'another secret'))),
    await post(as(tokenOf('nobody', secret))),
    await post(as(tokenOf('create-order', secret).replace('create-order', 'payment'))),
    await post({ authorization: tokenOf('create-order', secret) }),
    await call('POST', url, { body: JSON.stringify(forged), headers: { 'content-type': 'text/plain' } }),
  ]
  expect(refused.map(({ status }) => status)).toEqual([401, 401, 401, 401, 401, 401, 401])
  expect(refused[0]?.body).toEqual({ error: expect.stringContaining('SERVICE_TOKEN') as string })
})

test('a service writes to its own channels, and to those of no other', async () => {
  const secret = secretIn(folder)
  expect((await post(as(tokenOf('create-order', secret)))).status).toBe(200)
  expect((await post(as(tokenOf('timer', secret)))).body).toEqual({
    error: 'timer may not write to payment_commands: send with the token of one who does',
  })
})

test('the token is made once, for the owner of the folder alone', () => {
  expect(secretIn(folder)).toMatch(/^[\da-f]{64}$/)
  expect(readFileSync(join(folder, 'service-token'), 'utf8').trim()).toBe(secretIn(folder))
  expect((statSync(join(folder, 'service-token')).mode & 0o777).toString(8)).toBe('600')
})

test('a token names its service, and only that', () => {
  for (const name of serviceNames) {
    expect(senderOf(`Bearer ${tokenOf(name, 'secret')}`, 'secret', serviceNames)).toBe(name)
    expect(senderOf(`Bearer ${tokenOf(name, 'secret')}`, 'other', serviceNames)).toBeNull()
  }
})

test('services apart know each other by SERVICE_TOKEN, or by the folder that they share', async () => {
  const token = 'x'.repeat(32)
  const user = await startOne(
    'user',
    readConfig({ ORDERSAGA_DIR: newFolder(), USER_PORT: '0', SERVICE_TOKEN: token }),
    log,
  )
  const answer = await post(as(tokenOf('create-order', token)), `${user.url('user')}/messages/user_commands`)
  await user.close()
  expect(answer.status).toBe(200)
})
