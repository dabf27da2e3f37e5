/**
 * Puts the services together: which database each has, and in which order they start and stop. `registry.ts` says which
 * there are, `transport.ts` how their messages move.
 */
import { join } from 'node:path'
import type { Store } from 'ordersaga/store'
import { postgresStore } from 'ordersaga/stores/postgres'
import { redisStore } from 'ordersaga/stores/redis'
import { sqliteStore } from 'ordersaga/stores/sqlite'
import type { Logger } from 'pino'
import type { Upstream } from '../gateway/upstream.ts'
import type { DatabaseTarget } from '../shared/database/database.ts'
import { logProblems } from '../shared/log/problems.ts'
import type { OpenService } from '../shared/service.ts'
import { authServerUrl } from './auth-server.ts'
import { serverUrl, taking, type Config } from './config.ts'
import {
  isPeer,
  isPeerName,
  serviceNamed,
  type Keeper,
  type Orchestrator,
  type Service,
  type ServiceName,
} from './registry.ts'
import { connect } from './transport.ts'

export interface System {
  /** Those that run, in the order in which they started. */
  readonly services: readonly { readonly name: ServiceName; readonly url: string }[]
  /** Where one listens that runs here. */
  url(name: ServiceName): string
  close(): Promise<void>
}

/**
 * Starts every service in this process: all of them subscribe, those that obey commands before those that give them, and
 * only then each begins to say what it has to say unasked.
 */
export function startAll(config: Config, log: Logger): Promise<System> {
  // The server is named; each service has a database of its own there.
  return start('all', taking(config), config, log, ({ database }, url) => databaseOf(url, database))
}

/** Starts one service; its DATABASE_URL names its own database. */
export function startOne(name: ServiceName, config: Config, log: Logger): Promise<System> {
  return start(name, [serviceNamed(name)], config, log, (_service, url) => url)
}

type UrlOf = (service: Keeper, url: string) => string

async function start(
  name: ServiceName | 'all',
  chosen: readonly Service<ServiceName>[],
  config: Config,
  log: Logger,
  urlOf: UrlOf,
): Promise<System> {
  const logOf = (service: ServiceName): Logger => log.child({ service })
  const connection = connect(name, config, name === 'all' ? log : logOf(name))
  const stores = new Map<ServiceName, Store>()
  const running = new Map<ServiceName, OpenService>()
  /** Where the others are: those that run here as they listen, those elsewhere as the configuration says. */
  const addressOf = (name: string): string => {
    if (!isPeerName(name)) throw new Error(`${name} is no service that others ask`)
    return running.get(name)?.url ?? config.urls[name]
  }
  const authServer = {
    url: () => authServerUrl(config) ?? addressOf('auth'),
    isThere: config.namesAuthServer || chosen.some((service) => service.name === 'auth'),
    acceptUnnamed: config.AUTH_ACCEPT_UNNAMED,
  }
  const close = async (): Promise<void> => {
    for (const service of [...running.values()].reverse()) await service.close()
    for (const [name, store] of stores) if (!running.has(name)) await store.close()
    await connection.transport.close()
  }
  const open = (service: Service<ServiceName>): Promise<OpenService> => {
    const server = {
      host: config.HOST,
      port: config.ports[service.name],
      callers: { hosts: config.ALLOWED_HOSTS, origins: config.ALLOWED_ORIGINS },
      log: logOf(service.name),
    }
    const work = {
      ...server,
      ...connection,
      addressOf,
      authServer,
      folder: config.ORDERSAGA_DIR,
      now: Date.now,
      retainMs: config.SAGA_RETENTION_DAYS * 86_400_000,
    }
    switch (service.keeps) {
      case 'rows':
        return service.open({ ...work, database: targetOf(service, config, urlOf) }, config)
      case 'sagas':
        return service.open(
          {
            ...work,
            store: storeOf(service.name),
            streams: { perClient: config.STREAMS_PER_CLIENT },
            redis: redisOf(service, config),
          },
          config,
        )
      case 'workflows':
        return service.open({ ...server, addressOf, temporal: temporalOf(config) }, config)
      case 'nothing':
        return service.open({ ...server, upstreams: upstreams() }, config)
    }
  }
  const storeOf = (name: ServiceName): Store => {
    const store = stores.get(name)
    if (store === undefined) throw new Error(`the store of ${name} is not open yet`)
    return store
  }
  const upstreams = (): readonly Upstream[] =>
    taking(config)
      .filter(isPeer)
      .map(({ name, title, does, behind }) => ({ name, title, does, behind, url: addressOf(name) }))
  try {
    // The saga stores first: their lock keeps a second process out before anything is touched.
    for (const service of chosen)
      if (service.keeps === 'sagas')
        stores.set(service.name, sagaStore(service, targetOf(service, config, urlOf), config, logOf(service.name)))
    for (const store of stores.values()) await store.open()
    for (const service of chosen) running.set(service.name, await open(service))
    for (const service of running.values()) service.begin()
  } catch (error) {
    await close()
    throw error
  }
  return {
    services: [...running].map(([name, { url }]) => ({ name, url })),
    url(name) {
      const service = running.get(name)
      if (service === undefined) throw new Error(`${name} does not run here: start it, or all`)
      return service.url
    },
    close,
  }
}

const temporalOf = ({ TEMPORAL_GRPC_ENDPOINT: address = 'localhost:7233', TEMPORAL_NAMESPACE: namespace }: Config) => ({
  address,
  namespace,
})

function targetOf(service: Keeper, config: Config, urlOf: UrlOf): DatabaseTarget {
  if (config.DATABASE_URL !== undefined) return { kind: 'postgres', url: urlOf(service, config.DATABASE_URL) }
  return { kind: 'sqlite', file: join(config.ORDERSAGA_DIR, fileOf(service.database)) }
}

/** @example fileOf('create_order_saga_db') // 'create-order-saga.db' */
const fileOf = (database: string): string => `${database.replace(/_db$/, '').replaceAll('_', '-')}.db`

const redisOf = ({ redisPrefix: prefix }: Orchestrator, config: Config) =>
  config.REDIS_HOST === undefined ? undefined : { url: redisUrl(config, config.REDIS_HOST), prefix }

/** Redis where it is named, else where the service's rows would be. */
function sagaStore(service: Orchestrator, target: DatabaseTarget, config: Config, log: Logger): Store {
  const redis = redisOf(service, config)
  if (redis !== undefined) return redisStore({ ...redis, setBy: redisVariables, acceptLoss: config.REDIS_ACCEPT_LOSS })
  if (target.kind === 'sqlite') return sqliteStore({ file: target.file, onProblem: logProblems(log) })
  return postgresStore({ connectionString: target.url, createDatabase: true, onProblem: logProblems(log) })
}

/** As messages name them. */
const redisVariables = { server: 'REDIS_HOST and REDIS_PORT', database: 'REDIS_DB' }

function redisUrl(config: Config, host: string): string {
  const { REDIS_PORT, REDIS_DB, REDIS_USER, REDIS_PASSWORD } = config
  const url = serverUrl('redis', host, REDIS_PORT, { user: REDIS_USER, password: REDIS_PASSWORD })
  url.pathname = `/${REDIS_DB}`
  return url.href
}

/** The same server, another database. */
export function databaseOf(url: string, database: string): string {
  const changed = new URL(url)
  changed.pathname = `/${database}`
  return changed.href
}
