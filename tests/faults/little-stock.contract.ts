/** Tens of thousands of orders for little stock: a run that is long enough for what goes wrong seldom, and for what grows. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openHost, type Host, type HostName } from '../kit/hosts.ts'
import { startSystem, type System } from '../kit/system.ts'
import { newSeed, randomFrom } from './random.ts'
import { Rush } from './rush.ts'

export function littleStockContract(name: HostName, orders: number): void {
  describe(`${orders} orders for little stock, on ${name}`, () => {
    let host: Host
    let system: System

    beforeAll(async () => {
      host = await openHost(name)
      system = await startSystem({
        ...host,
        variables: (service) => ({
          ...host.variables(service),
          ...(service === 'auth' ? { AUTH_FIRST_LOOK: 'true' } : {}),
        }),
      })
    }, 240_000)
    afterAll(async () => {
      await system?.destroy()
      await host?.remove()
    }, 120_000)

    test(
      'what is sold and what is left is what there was, and every payment has its order or was given back',
      { timeout: 300_000 + orders * 40 },
      async () => {
        const rush = new Rush(
          {
            shop: system.url('order-orchestration'),
            stock: system.url('stock'),
            order: system.url('shop-order'),
            payment: system.url('shop-payment'),
            auth: system.url('auth'),
          },
          randomFrom(newSeed(`little stock on ${name}`)),
        )
        await rush.prepare(orders)
        const began = performance.now()
        await rush.order(orders)
        const ended = await rush.settle()
        const seconds = (performance.now() - began) / 1_000
        process.stdout.write(
          `little stock on ${name}: ${orders} orders in ${seconds.toFixed(1)} s, ended ${JSON.stringify(ended)}\n`,
        )
        expect(Object.keys(ended).toSorted()).toEqual(['CANCELLED', 'COMPENSATED', 'COMPLETED', 'FAILED'])
        await rush.audit()
      },
    )
  })
}

/** As many as the environment says in `SHOP_ORDERS`, for a longer run. */
export const ordersOr = (usual: number): number => Number(process.env['SHOP_ORDERS'] ?? usual)
