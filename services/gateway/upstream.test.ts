/** Which address of an upstream a path of the front door stands for, however it is written. */
import { expect, test } from 'vitest'
import { upstreamAt } from './gateway.testkit.ts'
import { addressOf } from './upstream.ts'

const shop = upstreamAt('http://shop:3000/base')
const removed = { prefix: '/shop', kept: false }
const kept = { prefix: '/saga/shop', kept: true }

test.each([
  ['/shop', 'http://shop:3000/base/'],
  ['/shop/', 'http://shop:3000/base/'],
  ['/shop/orders/a%2Fb%20c', 'http://shop:3000/base/orders/a%2Fb%20c'],
  ['/shop/a..b/..', null],
  ['/shop/orders/messages', 'http://shop:3000/base/orders/messages'],
  ['/shop/messages-of-the-day', 'http://shop:3000/base/messages-of-the-day'],
])('%s', (path, address) => {
  if (address === null) expect(() => addressOf(shop, removed, path)).toThrow(/leave them out/)
  else expect(addressOf(shop, removed, path)).toBe(address)
})

test('a service whose own paths have the prefix is asked for the same path', () => {
  expect(addressOf(shop, kept, '/saga/shop/start')).toBe('http://shop:3000/base/saga/shop/start')
})

test.each([
  '/messages/order_commands',
  '/messages',
  '//messages/order_commands',
  '/%6dessages/order_commands',
  '/%6D%65ssages/order_commands',
  '/Messages/order_commands',
  '/%2Fmessages/order_commands',
])('the way of messages between services is closed: %s', (path) => {
  expect(() => addressOf(shop, removed, `/shop${path}`)).toThrow(/does not stand behind this front door/)
})

test.each([
  '/x/../messages/y',
  '/%2e%2e/messages',
  '/./messages',
  '/x/%2e/y',
  '/..\\messages',
  '/messages#',
  '/#',
  '/%',
])('a path that could be read in two ways is refused: %s', (path) => {
  for (const [place, prefix] of [
    [removed, '/shop'],
    [kept, '/saga/shop'],
  ] as const)
    expect(() => addressOf(shop, place, prefix + path)).toThrow(/leave them out|percent-encode it/)
})

test('a prefix that is percent-encoded is none', () => {
  expect(() => addressOf(shop, removed, '/%73hop/orders')).toThrow(/write \/shop as it is/)
})
