/**
 * Puts the services together: which database each has, and in which order they start and stop. `transport.ts` says how
 * their messages move.
 */
import { join } from 'node:path'
import type { Store } from 'ordersaga/store'
import { postgresStore } from 'ordersaga/stores/postgres'
import { redisStore } from 'ordersaga/stores/redis'
import { sqliteStore } from 'ordersaga/stores/sqlite'
import type { Logger } from 'pino'
import { serverUrl, type Config, type ServiceName } from './config.ts'
import { connect, type Connection } from './transport.ts'
import type { DatabaseTarget } from '../shared/database/database.ts'
import { logProblems } from '../shared/log/problems.ts'
import { openOrderService } from '../order/service.ts'
import { openPaymentService } from '../payment/service.ts'
import { openCreateOrderService } from '../sagas/create-order/service.ts'
import type { OpenService } from '../shared/service.ts'
import { openTimerService } from '../timer/service.ts'
import { openUserService } from '../user/service.ts'

export interface System {
  readonly services: readonly OpenService[]
  close(): Promise<void>
}

/**
 * Starts every service in this process: all of them subscribe, the participants before the sagas that command them, and
 * only then each begins to say what it has to say unasked.
 */
export async function startAll(config: Config, log: Logger): Promise<System> {
  const connection = connect('all', config, log)
  const services: OpenService[] = []
  const close = async (): Promise<void> => {
    for (const service of services.splice(0).reverse()) await service.close()
    await connection.transport.close()
  }
  try {
    // The saga store first: its lock keeps a second process out before anything is touched.
    const store = sagaStore(config, log, (url) => databaseOf(url, 'create_order_saga_db'))
    await store.open()
    for (const name of ['user', 'order', 'payment', 'timer'] as const)
      services.push(await openParticipant(name, config, log, connection, (url) => databaseOf(url, `${name}_db`)))
    services.push(await openSagas(config, log, connection, store))
    for (const service of services) service.begin()
    return { services, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Starts one service; its DATABASE_URL names its own database. */
export async function startOne(name: ServiceName, config: Config, log: Logger): Promise<System> {
  const connection = connect(name, config, log)
  const asSaid = (url: string): string => url
  try {
    const service =
      name === 'create-order'
        ? await openSagas(config, log, connection, sagaStore(config, log, asSaid))
        : await openParticipant(name, config, log, connection, asSaid)
    service.begin()
    const close = async (): Promise<void> => {
      await service.close()
      await connection.transport.close()
    }
    return { services: [service], close }
  } catch (error) {
    await connection.transport.close()
    throw error
  }
}

function openParticipant(
  name: Exclude<ServiceName, 'create-order'>,
  config: Config,
  log: Logger,
  connection: Connection,
  urlOf: (url: string) => string,
): Promise<OpenService> {
  const target: DatabaseTarget =
    config.DATABASE_URL === undefined
      ? { kind: 'sqlite', file: join(config.ORDERSAGA_DIR, `${name}.db`) }
      : { kind: 'postgres', url: urlOf(config.DATABASE_URL) }
  const options = {
    ...connection,
    database: target,
    host: config.HOST,
    log: log.child({ service: name }),
    now: Date.now,
    retainMs: retainMs(config),
  }
  switch (name) {
    case 'user':
      return openUserService({ ...options, port: config.USER_PORT })
    case 'order':
      return openOrderService({ ...options, port: config.ORDER_PORT, testRoutes: config.ORDER_TEST_ROUTES })
    case 'payment':
      return openPaymentService({ ...options, port: config.PAYMENT_PORT, ...stripeOf(config) })
    case 'timer':
      return openTimerService({ ...options, port: config.TIMER_PORT })
  }
}

const retainMs = (config: Config): number => config.SAGA_RETENTION_DAYS * 86_400_000

function stripeOf({ STRIPE_SECRET_KEY: secretKey }: Config): { stripe?: { secretKey: string } } {
  return secretKey === undefined ? {} : { stripe: { secretKey } }
}

function openSagas(config: Config, log: Logger, connection: Connection, store: Store): Promise<OpenService> {
  return openCreateOrderService({
    ...connection,
    store,
    host: config.HOST,
    port: config.CREATE_ORDER_PORT,
    log: log.child({ service: 'create-order-saga' }),
    timerMs: config.ORDER_TIMER_MINUTES * 60_000,
    retainMs: retainMs(config),
  })
}

/** Redis where it is named, else PostgreSQL where that is, else a file. */
function sagaStore(config: Config, log: Logger, urlOf: (url: string) => string): Store {
  if (config.REDIS_HOST !== undefined)
    return redisStore({ url: redisUrl(config, config.REDIS_HOST), acceptLoss: config.REDIS_ACCEPT_LOSS })
  return config.DATABASE_URL === undefined
    ? sqliteStore({ file: join(config.ORDERSAGA_DIR, 'create-order-saga.db') })
    : postgresStore({
        connectionString: urlOf(config.DATABASE_URL),
        createDatabase: true,
        onProblem: logProblems(log),
      })
}

function redisUrl(config: Config, host: string): string {
  const { REDIS_PORT, REDIS_DB, REDIS_USER, REDIS_PASSWORD } = config
  const url = serverUrl('redis', host, REDIS_PORT, { user: REDIS_USER, password: REDIS_PASSWORD })
  url.pathname = `/${REDIS_DB}`
  return url.href
}

/** The same server, another database. */
function databaseOf(url: string, database: string): string {
  const changed = new URL(url)
  changed.pathname = `/${database}`
  return changed.href
}
