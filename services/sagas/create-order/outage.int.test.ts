/** PostgreSQL is killed and comes back: no request hangs for ever, none is answered 500, and no order is made twice. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { installedPart, startPrivatePart, type PrivatePart } from '../../../tests/kit/private-part.ts'
import { suiteOn } from '../../../tests/kit/parts.ts'
import { call } from '../../shared/testing/call.ts'
import { startEmbedded, type Embedded } from '../../shared/testing/embedded.ts'
import { burger, shopOf, type Shop } from './shop.testkit.ts'

suiteOn('PostgreSQL', await installedPart('postgresql'), 'the services over a PostgreSQL that is killed', () => {
  let postgres: PrivatePart
  let system: Embedded
  let shop: Shop

  beforeAll(async () => {
    postgres = await startPrivatePart('postgresql')
    system = await startEmbedded({ postgresUrl: postgres.url })
    shop = shopOf(system)
  }, 240_000)
  afterAll(async () => {
    await system.close()
    await postgres.remove()
  }, 120_000)

  test('reads say 503 at once, an order 503 in the end; under its key it is placed once when the server is back', async () => {
    const { sagas, user, order, payment, timer } = system.urls
    const id = await shop.start('cust_123')
    const { order_id } = await shop.sagaIn('COMPLETED', id)
    const headers = { 'idempotency-key': 'in the dark' }
    await postgres.kill()

    const placed = shop.place('cust_123', burger, headers)
    for (const url of [
      `${sagas}/api/sagas/${id}`,
      `${sagas}/sagas`,
      `${sagas}/sagas/${id}/updates`,
      `${user}/api/user/cust_123`,
      `${order}/getOrderDetails?orderId=${order_id}`,
      `${payment}/payment/${order_id}/status`,
      `${timer}/timers/order/${order_id}`,
      `${sagas}/health`,
      `${user}/health/ready`,
    ]) {
      expect([url, (await call('GET', url)).status]).toEqual([url, 503])
    }
    expect((await call('GET', `${sagas}/health/live`)).status).toBe(200)
    const inTheDark = await placed
    expect([inTheDark.status, inTheDark.body]).toEqual([
      503,
      { success: false, error: expect.stringContaining('whether this takes effect is not known yet') },
    ])

    await postgres.start()
    await expect.poll(async () => (await call('GET', `${sagas}/health`)).status, { timeout: 60_000 }).toBe(200)
    const again = await shop.place('cust_123', burger, headers)
    expect(again.status).toBe(202)
    await shop.sagaIn('COMPLETED', (again.body as { readonly saga_id: string }).saga_id)
    expect(await shop.count()).toBe(2)
    expect(await shop.problems()).toEqual([])
  }, 240_000)
})
