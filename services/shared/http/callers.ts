/**
 * Refuses what a browser sends for pages that are not ours. A page of any site can make a browser post to this machine, and
 * one whose name its owner points here afterwards ("DNS rebinding") can read the answers too.
 *
 * - The name that was asked for (`Host`) must be one that no stranger can own: an address, `localhost`, or one that the
 *   configuration lists; from outside this machine also one without a dot, as containers have.
 * - The page that asks (`Origin`) must come from this server itself or be listed. What is no browser sends none.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { isIP, isIPv4 } from 'node:net'
import type { FastifyRequest } from 'fastify'
import { pathOf } from './failures.ts'
import { HttpError } from './http-error.ts'
import type { HttpServer } from './server.ts'

export interface Callers {
  /** Names under which this server is reached, besides those above. */
  readonly hosts: readonly string[]
  /** Origins of browser pages, such as `https://shop.example`. */
  readonly origins: readonly string[]
}

/**
 * Whether pages of every origin may ask for a path: one where nothing counts but a token that the request brings along, which
 * a browser adds for no page by itself.
 */
export type OpenPath = (path: string) => boolean

export function refuseForeignPages(server: HttpServer, { hosts, origins }: Callers, isOpen: OpenPath): void {
  server.addHook('onRequest', async (request) => {
    const { host, origin } = request.headers
    if (host !== undefined && !isOurs(host, request, hosts))
      throw new HttpError(
        421,
        `nothing here is called ${host.slice(0, 100)}: call localhost or an address, or add that name to ALLOWED_HOSTS`,
      )
    if (origin === undefined || origins.includes(origin) || isOwnPage(request.headers)) return
    if (!isOpen(pathOf(request)))
      throw new HttpError(
        403,
        `pages of ${origin.slice(0, 100)} may not call this service: add that origin to ALLOWED_ORIGINS`,
      )
  })
}

function isOurs(host: string, { socket }: FastifyRequest, hosts: readonly string[]): boolean {
  const name = URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : ''
  if (name === 'localhost' || isIP(name.replaceAll(/[[\]]/g, '')) !== 0 || hosts.includes(name)) return true
  return name !== '' && !name.includes('.') && socket.localAddress !== undefined && !isLoopback(socket.localAddress)
}

const isLoopback = (address: string): boolean => {
  const plain = address.replace(/^::ffff:/, '')
  return plain === '::1' || (isIPv4(plain) && plain.startsWith('127.'))
}

/** Whether a page of this very server asks. */
export const isOwnPage = ({ host, origin }: IncomingHttpHeaders): boolean =>
  origin !== undefined && hostOf(origin) === host

const hostOf = (origin: string): string | null => (URL.canParse(origin) ? new URL(origin).host : null)
