/** What the environment may set, checked whole at the start. The environment itself is read in `main.ts` alone. */
import { isIPv6 } from 'node:net'
import { z } from 'zod'
import { authServerUrl, authServerVariables, type AuthServerVariables } from './auth-server.ts'
import { byName, peers, services, withoutTemporal, type PeerName, type Service, type ServiceName } from './registry.ts'
import {
  brokers,
  count,
  databaseNumber,
  days,
  endpoint,
  flag,
  hostNames,
  httpUrl,
  ownPort,
  secret,
  serverHost,
  serverPort,
  strongSecret,
  webOrigins,
} from './variables.ts'

/** A configuration that cannot be used; the message is one line that says what to change. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

/** What is said to all services alike. */
const shared = {
  /** Where the embedded databases are. */
  ORDERSAGA_DIR: z.string().min(1).default('.ordersaga'),
  /** `postgresql://…`; each service uses a database of its own name on that server when all run in one process. */
  DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/, error: 'must be a postgresql:// URL' }).optional(),
  HOST: z.string().min(1).default('127.0.0.1'),
  /** What reaches HOST is trusted, such as a container network whose ports are published on this machine only. */
  TRUSTED_NETWORK: flag(false),
  /** By it services that send messages by HTTP know each other; one is made in ORDERSAGA_DIR where none is given. */
  SERVICE_TOKEN: strongSecret,
  /** Names under which browsers reach the services, besides `localhost` and addresses. */
  ALLOWED_HOSTS: hostNames,
  /** Origins of browser pages that may call the services. */
  ALLOWED_ORIGINS: webOrigins,
  /** Event streams that one address may have open at an orchestrator. A proxy in front is one address for all behind it. */
  STREAMS_PER_CLIENT: count(1_000),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).optional(),
  /** How long ended sagas, their idempotency keys and what participants answered are kept; 30 days at least. */
  SAGA_RETENTION_DAYS: days(365),
  /** Messages then move over Kafka. */
  KAFKA_BOOTSTRAP_SERVERS: brokers.optional(),
  /** Messages then move over RabbitMQ. */
  RABBITMQ_HOST: serverHost.optional(),
  RABBITMQ_PORT: serverPort(5672),
  RABBITMQ_USER: z.string().min(1).default('guest'),
  RABBITMQ_PASSWORD: z.string().default('guest'),
  RABBITMQ_QUEUE_TYPE: z.enum(['quorum', 'classic'], 'must be quorum or classic').default('quorum'),
  /** Sagas are then kept in Redis. */
  REDIS_HOST: serverHost.optional(),
  REDIS_PORT: serverPort(6379),
  REDIS_DB: databaseNumber,
  REDIS_USER: secret,
  REDIS_PASSWORD: secret,
  /** Temporal's frontend: all processes together then run the sagas on Temporal, too. Started alone, theirs look at localhost:7233. */
  TEMPORAL_GRPC_ENDPOINT: endpoint.optional(),
  TEMPORAL_NAMESPACE: z.string().min(1).default('default'),
  ...authServerVariables,
  /** Starts also on a Redis whose settings may lose sagas that were acknowledged. */
  REDIS_ACCEPT_LOSS: flag(false),
}

/** Where each service listens, where the others find it, and what is said to it alone. */
const ofServices: z.ZodRawShape = {
  ...Object.fromEntries(services.map(({ port }) => [port.variable, ownPort(port.usual)])),
  ...Object.fromEntries(peers.map(({ port, url }) => [url, httpUrl(`http://127.0.0.1:${port.usual}`)])),
  ...Object.fromEntries(services.flatMap(({ variables }) => Object.entries(variables))),
}

const Environment = z.object({ ...ofServices, ...shared })

export const variableNames: readonly string[] = Object.keys(Environment.shape)

export interface Config extends z.infer<z.ZodObject<typeof shared>> {
  /** Where each service listens; 0 lets the system choose. */
  readonly ports: Readonly<Record<ServiceName, number>>
  /** Where each service is found by the others. */
  readonly urls: Readonly<Record<PeerName, string>>
  /** Whether the environment names an auth server, ours or a foreign one. */
  readonly namesAuthServer: boolean
}

const loopback = new Set(['127.0.0.1', '::1', 'localhost'])

/** @throws ConfigError naming every variable that is wrong */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const set = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== undefined && value !== ''))
  const parsed = Environment.safeParse(set)
  if (!parsed.success)
    throw new ConfigError(parsed.error.issues.map((issue) => `${String(issue.path[0])}: ${issue.message}`).join('; '))
  const { KAFKA_BOOTSTRAP_SERVERS: kafka, RABBITMQ_HOST: rabbitmq } = parsed.data
  if (kafka !== undefined && rabbitmq !== undefined)
    throw new ConfigError('KAFKA_BOOTSTRAP_SERVERS, RABBITMQ_HOST: messages move over one of them; unset the other.')
  if (!loopback.has(parsed.data.HOST) && !parsed.data.TRUSTED_NETWORK)
    throw new ConfigError(
      `HOST: ${parsed.data.HOST} is reached from outside this machine, and not every service asks who calls. Leave HOST at 127.0.0.1 and put an authenticating proxy in front; set TRUSTED_NETWORK=true only where nobody else reaches that address.`,
    )
  const foreign = checkedAuthServer(parsed.data)
  const values: Readonly<Record<string, unknown>> = parsed.data
  return {
    ...parsed.data,
    ports: byName(services, ({ port }) => values[port.variable] as number),
    urls: byName(peers, ({ url }) => values[url] as string),
    namesAuthServer: foreign !== null || set['AUTH_SERVICE_URL'] !== undefined,
  }
}

/** The services that run where all do. */
export const taking = ({
  TEMPORAL_GRPC_ENDPOINT,
}: Pick<Config, 'TEMPORAL_GRPC_ENDPOINT'>): readonly Service<ServiceName>[] =>
  TEMPORAL_GRPC_ENDPOINT === undefined ? withoutTemporal : services

/** What two variables together may not say. */
function checkedAuthServer(variables: AuthServerVariables): string | null {
  try {
    return authServerUrl(variables)
  } catch (error) {
    throw new ConfigError((error as Error).message)
  }
}

/**
 * The environment of a first look: it has users to log in as, whose passwords everybody knows, where they are kept in a file
 * here and nobody else reaches them. What is said of that already holds.
 */
export function forFirstLook<Value extends string | undefined>(
  environment: Readonly<Record<string, Value>>,
): Readonly<Record<string, Value | 'true'>> {
  const { DATABASE_URL, HOST } = readConfig(environment)
  if (DATABASE_URL !== undefined || !loopback.has(HOST)) return environment
  return { AUTH_FIRST_LOOK: 'true', ...environment }
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
