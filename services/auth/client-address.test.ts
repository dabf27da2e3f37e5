import { expect, test } from 'vitest'
import { clientAddress, trustedProxies } from './client-address.ts'

const isTrusted = trustedProxies(['127.0.0.1', '::1', '10.0.0.0/8', 'fd00::/8'])

test.each([
  ['203.0.113.7', '198.51.100.1', '203.0.113.7'],
  ['127.0.0.1', undefined, '127.0.0.1'],
  ['127.0.0.1', '198.51.100.1', '198.51.100.1'],
  ['::ffff:127.0.0.1', '198.51.100.1', '198.51.100.1'],
  ['::1', '2001:db8::7', '2001:db8::7'],
  ['10.1.2.3', '198.51.100.1, 10.9.9.9', '198.51.100.1'],
  ['fd00::5', '198.51.100.1, 203.0.113.7, 10.9.9.9', '203.0.113.7'],
  ['127.0.0.1', 'nonsense', '127.0.0.1'],
  ['127.0.0.1', '198.51.100.1, nonsense', '127.0.0.1'],
  ['127.0.0.1', '', '127.0.0.1'],
  ['127.0.0.2', '198.51.100.1', '127.0.0.2'],
])('from %s, forwarded for %j, comes %s', (ip, forwarded, client) => {
  const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded }
  expect(clientAddress({ ip, headers }, isTrusted)).toBe(client)
})
