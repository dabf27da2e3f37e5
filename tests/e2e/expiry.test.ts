/** A timer that expires while nobody is there to be told. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../kit/until.ts'
import { Client } from '../kit/client.ts'
import { openHost, type Host } from '../kit/hosts.ts'
import { startSystem, type System } from '../kit/system.ts'

const minute = 60_000
/** Within it an order has ended, also on a machine that is slow. */
const timerMs = 25_000
/** By then a message that is only tried for a while has been given up. */
const awayMs = 14_000

let host: Host
let system: System

beforeAll(async () => {
  host = await openHost('SQLite and HTTP')
  const variables: Host['variables'] = (service) => ({
    ...host.variables(service),
    ORDER_TIMER_MINUTES: String(timerMs / minute),
  })
  system = await startSystem({ ...host, variables })
}, 4 * minute)
afterAll(async () => {
  await system?.destroy()
  await host?.remove()
}, minute)

test(
  'a timer that expires while the orchestrator is away cancels its order later',
  { timeout: 3 * minute },
  async () => {
    const client = new Client(system)
    const orderedAt = Date.now()
    const saga = await client.end(await client.order('cust_123'))
    expect(saga).toMatchObject({ status: 'COMPLETED' })
    await system.kill('create-order')
    expect(Date.now() - orderedAt).toBeLessThan(timerMs)
    await until('the expiry is long past', minute, () => Date.now() - orderedAt > timerMs + awayMs)
    await system.start('create-order')
    await until('the order is cancelled', minute, async () => (await client.saga(saga.id)).status === 'CANCELLED')
    expect(await client.paymentOf(saga)).toBe('REVERTED')
    expect(await client.orderOf(saga)).toMatchObject({ orderStatus: 'CANCELLED' })
  },
)
