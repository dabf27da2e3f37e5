/** Order, user and payment services of somebody else: no keys, no waiting; money is moved later, by whoever plays the gateway. */
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface ForeignServices {
  readonly url: string
  readonly order: { status: string; runnerId: string | null }
  readonly payment: { status: string }
  /** Changes that were asked for, in order. */
  readonly asked: readonly string[]
  close(): Promise<void>
}

const moved = /^\/payment\/pay_1\/(release|revert)$/

export async function foreignServices(orderStatus = 'ON_THE_WAY', runnerId = 'runner_1'): Promise<ForeignServices> {
  const order = { status: orderStatus, runnerId }
  const payment = { status: 'AUTHORIZED' }
  const asked: string[] = []

  function answer(method: string, path: string, body: unknown): readonly [status: number, body: object] {
    if (method === 'GET' && path === '/getOrderDetails')
      return [200, { orderId: 'order_1', orderStatus: order.status, runnerId: order.runnerId }]
    if (method === 'GET' && path === '/api/user/runner_1/connect-account')
      return [200, { success: true, stripe_connect_account_id: 'acct_1' }]
    if (method === 'GET' && /^\/payment\/(order_1\/status|pay_1\/details)$/.test(path))
      return [200, { success: true, payment: { paymentId: 'pay_1', status: payment.status } }]
    if (method === 'POST' && path === '/updateOrderStatus') {
      order.status = (body as { readonly status: string }).status
      asked.push(order.status)
      return [200, { message: 'updated', order }]
    }
    const [, what] = (method === 'POST' && moved.exec(path)) || []
    if (what === undefined || typeof body !== 'object' || body === null)
      return [400, { success: false, error: 'BAD_REQUEST', message: 'a JSON body is needed' }]
    asked.push(what)
    return [202, { success: true, message: `The ${what} was queued.`, correlation_id: 'c_1' }]
  }

  const server = createServer((request, response) => {
    void bodyOf(request).then((body) => {
      const { pathname } = new URL(request.url ?? '', 'http://any')
      const [status, said] = answer(request.method ?? '', pathname, body)
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(said))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    order,
    payment,
    asked,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = ''
  for await (const part of request) text += String(part)
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
