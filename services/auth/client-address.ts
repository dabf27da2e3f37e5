/** Where a request comes from, as far as those tell it who pass requests on and are trusted to. */
import type { IncomingHttpHeaders } from 'node:http'
import { BlockList, isIP, isIPv6 } from 'node:net'

const familyOf = (address: string): 'ipv4' | 'ipv6' => (isIPv6(address) ? 'ipv6' : 'ipv4')
const plain = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, '')

/** @param networks addresses such as `10.0.0.7`, or networks such as `10.0.0.0/8` */
export function trustedProxies(networks: readonly string[]): (address: string) => boolean {
  const list = new BlockList()
  for (const network of networks) {
    const [address = '', bits] = network.split('/')
    if (bits === undefined) list.addAddress(address, familyOf(address))
    else list.addSubnet(address, Number(bits), familyOf(address))
  }
  return (address) => isIP(plain(address)) !== 0 && list.check(plain(address), familyOf(plain(address)))
}

/** The last address that was added by somebody trusted: what is before it, anybody may have written. */
export function clientAddress(
  { ip, headers }: { readonly ip: string; readonly headers: IncomingHttpHeaders },
  isTrusted: (address: string) => boolean,
): string {
  const named = [headers['x-forwarded-for'] ?? []].flat().flatMap((text) => text.split(',').map((one) => one.trim()))
  let client = ip
  while (isTrusted(client)) {
    const before = named.pop()
    if (before === undefined || isIP(before) === 0) return client
    client = before
  }
  return client
}
