/**
 * For tests: all services in this process, each on a file of its own, as the embedded default has them, or on a PostgreSQL;
 * with a transport whose messages a test can hold back, so that it looks at a saga at a moment of its choice.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import type { Store } from 'ordersaga/store'
import { postgresStore } from 'ordersaga/stores/postgres'
import { sqliteStore } from 'ordersaga/stores/sqlite'
import type { Message, Transport } from 'ordersaga/transport'
import { memoryTransport } from 'ordersaga/transports/memory'
import type { DatabaseTarget } from '../database/database.ts'
import { orderReader } from '../../order/reader.ts'
import { openOrderService } from '../../order/service.ts'
import { openPaymentService } from '../../payment/service.ts'
import { openCompleteOrderService } from '../../sagas/complete-order/service.ts'
import { openCreateOrderService } from '../../sagas/create-order/service.ts'
import type { OpenService } from '../service.ts'
import { openTimerService } from '../../timer/service.ts'
import { openUserService } from '../../user/service.ts'

/** Holds back messages by their type. */
export interface Gate {
  hold(type: string): void
  /** Lets the held ones go, and those that follow. */
  release(type: string): void
  /** The messages of this type that are held now. */
  held(type: string): readonly Message[]
}

export interface Embedded {
  readonly urls: Readonly<Record<'user' | 'order' | 'payment' | 'timer' | 'sagas' | 'deliveries', string>>
  readonly transport: Transport
  readonly gate: Gate
  /** Where the files are, named as those of the whole system. */
  readonly folder: string
  close(): Promise<void>
}

export interface EmbeddedOptions {
  /** How long a runner has to accept, in milliseconds; 30 minutes where none is given. */
  readonly timerMs?: number
  /** A server on which each service has a database of its own; files where none is given. */
  readonly postgresUrl?: string
  /** Where the folder of the files is made; among the temporary ones where none is given. */
  readonly within?: string
  /** Writes what is to be found at the start; the store is open. */
  readonly prepare?: (store: Store) => Promise<void>
}

const halfAnHourMs = 30 * 60_000

export async function startEmbedded(options: EmbeddedOptions = {}): Promise<Embedded> {
  const { timerMs = halfAnHourMs, prepare, postgresUrl, within = tmpdir() } = options
  const folder = mkdtempSync(join(within, 'ordersaga-'))
  const { transport, gate } = gated(memoryTransport())
  const common = { transport, host: '127.0.0.1', port: 0, log: pino({ level: 'silent' }), now: Date.now }
  const target = (name: string): DatabaseTarget =>
    postgresUrl === undefined
      ? { kind: 'sqlite', file: join(folder, `${name}.db`) }
      : { kind: 'postgres', url: new URL(`/${name.replaceAll('-', '_')}_db`, postgresUrl).href }
  const withDatabase = (name: string) => ({ ...common, database: target(name) })
  const storeNamed = async (name: string): Promise<Store> => {
    const at = target(name)
    const store =
      at.kind === 'sqlite'
        ? sqliteStore({ file: at.file })
        : postgresStore({ connectionString: at.url, createDatabase: true })
    await store.open()
    return store
  }
  const store = await storeNamed('create-order-saga')
  await prepare?.(store)
  const orders = orderReader(() => order.url)
  const order = await openOrderService(withDatabase('order'))
  const user = await openUserService({ ...withDatabase('user'), orders })
  const payment = await openPaymentService(withDatabase('payment'))
  const timer = await openTimerService(withDatabase('timer'))
  const sagas = await openCreateOrderService({ ...common, store, timerMs })
  const deliveries = await openCompleteOrderService({
    ...common,
    store: await storeNamed('complete-order-saga'),
    orders,
  })
  const services = [user, order, payment, timer, sagas, deliveries]
  for (const service of services) service.begin()
  const url = (service: OpenService): string => service.url
  return {
    urls: {
      user: url(user),
      order: url(order),
      payment: url(payment),
      timer: url(timer),
      sagas: url(sagas),
      deliveries: url(deliveries),
    },
    transport,
    gate,
    folder,
    async close() {
      for (const service of services.toReversed()) await service.close()
      await transport.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function gated(inner: Transport): { readonly transport: Transport; readonly gate: Gate } {
  const kept = new Map<string, { readonly channel: string; readonly message: Message }[]>()
  return {
    transport: {
      async publish(channel, messages) {
        for (const message of messages) kept.get(message.type)?.push({ channel, message })
        await inner.publish(
          channel,
          messages.filter(({ type }) => !kept.has(type)),
        )
      },
      subscribe: (channel, group, handler) => inner.subscribe(channel, group, handler),
      ready: () => inner.ready(),
      close: () => inner.close(),
    },
    gate: {
      hold(type) {
        if (!kept.has(type)) kept.set(type, [])
      },
      release(type) {
        const messages = kept.get(type) ?? []
        kept.delete(type)
        for (const { channel, message } of messages) void inner.publish(channel, [message])
      },
      held: (type) => (kept.get(type) ?? []).map(({ message }) => message),
    },
  }
}
