/**
 * Puts the services together: which database each has, how messages move, and in which order they start and stop.
 *
 * All in one process: messages move in memory, each service has its own database. One by one: by HTTP.
 */
import { join } from 'node:path'
import type { Store } from 'ordersaga/store'
import { postgresStore } from 'ordersaga/stores/postgres'
import { sqliteStore } from 'ordersaga/stores/sqlite'
import type { Transport } from 'ordersaga/transport'
import { httpTransport } from 'ordersaga/transports/http'
import { memoryTransport } from 'ordersaga/transports/memory'
import type { Logger } from 'pino'
import type { Config, ServiceName } from './config.ts'
import type { DatabaseTarget } from './database/database.ts'
import type { MessageReceiver } from './http/messages.ts'
import { startOrderService } from './order/service.ts'
import { startPaymentService } from './payment/service.ts'
import { startCreateOrderService } from './sagas/create-order/service.ts'
import type { RunningService } from './service.ts'
import { startTimerService } from './timer/service.ts'
import { startUserService } from './user/service.ts'

export interface System {
  readonly services: readonly RunningService[]
  close(): Promise<void>
}

/** Starts every service in this process, the participants before the sagas that command them. */
export async function startAll(config: Config, log: Logger): Promise<System> {
  const transport = memoryTransport()
  const services: RunningService[] = []
  const close = async (): Promise<void> => {
    for (const service of services.splice(0).reverse()) await service.close()
    await transport.close()
  }
  try {
    // The saga store first: its lock keeps a second process out before anything is touched.
    const store = sagaStore(config, (url) => databaseOf(url, 'create_order_saga_db'))
    await store.open()
    for (const name of ['user', 'order', 'payment', 'timer'] as const)
      services.push(await startParticipant(name, config, log, transport))
    services.push(await startSagas(config, log, transport, store))
    return { services, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Starts one service, reached by the others over HTTP; its DATABASE_URL names its own database (contract 1.12, 4.7). */
export async function startOne(name: ServiceName, config: Config, log: Logger): Promise<System> {
  const transport = httpTransport({
    ...routing(name, config),
    onProblem: (problem) => log.warn({ problem }, 'a message could not be delivered'),
  })
  try {
    const service =
      name === 'create-order'
        ? await startSagas(
            config,
            log,
            transport,
            sagaStore(config, (url) => url),
            transport,
          )
        : await startParticipant(name, config, log, transport, transport)
    const close = async (): Promise<void> => {
      await service.close()
      await transport.close()
    }
    return { services: [service], close }
  } catch (error) {
    await transport.close()
    throw error
  }
}

function routing(name: ServiceName, config: Config): { readonly peers: Record<string, string>; readonly self: string } {
  const sagas = config.CREATE_ORDER_SAGA_URL
  const participants = {
    user: config.USER_SERVICE_URL,
    order: config.ORDER_SERVICE_URL,
    payment: config.PAYMENT_SERVICE_URL,
    timer: config.SCHEDULER_SERVICE_URL,
  }
  if (name !== 'create-order') return { self: participants[name], peers: { [`${name}_events`]: sagas } }
  const peers = Object.entries(participants).map(([participant, url]) => [`${participant}_commands`, url] as const)
  return { self: sagas, peers: Object.fromEntries(peers) }
}

function startParticipant(
  name: Exclude<ServiceName, 'create-order'>,
  config: Config,
  log: Logger,
  transport: Transport,
  receiver?: MessageReceiver,
): Promise<RunningService> {
  const alone = receiver !== undefined
  const target: DatabaseTarget =
    config.DATABASE_URL === undefined
      ? { kind: 'sqlite', file: join(config.ORDERSAGA_DIR, `${name}.db`) }
      : { kind: 'postgres', url: alone ? config.DATABASE_URL : databaseOf(config.DATABASE_URL, `${name}_db`) }
  const options = {
    database: target,
    transport,
    host: config.HOST,
    log: log.child({ service: name }),
    now: Date.now,
    ...(receiver === undefined ? {} : { receiver }),
  }
  switch (name) {
    case 'user':
      return startUserService({ ...options, port: config.USER_PORT })
    case 'order':
      return startOrderService({ ...options, port: config.ORDER_PORT })
    case 'payment':
      return startPaymentService({ ...options, port: config.PAYMENT_PORT, ...stripeOf(config) })
    case 'timer':
      return startTimerService({ ...options, port: config.TIMER_PORT })
  }
}

function stripeOf({ STRIPE_SECRET_KEY: secretKey }: Config): { stripe?: { secretKey: string } } {
  return secretKey === undefined ? {} : { stripe: { secretKey } }
}

function startSagas(
  config: Config,
  log: Logger,
  transport: Transport,
  store: Store,
  receiver?: MessageReceiver,
): Promise<RunningService> {
  return startCreateOrderService({
    store,
    transport,
    host: config.HOST,
    port: config.CREATE_ORDER_PORT,
    log: log.child({ service: 'create-order-saga' }),
    timerMs: config.ORDER_TIMER_MINUTES * 60_000,
    retainMs: config.SAGA_RETENTION_DAYS * 86_400_000,
    ...(receiver === undefined ? {} : { receiver }),
  })
}

function sagaStore(config: Config, urlOf: (url: string) => string): Store {
  return config.DATABASE_URL === undefined
    ? sqliteStore({ file: join(config.ORDERSAGA_DIR, 'create-order-saga.db') })
    : postgresStore({ connectionString: urlOf(config.DATABASE_URL) })
}

/** The same server, another database. */
function databaseOf(url: string, database: string): string {
  const changed = new URL(url)
  changed.pathname = `/${database}`
  return changed.href
}
