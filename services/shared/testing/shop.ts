/** For tests: the Order Orchestration with all its services in this process, each on a file of its own, and a user logged in. */
import { pino } from 'pino'
import { join } from 'node:path'
import { sqliteStore } from 'ordersaga/stores/sqlite'
import type { Store } from 'ordersaga/store'
import type { Transport } from 'ordersaga/transport'
import { memoryTransport } from 'ordersaga/transports/memory'
import { firstLookUsers } from '../../auth/first-look.ts'
import { openAuthService } from '../../auth/service.ts'
import { openOrderOrchestrationService } from '../../sagas/order-orchestration/service.ts'
import { openShopOrderService } from '../../shop-order/service.ts'
import { openShopPaymentService } from '../../shop-payment/service.ts'
import { productReader } from '../../stock/reader.ts'
import { openStockService } from '../../stock/service.ts'
import { authVerifier, strongestFirst } from '../auth/verifier.ts'
import { newFolder } from './ask.ts'
import { call } from './call.ts'

export interface WholeShop {
  readonly urls: Readonly<Record<'shop' | 'stock' | 'order' | 'payment' | 'auth', string>>
  /** The access token of a user of the first look. */
  token(role: (typeof firstLookUsers)[number]['role']): Promise<string>
  close(): Promise<void>
}

export interface ShopOptions {
  /** Whether the users of a first look are there; they are where nothing is said. */
  readonly firstLook?: boolean
  /** In memory where none is given. */
  readonly transport?: Transport
  /** Of the sagas, not open yet; a file where none is given. */
  readonly store?: Store
  readonly attemptMs?: number
}

export async function startShop(options: ShopOptions = {}): Promise<WholeShop> {
  const { firstLook = true, transport = memoryTransport() } = options
  const folder = newFolder()
  const common = { transport, host: '127.0.0.1', port: 0, log: pino({ level: 'silent' }), now: Date.now }
  const rows = (name: string) => ({
    ...common,
    database: { kind: 'sqlite' as const, file: join(folder, `${name}.db`) },
  })
  const auth = await openAuthService({ ...rows('auth'), secret: 'x'.repeat(32), firstLook, trustedProxies: [] })
  const access = { verify: authVerifier({ url: () => auth.url, policies: strongestFirst }), acceptUnnamed: false }
  const stock = await openStockService({ ...rows('stock'), access })
  const order = await openShopOrderService({ ...rows('shop-order'), access })
  const payment = await openShopPaymentService({ ...rows('shop-payment'), access })
  const { store = sqliteStore({ file: join(folder, 'order-orchestration.db') }) } = options
  await store.open()
  const shop = await openOrderOrchestrationService({
    ...common,
    store,
    verify: authVerifier({ url: () => auth.url }),
    acceptUnnamed: false,
    foreign: [],
    products: productReader(() => stock.url),
    ...(options.attemptMs === undefined ? {} : { attemptMs: options.attemptMs }),
  })
  const services = [auth, stock, order, payment, shop]
  for (const service of services) service.begin()
  return {
    urls: { shop: shop.url, stock: stock.url, order: order.url, payment: payment.url, auth: auth.url },
    async token(role) {
      const { email, password } = firstLookUsers.find((user) => user.role === role) ?? {}
      const { body } = await call('POST', `${auth.url}/login`, { json: { email, password } })
      return (body as { readonly access_token: string }).access_token
    },
    async close() {
      for (const service of services.toReversed()) await service.close()
      await transport.close()
    },
  }
}
