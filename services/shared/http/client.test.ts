import { expect, test } from 'vitest'
import { clientOf } from './client.ts'

test.each([
  ['127.0.0.1', '127.0.0.1'],
  ['::ffff:10.0.0.7', '10.0.0.7'],
  ['::1', '0:0:0:0/64'],
  ['2001:db8::7', '2001:db8:0:0/64'],
  ['2001:db8:0:0:ffff::', '2001:db8:0:0/64'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2/64'],
  ['fe80::1%eth0', 'fe80:0:0:0/64'],
  [undefined, ''],
])('%s is the client %s', (address, client) => {
  expect(clientOf(address)).toBe(client)
})
