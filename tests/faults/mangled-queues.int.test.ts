/** Orders from stock over a RabbitMQ whose queues deliver late, out of order and twice: commands as well as answers. */
import { randomUUID } from 'node:crypto'
import type { Transport } from 'ordersaga/transport'
import { rabbitmqTransport } from 'ordersaga/transports/rabbitmq'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { orderOrchestrationChannels, withoutTransaction } from '../../services/shared/order-orchestration.ts'
import { startShop, type WholeShop } from '../../services/shared/testing/shop.ts'
import { rabbitmqUrl, suiteOn } from '../kit/parts.ts'
import { startQueueMangler, type QueueMangler } from './queue-mangler.ts'
import { newSeed, randomFrom, type Random } from './random.ts'
import { Rush } from './rush.ts'

const orders = 400
/** Shorter than stragglers and copies take: what is asked again meets what was asked before. */
const attemptMs = 2_000
const manners = { lateMs: 150, stragglers: 0.03, stragglingMs: 5_000, copied: 0.1 }

const channels = Object.values(orderOrchestrationChannels)

suiteOn('RabbitMQ', await rabbitmqUrl(), 'orders over queues that are mangled', (rabbit) => {
  let random: Random
  let mangler: QueueMangler
  let shop: WholeShop
  /** Messages that a handler has taken. */
  let handled = 0

  beforeAll(async () => {
    random = randomFrom(newSeed('mangled queues'))
    const prefix = `test-${randomUUID().slice(0, 8)}`
    const written = (channel: string): string => `${prefix}.${channel}.written`
    const read = (channel: string): string => `${prefix}.${channel}.read`
    const routes = new Map(channels.map((channel) => [written(channel), read(channel)]))
    mangler = await startQueueMangler(rabbit, routes, random, manners)
    const onQueues = (name: (channel: string) => string): Transport =>
      rabbitmqTransport({
        url: rabbit,
        queues: Object.fromEntries(channels.map((channel) => [channel, name(channel)])),
        uncorrelated: withoutTransaction,
        onProblem: () => undefined,
      })
    shop = await startShop({ transport: between(onQueues(written), onQueues(read)), attemptMs })
  }, 120_000)
  afterAll(async () => {
    await shop?.close()
    await mangler?.stop()
  }, 120_000)

  /** Writes to one, and reads from the other. */
  function between(writing: Transport, reading: Transport): Transport {
    return {
      publish: (channel, messages) => writing.publish(channel, messages),
      subscribe: (channel, group, handler) =>
        reading.subscribe(channel, group, async (batch) => {
          const failed = await handler(batch)
          handled += batch.length - (failed ?? []).length
          return failed
        }),
      ready: async () => (await writing.ready()) && (await reading.ready()),
      async close() {
        await reading.close()
        await writing.close()
      },
    }
  }

  test(
    'what is sold and what is left is what there was, and every payment has its order or was given back',
    { timeout: 400_000 },
    async () => {
      const rush = new Rush(shop.urls, random)
      await rush.prepare(orders)
      await rush.order(orders)
      await rush.settle()
      // What comes late comes now, and may still move something.
      await expect
        .poll(() => mangler.idle() && handled >= mangler.passed(), { timeout: 120_000, interval: 100 })
        .toBe(true)
      const ended = await rush.settle()
      const [passed, copies, overtakes] = [mangler.passed(), mangler.copies(), mangler.overtakes()]
      process.stdout.write(
        `mangled queues: ${passed} messages, ${copies} of them copies, ${overtakes} out of order; ended ${JSON.stringify(ended)}\n`,
      )
      expect(copies).toBeGreaterThan(orders / 10)
      expect(overtakes).toBeGreaterThan(orders)
      expect(Object.keys(ended)).toEqual(expect.arrayContaining(['CANCELLED', 'COMPENSATED', 'COMPLETED', 'FAILED']))
      await rush.audit()
    },
  )
})
