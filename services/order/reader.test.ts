/** How an order is read from an Order Service, ours or another. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { isUnavailable } from 'ordersaga/transport'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { orderReader } from './reader.ts'

let server: Server
let says: { readonly status: number; readonly text: string }
let asked: string | undefined
const address = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
const read = (orderId = 'o-1') => orderReader(address)(orderId)
const failure = (reading: Promise<unknown>): Promise<unknown> =>
  reading.then(
    () => null,
    (error: unknown) => error,
  )

beforeAll(async () => {
  server = createServer(({ url }, answer) => {
    asked = url
    answer.writeHead(says.status).end(says.text)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
afterAll(() => new Promise((resolve) => server.close(resolve)))

test('whatever the id is, it is asked for as it is', async () => {
  says = { status: 200, text: JSON.stringify({ orderId: 'o', orderStatus: 'CREATED', more: 1 }) }
  expect(await read('a/../b?c=d&e#f %00 €')).toEqual({
    orderId: 'a/../b?c=d&e#f %00 €',
    runnerId: null,
    status: 'CREATED',
  })
  expect(asked).toBe('/getOrderDetails?orderId=a%2F..%2Fb%3Fc%3Dd%26e%23f%20%2500%20%E2%82%AC')
})

test('an order that is not there is none', async () => {
  says = { status: 404, text: '{"error":"none"}' }
  expect(await read()).toBeNull()
})

test.each([429, 502, 503, 504])('%s says that it is away: whoever waits for it may wait', async (status) => {
  says = { status, text: '' }
  expect(isUnavailable(await failure(read()))).toBe(true)
})

test('nobody there is the same', async () => {
  expect(isUnavailable(await failure(orderReader(() => 'http://127.0.0.1:1')('o-1')))).toBe(true)
})

test.each([
  [400, '{"error":"not a UUID"}'],
  [500, '<html>'],
  [200, '<html>'],
  [200, '{"orderId":7}'],
  [200, 'null'],
])('%s with %s is about this order alone: no other waits for it', async (status, text) => {
  says = { status, text }
  const error = await failure(read())
  expect([isUnavailable(error), String(error)]).toEqual([
    false,
    `Error: the Order Service does not answer about order o-1 as its contract says, but ${status}`,
  ])
})
