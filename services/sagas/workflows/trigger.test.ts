/** The triggers where Temporal is away: one wait of some seconds for a request, whatever it would have asked Temporal for. */
import { createServer, type AddressInfo } from 'node:net'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { call } from '../../shared/testing/call.ts'
import { openAcceptOrderTrigger } from '../accept-order-workflow/trigger.ts'
import { openCompleteOrderTrigger } from '../complete-order-workflow/trigger.ts'

/** The order is not looked at first: the workflow would. */
const orders = (): Promise<never> => Promise.reject(new Error('no Order Service here'))

/** What takes connections, and never says anything. */
async function silent() {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => void server.close() }
}

const nobody = { address: '127.0.0.1:1', close: () => undefined }

const patienceMs = 5_000

test.concurrent.for([
  ['Complete Order', 'nobody is', openCompleteOrderTrigger, '/triggerCompleteOrderWorkflow'],
  ['Complete Order', 'somebody is silent', openCompleteOrderTrigger, '/triggerCompleteOrderWorkflow'],
  ['Accept Order', 'nobody is', openAcceptOrderTrigger, '/acceptOrder'],
  ['Accept Order', 'somebody is silent', openAcceptOrderTrigger, '/acceptOrder'],
] as const)(
  '%s, where %s at the address: one wait, and what to do',
  async ([, who, open, path], { onTestFinished }) => {
    const temporal = who === 'nobody is' ? nobody : await silent()
    onTestFinished(() => temporal.close())
    const at = { host: '127.0.0.1', port: 0, log: pino({ level: 'silent' }) }
    const trigger = await open({ ...at, temporal: { address: temporal.address, namespace: 'default' }, orders })
    onTestFinished(() => trigger.close())
    const since = performance.now()
    const { status, headers, body } = await call('POST', `${trigger.url}${path}`, {
      json: { order_id: 'order_1', runner_id: 'runner_1' },
    })
    const tookMs = performance.now() - since
    expect([status, headers.get('retry-after'), body]).toEqual([
      500,
      '2',
      { error: expect.stringMatching(/Temporal does not answer now\. Send the request again in a moment/) as unknown },
    ])
    // Two waits would be twice as long.
    expect(tookMs).toBeLessThan(1.95 * patienceMs)
  },
)
