/** Kinds of variables: what a value must be, in words for whoever has set another. */
import { isIP, isIPv6 } from 'node:net'
import { z } from 'zod'
import { emailPattern, longestPassword, shortestPassword } from '../auth/domain.ts'

const port = (least: number, value: number): z.ZodType<number> => {
  const error = `must be a port number from ${least} to 65535`
  return z.coerce.number(error).int(error).min(least, error).max(65_535, error).default(value)
}

/** One that is listened on; the system chooses where it is 0. */
export const ownPort = (value: number): z.ZodType<number> => port(0, value)
export const serverPort = (value: number): z.ZodType<number> => port(1, value)

const isHost = (text: string): boolean => isIP(text) !== 0 || /^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_.])?$/i.test(text)
export const serverHost = z
  .string()
  .refine(isHost, 'must be a host name or an IP address alone; the port and the user have variables of their own')

/** Of a server's port that speaks gRPC. */
export const endpoint = z
  .string()
  .refine((text) => isBroker(text), 'must be host:port, such as localhost:7233, without a scheme')

const isBroker = (text: string): boolean => {
  const [, host, number] = /^(.+):(\d{1,5})$/.exec(text) ?? []
  // Kafka's client parts the two at the first colon, so an IPv6 address would be none.
  return host !== undefined && isHost(host) && !isIPv6(host) && Number(number) >= 1 && Number(number) <= 65_535
}
/** `host:port`, several parted by commas. */
export const brokers = z
  .string()
  .refine(
    (text) => text.split(',').every(isBroker),
    'must be host:port with a port from 1 to 65535, several parted by commas',
  )

const parted = (text: string): readonly string[] => text.split(',').map((one) => one.trim().toLowerCase())

const hostsError = 'must be host names without ports, several parted by commas'
export const hostNames = z
  .string()
  .transform(parted)
  .pipe(z.array(z.string().refine(isHost, hostsError)).readonly())
  .default([])

const isNetwork = (text: string): boolean => {
  const [, address = '', bits = '0'] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  return isIP(address) !== 0 && Number(bits) <= (isIPv6(address) ? 128 : 32)
}
const networksError = 'must be addresses or networks such as 10.0.0.0/8, several parted by commas'
export const networks = (value: readonly string[]): z.ZodType<readonly string[]> =>
  z
    .string()
    .transform(parted)
    .pipe(z.array(z.string().refine(isNetwork, networksError)).readonly())
    .default(value)

/** Several of these names, parted by commas; none where nothing is said. */
export function someOf<const Name extends string>(names: readonly Name[]): z.ZodType<readonly Name[]> {
  const error = `must be some of ${names.join(', ')}, parted by commas`
  return z
    .string()
    .transform(parted)
    .pipe(z.array(z.enum(names, error)).readonly())
    .default([])
}

const isOrigin = (text: string): boolean => /^https?:/.test(text) && URL.canParse(text) && new URL(text).origin === text
const originsError = 'must be origins such as https://shop.example, without a path, several parted by commas'
export const webOrigins = z
  .string()
  .transform(parted)
  .pipe(z.array(z.string().refine(isOrigin, originsError)).readonly())
  .default([])

const anyHttpUrl = z.url({ protocol: /^https?$/, error: 'must be an http URL' })
export const httpUrl = (value: string): z.ZodType<string> => anyHttpUrl.default(value)
export const optionalHttpUrl = anyHttpUrl.optional()

const trueOrFalse = z.stringbool('must be true or false')
export const flag = (value: boolean): z.ZodType<boolean> => trueOrFalse.default(value)
/** Undefined where nothing is said. */
export const optionalFlag = trueOrFalse.optional()

const minutesError = 'must be a number of minutes, more than 0 and at most 10080'
export const minutes = (value: number): z.ZodType<number> =>
  z.coerce.number(minutesError).positive(minutesError).max(10_080, minutesError).default(value)

const daysError = 'must be a number of days from 30 to 3650'
export const days = (value: number): z.ZodType<number> =>
  z.coerce.number(daysError).min(30, daysError).max(3650, daysError).default(value)

const databaseError = 'must be the number of a database, from 0'
export const databaseNumber = z.coerce.number(databaseError).int(databaseError).min(0, databaseError).default(0)

export const secret = z.string().min(1).optional()

/** One that keys are derived from. */
export const strongSecret = z
  .string()
  .min(32, 'must have at least 32 characters, such as `openssl rand -hex 32` gives')
  .optional()

const countError = 'must be a whole number from 1 to 100000'
export const count = (value: number): z.ZodType<number> =>
  z.coerce.number(countError).int(countError).min(1, countError).max(100_000, countError).default(value)

const credentialsError = `must be an e-mail address, a colon and a password of ${shortestPassword} to ${longestPassword} characters`
/** `email:password` */
export const credentials = z
  .string()
  .transform((text) => {
    const [, email = '', password = ''] = /^([^:]*):(.*)$/s.exec(text) ?? []
    return { email: email.toLowerCase(), password }
  })
  .refine(
    ({ email, password }) =>
      emailPattern.test(email) && password.length >= shortestPassword && password.length <= longestPassword,
    credentialsError,
  )
  .optional()
