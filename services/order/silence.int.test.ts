import { expect, test } from 'vitest'
import { tcpProxy } from '../../saga/transports/rabbitmq/tcp-proxy.testkit.ts'
import { freshDatabase, postgresUrl, suiteOn } from '../../tests/kit/parts.ts'
import { running } from '../shared/testing/running.ts'
import { createOrder } from './messages.ts'
import { openOrderService } from './service.ts'

const order_details = {
  foodItems: [{ name: 'Burger', price: 12.99, quantity: 1 }],
  deliveryLocation: 'North Campus',
}

suiteOn('PostgreSQL', await postgresUrl(), 'the Order Service on PostgreSQL', () => {
  test('goes on by itself once its connections have gone silent: commands are obeyed, reads are answered', async () => {
    const database = await freshDatabase()
    const proxy = await tcpProxy(database.url)
    const target = { kind: 'postgres', url: proxy.url, limitMs: 1_000 } as const
    const order = await running({ target }, 'order', openOrderService)
    const create = (sagaId: string) =>
      order.ask(createOrder, { customer_id: 'cust_123', order_details }, { id: `create ${sagaId}`, sagaId })
    expect(await create('before')).toMatchObject({ kind: 'done' })

    proxy.freeze()
    expect(await create('after')).toMatchObject({ kind: 'done' })
    await expect
      .poll(() => order.get('/orders'), { timeout: 30_000 })
      .toMatchObject({ status: 200, body: { total: 2 } })

    await order.close()
    await proxy.close()
    await database.drop()
  })
})
