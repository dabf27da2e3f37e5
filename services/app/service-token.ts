/**
 * How a service that sends a message by HTTP shows who it is.
 *
 * All services share one secret. What a service sends is its name with a mark that only the secret gives: whoever sees that
 * token can speak as this service, and as no other.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** @example tokenOf('order', secret) // 'order.5f0c…' */
export const tokenOf = (service: string, secret: string): string =>
  `${service}.${createHmac('sha256', secret).update(service).digest('hex')}`

/** Whose token that is; null where it is nobody's. */
export function senderOf<Name extends string>(
  authorization: string | undefined,
  secret: string,
  services: readonly Name[],
): Name | null {
  const [, token = '', name = ''] = /^Bearer (([^.\s]{1,100})\.[\da-f]{64})$/i.exec(authorization ?? '') ?? []
  const service = services.find((one) => one === name)
  if (service === undefined) return null
  return timingSafeEqual(digest(token), digest(tokenOf(service, secret))) ? service : null
}

/** Of one length, whatever was sent. */
const digest = (text: string): Buffer => createHmac('sha256', '').update(text).digest()

/** The secret that the services with this data folder share; made by the one that starts first. */
export function secretIn(folder: string, name = 'service-token'): string {
  const file = join(folder, name)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  return read(file) ?? make(file)
}

function read(file: string): string | null {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** Written whole under a name of its own first: of several that start at once, one has made it, and none reads half. */
function make(file: string): string {
  const own = `${file}.${process.pid}-${randomBytes(4).toString('hex')}`
  writeFileSync(own, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600, flag: 'wx' })
  try {
    linkSync(own, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    rmSync(own)
  }
  return readFileSync(file, 'utf8').trim()
}
