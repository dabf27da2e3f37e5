/** What the environment may set, checked whole at the start. The environment itself is read in `main.ts` alone. */
import { isIP, isIPv6 } from 'node:net'
import { z } from 'zod'

export const serviceNames = ['user', 'order', 'payment', 'timer', 'create-order'] as const
export type ServiceName = (typeof serviceNames)[number]

/** A configuration that cannot be used; the message is one line that says what to change. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

const port = (least: number, value: number): z.ZodType<number> => {
  const error = `must be a port number from ${least} to 65535`
  return z.coerce.number(error).int(error).min(least, error).max(65_535, error).default(value)
}
/** One that is listened on; the system chooses where it is 0. */
const ownPort = (value: number): z.ZodType<number> => port(0, value)
const serverPort = (value: number): z.ZodType<number> => port(1, value)
const isHost = (text: string): boolean => isIP(text) !== 0 || /^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_.])?$/i.test(text)
const serverHost = z
  .string()
  .refine(isHost, 'must be a host name or an IP address alone; the port and the user have variables of their own')
const isBroker = (text: string): boolean => {
  const [, host, number] = /^(.+):(\d{1,5})$/.exec(text) ?? []
  // Kafka's client parts the two at the first colon, so an IPv6 address would be none.
  return host !== undefined && isHost(host) && !isIPv6(host) && Number(number) >= 1 && Number(number) <= 65_535
}
const areBrokers = (text: string): boolean => text.split(',').every(isBroker)
const daysError = 'must be a number of days from 30 to 3650'
const minutesError = 'must be a number of minutes, more than 0 and at most 10080'
const databaseError = 'must be the number of a database, from 0'
const httpUrl = (value: string): z.ZodType<string> =>
  z.url({ protocol: /^https?$/, error: 'must be an http URL' }).default(value)

const Environment = z.object({
  /** Where the embedded databases are. */
  ORDERSAGA_DIR: z.string().min(1).default('.ordersaga'),
  /** `postgresql://…`; each service uses a database of its own name on that server when all run in one process. */
  DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/, error: 'must be a postgresql:// URL' }).optional(),
  HOST: z.string().min(1).default('127.0.0.1'),
  /** What reaches HOST is trusted, such as a container network whose ports are published on this machine only. */
  TRUSTED_NETWORK: z.stringbool('must be true or false').default(false),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).optional(),
  USER_PORT: ownPort(3001),
  ORDER_PORT: ownPort(3002),
  PAYMENT_PORT: ownPort(3003),
  TIMER_PORT: ownPort(3005),
  CREATE_ORDER_PORT: ownPort(3101),
  USER_SERVICE_URL: httpUrl('http://127.0.0.1:3001'),
  ORDER_SERVICE_URL: httpUrl('http://127.0.0.1:3002'),
  PAYMENT_SERVICE_URL: httpUrl('http://127.0.0.1:3003'),
  SCHEDULER_SERVICE_URL: httpUrl('http://127.0.0.1:3005'),
  /** Where the participants send replies that were not ready in time, and events. */
  CREATE_ORDER_SAGA_URL: httpUrl('http://127.0.0.1:3101'),
  /** How long a runner has to accept an order. */
  ORDER_TIMER_MINUTES: z.coerce.number(minutesError).positive(minutesError).max(10_080, minutesError).default(30),
  /** How long ended sagas, their idempotency keys and what participants answered are kept; 30 days at least. */
  SAGA_RETENTION_DAYS: z.coerce.number(daysError).min(30, daysError).max(3650, daysError).default(365),
  STRIPE_SECRET_KEY: z.string().min(1).optional(),
  /** `host:port`, several parted by commas. Messages then move over Kafka. */
  KAFKA_BOOTSTRAP_SERVERS: z
    .string()
    .refine(areBrokers, 'must be host:port with a port from 1 to 65535, several parted by commas')
    .optional(),
  /** Serves `/testCreateOrder`, whose orders nobody is told of. */
  ORDER_TEST_ROUTES: z.stringbool('must be true or false').default(false),
  /** Messages then move over RabbitMQ. */
  RABBITMQ_HOST: serverHost.optional(),
  RABBITMQ_PORT: serverPort(5672),
  RABBITMQ_USER: z.string().min(1).default('guest'),
  RABBITMQ_PASSWORD: z.string().default('guest'),
  RABBITMQ_QUEUE_TYPE: z.enum(['quorum', 'classic'], 'must be quorum or classic').default('quorum'),
  /** Sagas are then kept in Redis. */
  REDIS_HOST: serverHost.optional(),
  REDIS_PORT: serverPort(6379),
  REDIS_DB: z.coerce.number(databaseError).int(databaseError).min(0, databaseError).default(0),
  REDIS_USER: z.string().min(1).optional(),
  REDIS_PASSWORD: z.string().min(1).optional(),
  /** Starts also on a Redis whose settings may lose sagas that were acknowledged. */
  REDIS_ACCEPT_LOSS: z.stringbool('must be true or false').default(false),
})

export type Config = z.infer<typeof Environment>

const loopback = new Set(['127.0.0.1', '::1', 'localhost'])

/** @throws ConfigError naming every variable that is wrong */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const set = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== undefined && value !== ''))
  const parsed = Environment.safeParse(set)
  if (!parsed.success)
    throw new ConfigError(parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '))
  const { KAFKA_BOOTSTRAP_SERVERS: kafka, RABBITMQ_HOST: rabbitmq } = parsed.data
  if (kafka !== undefined && rabbitmq !== undefined)
    throw new ConfigError('KAFKA_BOOTSTRAP_SERVERS, RABBITMQ_HOST: messages move over one of them; unset the other.')
  if (!loopback.has(parsed.data.HOST) && !parsed.data.TRUSTED_NETWORK)
    throw new ConfigError(
      `HOST: ${parsed.data.HOST} is reached from outside this machine, and these services have no login yet. Leave HOST at 127.0.0.1 and put an authenticating proxy in front; set TRUSTED_NETWORK=true only where nobody else reaches that address.`,
    )
  return parsed.data
}

/** A server's URL, with its user where there is one. */
export function serverUrl(
  scheme: 'amqp' | 'redis',
  host: string,
  port: number,
  { user = '', password = '' }: { readonly user?: string | undefined; readonly password?: string | undefined },
): URL {
  const url = new URL(`${scheme}://${isIPv6(host) ? `[${host}]` : host}:${port}`)
  url.username = encodeURIComponent(user)
  url.password = encodeURIComponent(password)
  return url
}
