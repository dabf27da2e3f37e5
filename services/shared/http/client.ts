/** Who a client is, as far as limits go that hold for each of them: the address that he comes from. */
import { isIPv6 } from 'node:net'

/**
 * Of IPv6 the network alone: whoever has one address there has as many as he likes.
 *
 * @example clientOf('::ffff:10.0.0.7') // '10.0.0.7'
 * @example clientOf('2001:db8::7') // '2001:db8:0:0/64'
 */
export function clientOf(address: string | undefined): string {
  const plain = (address ?? '').replace(/^::ffff:(?=\d+\.)/i, '')
  if (!isIPv6(plain)) return plain
  const [head = '', tail] = plain.replace(/%.*$/, '').split('::')
  const first = head === '' ? [] : head.split(':')
  const zeros = tail === undefined ? 0 : 8 - first.length - (tail === '' ? 0 : tail.split(':').length)
  return `${[...first, ...Array<string>(zeros).fill('0'), ...(tail ?? '').split(':')].slice(0, 4).join(':')}/64`
}
