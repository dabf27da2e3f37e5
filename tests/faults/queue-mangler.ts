/**
 * Stands between those who write to a queue of RabbitMQ and those who read it, and hands messages on as a network of many ways
 * would: late, in another order, and some of them twice. What comes in goes out at least once.
 */
import { connect, type ConsumeMessage } from 'amqplib'
import { setTimeout as delay } from 'node:timers/promises'
import type { Random } from './random.ts'

export interface QueueMangler {
  /** Messages that were handed on, copies included. */
  readonly passed: () => number
  /** Those of them that were copies. */
  readonly copies: () => number
  /** Messages that were handed on before one that came earlier. */
  readonly overtakes: () => number
  /** Nothing is in its hands. */
  readonly idle: () => boolean
  /** Deletes its queues, too. */
  stop(): Promise<void>
}

export interface Manners {
  /** How late a message is at most, in milliseconds. */
  readonly lateMs: number
  /** The share of those that are later still. */
  readonly stragglers: number
  readonly stragglingMs: number
  /** The share of those that come again, as late as stragglers. */
  readonly copied: number
}

/** @param routes from the queue that is written to, to the one that is read */
export async function startQueueMangler(
  url: string,
  routes: ReadonlyMap<string, string>,
  random: Random,
  manners: Manners,
): Promise<QueueMangler> {
  const model = await connect(url)
  const [reading, writing] = await Promise.all([model.createChannel(), model.createConfirmChannel()])
  const queues = [...routes].flat()
  for (const queue of queues) await reading.assertQueue(queue)
  const inHand = new Set<Promise<void>>()
  let [passed, copies, overtakes, came] = [0, 0, 0, 0]
  const newest = new Map<string, number>()

  const send = (to: string, { content, properties }: ConsumeMessage): Promise<void> =>
    new Promise((resolve, reject) => {
      writing.sendToQueue(to, content, { ...properties, persistent: true }, (error: unknown) =>
        error == null ? resolve() : reject(new Error('RabbitMQ did not take a message', { cause: error })),
      )
    })
  const later = (share: number): number =>
    random.next() < share ? random.between(0, manners.stragglingMs) : random.between(0, manners.lateMs)

  async function pass(to: string, message: ConsumeMessage): Promise<void> {
    const place = (came += 1)
    const copy = random.next() < manners.copied ? random.between(0, manners.stragglingMs) : null
    const copying = copy === null ? null : delay(copy).then(() => send(to, message))
    await delay(later(manners.stragglers))
    const before = newest.get(to) ?? 0
    if (before > place) overtakes += 1
    else newest.set(to, place)
    await send(to, message)
    passed += 1
    if (copying !== null) {
      await copying
      passed += 1
      copies += 1
    }
    reading.ack(message)
  }

  for (const [from, to] of routes)
    await reading.consume(from, (message) => {
      if (message === null) return
      const passing = pass(to, message).finally(() => inHand.delete(passing))
      inHand.add(passing)
    })
  return {
    passed: () => passed,
    copies: () => copies,
    overtakes: () => overtakes,
    idle: () => inHand.size === 0,
    async stop() {
      await Promise.all(inHand)
      for (const queue of queues) for (const name of [queue, `${queue}.dead`]) await reading.deleteQueue(name)
      await model.close()
    },
  }
}
