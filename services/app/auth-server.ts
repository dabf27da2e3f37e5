/**
 * Which auth server services ask, as the Order Orchestration Service is told: by names that are spelt in two ways, both of
 * which are in use (docs/wire-contract.md 5.6).
 */
import { z } from 'zod'
import { flag } from './variables.ts'

const hostError = 'must be a URL with its scheme, such as http://auth-service'
const host = z.url({ protocol: /^https?$/, error: hostError }).optional()

const portError = 'must be a port number from 1 to 65535'
const port = z.coerce.number(portError).int(portError).min(1, portError).max(65_535, portError).optional()

export const authServerVariables = {
  /** With its scheme. Ours where neither a host nor a port is given. */
  AUTHERIZATION_SERVER_HOST: host,
  AUTHORIZATION_SERVER_HOST: host,
  AUTHERIZATION_SERVER_PORT: port,
  AUTHORIZATION_SERVER_PORT: port,
  /** Whether a foreign server's yes is enough, which does not say whose token it is: then everybody it accepts acts for anybody. */
  AUTH_ACCEPT_UNNAMED: flag(false),
} as const

export type AuthServerVariables = z.infer<z.ZodObject<typeof authServerVariables>>

const foreignHost = 'http://localhost'
const foreignPort = 5206

/**
 * Where it is; null where the environment names none, which means ours.
 *
 * @throws Error where the two spellings say different things
 */
export function authServerUrl(said: AuthServerVariables): string | null {
  const { AUTHERIZATION_SERVER_HOST, AUTHORIZATION_SERVER_HOST } = said
  const { AUTHERIZATION_SERVER_PORT, AUTHORIZATION_SERVER_PORT } = said
  const host = oneOf({ AUTHERIZATION_SERVER_HOST, AUTHORIZATION_SERVER_HOST })
  const port = oneOf({ AUTHERIZATION_SERVER_PORT, AUTHORIZATION_SERVER_PORT })
  if (host === undefined && port === undefined) return null
  const url = new URL(host ?? foreignHost)
  if (port !== undefined) url.port = String(port)
  else if (!/^\w+:\/\/(?:[^/?#]*@)?(?:\[[^\]]*\]|[^/?#:]*):\d+/.test(host ?? '')) url.port = String(foreignPort)
  return url.href.replace(/\/+$/, '')
}

function oneOf<Value>(said: Readonly<Record<string, Value>>): Value | undefined {
  const values = new Set(Object.values(said).filter((value) => value !== undefined))
  if (values.size > 1) throw new Error(`${Object.keys(said).join(', ')}: they say different things; set one of them`)
  return [...values][0]
}
