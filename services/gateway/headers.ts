/** The headers that go through the front door, in both directions. */
import type { IncomingHttpHeaders } from 'node:http'
import { isOwnPage } from '../shared/http/callers.ts'
import type { Place, Upstream } from './upstream.ts'

/** They are about one connection, and not about what is asked or answered (RFC 9110, section 7.6.1). */
const hopByHop = [
  'connection',
  'expect',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]

/** What a client says of where it came from is not passed on as if we knew it. */
const claims = /^(x-forwarded-|forwarded$|x-real-ip$)/

interface Request {
  readonly headers: IncomingHttpHeaders
  /** Whose connection it came over. */
  readonly ip: string
  readonly hasBody: boolean
}

/** @param headers those of the request, with what belongs to our own connection to the upstream */
export function towards(headers: IncomingHttpHeaders, { prefix, kept }: Place, request: Request): IncomingHttpHeaders {
  const passed = without(headers, (name) => hopByHop.includes(name) || claims.test(name))
  if (!request.hasBody) delete passed['content-length']
  // Our own pages are known here by our name, which the upstream does not have. Pages of other origins it judges itself.
  if (isOwnPage(request.headers)) delete passed.origin
  const { host } = request.headers
  return {
    ...passed,
    'x-forwarded-for': request.ip,
    'x-forwarded-proto': 'http',
    ...(host === undefined ? {} : { 'x-forwarded-host': host }),
    ...(kept ? {} : { 'x-forwarded-prefix': prefix }),
  }
}

export function back(headers: IncomingHttpHeaders, upstream: Upstream, place: Place): IncomingHttpHeaders {
  const named = (headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase())
  const passed = without(headers, (name) => hopByHop.includes(name) || named.includes(name))
  if (passed.location !== undefined) passed.location = seenFromHere(passed.location, upstream, place)
  return passed
}

/** An address on the upstream, as it is called behind the front door. */
function seenFromHere(location: string, { url }: Upstream, { prefix, kept }: Place): string {
  const path = location.startsWith(`${url}/`) ? location.slice(url.length) : location
  return kept || !/^\/(?!\/)/.test(path) ? path : prefix + path
}

const without = (headers: IncomingHttpHeaders, drop: (name: string) => boolean): IncomingHttpHeaders =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !drop(name)))
