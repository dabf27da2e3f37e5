/**
 * What is declared on the broker, and under which names. Everything is durable, and declared by whoever needs it first.
 *
 * A channel is a fanout exchange of its name; a group reads it from a queue `<channel>.<group>` of its own. What is published
 * before any group exists goes, by an alternate exchange, to the queue `<channel>.unrouted`, which every group also reads.
 * One consumer at a time is active on a queue, the others stand by: so the order holds, and no saga is with two of them.
 * What cannot be handled goes to `<queue>.dead`. (Of `<queue>.last-try.<message>`, `last-try.ts` tells.)
 *
 * A channel of `queues` is instead one plain queue behind the default exchange, declared as foreign services declare it
 * (a declaration with other arguments would be refused, ours or theirs). There a consumer is alone by being exclusive.
 */
import type { Channel, ChannelModel, ConfirmChannel } from 'amqplib'

export interface TopologyOptions {
  readonly queueType: 'quorum' | 'classic'
  readonly prefix: string
  readonly queues: Readonly<Record<string, string>>
}

/** Where the messages of a channel are published. */
export interface Target {
  readonly name: string
  readonly exchange: string
  readonly routingKey: string
  declare(model: ChannelModel): Promise<void>
}

/** Where a group reads. */
export interface Source {
  readonly channel: string
  readonly group: string
  readonly queue: string
  /** The queue of what came before any group did; null where there is none. */
  readonly early: string | null
  readonly exclusive: boolean
  declare(model: ChannelModel): Promise<void>
}

export interface Topology {
  target(channel: string): Target
  source(channel: string, group: string): Source
  /** The dead letters of a queue. */
  dead(queue: string): Target
}

export const deadQueue = (queue: string): string => `${queue}.dead`

/**
 * As good as none. The broker counts a return for every message that a lost consumer had been given, not only for the one
 * that killed it: by its limit (20 in RabbitMQ 4 where none is set) innocent neighbours would die too. The reader judges.
 */
const deliveryLimit = 1_000_000

export function topology({ queueType, prefix, queues }: TopologyOptions): Topology {
  const own = { 'x-queue-type': queueType, ...(queueType === 'quorum' ? { 'x-delivery-limit': deliveryLimit } : {}) }

  const assertDead = (channel: Channel, queue: string) => channel.assertQueue(deadQueue(queue), { arguments: own })

  async function assertOwn(channel: Channel, queue: string): Promise<void> {
    await assertDead(channel, queue)
    await channel.assertQueue(queue, {
      arguments: { ...own, 'x-single-active-consumer': true },
      deadLetterExchange: '',
      deadLetterRoutingKey: deadQueue(queue),
    })
  }

  async function assertExchange(channel: Channel, name: string): Promise<void> {
    const unrouted = unroutedOf(name)
    await assertOwn(channel, unrouted)
    await channel.assertExchange(unrouted, 'fanout')
    await channel.bindQueue(unrouted, unrouted, '')
    await channel.assertExchange(name, 'fanout', { alternateExchange: unrouted })
  }

  function plainSource(channel: string, group: string, queue: string): Source {
    const declare = async (model: ChannelModel): Promise<void> => {
      await declarePlain(model, queue)
      await onChannel(model, (each) => assertDead(each, queue))
    }
    return { channel, group, queue, early: null, exclusive: true, declare }
  }

  return {
    target(channel) {
      const [plain, exchange] = [queues[channel], prefix + channel]
      if (plain !== undefined) {
        return { name: channel, exchange: '', routingKey: plain, declare: (model) => declarePlain(model, plain) }
      }
      const declare = (model: ChannelModel) => onChannel(model, (each) => assertExchange(each, exchange))
      return { name: channel, exchange, routingKey: '', declare }
    },
    source(channel, group) {
      const [plain, exchange] = [queues[channel], prefix + channel]
      if (plain !== undefined) return plainSource(channel, group, plain)
      const queue = `${exchange}.${group}`
      const declare = (model: ChannelModel) =>
        onChannel(model, async (each) => {
          await assertExchange(each, exchange)
          await assertOwn(each, queue)
          await each.bindQueue(queue, exchange, '')
        })
      return { channel, group, queue, early: unroutedOf(exchange), exclusive: false, declare }
    },
    dead(queue) {
      const declare = async (model: ChannelModel) => void (await onChannel(model, (each) => assertDead(each, queue)))
      return { name: deadQueue(queue), exchange: '', routingKey: deadQueue(queue), declare }
    },
  }
}

const unroutedOf = (exchange: string): string => `${exchange}.unrouted`

/** Takes the queue as it is where it is; else makes it in the plainest way, which any service's own declaration fits. */
async function declarePlain(model: ChannelModel, queue: string): Promise<void> {
  if (!(await isThere(model, queue))) await onChannel(model, (channel) => channel.assertQueue(queue))
}

export async function isThere(model: ChannelModel, queue: string): Promise<boolean> {
  try {
    await onChannel(model, (channel) => channel.checkQueue(queue))
    return true
  } catch (error) {
    if (codeOf(error) !== notFound) throw error
    return false
  }
}

const notFound = 404
const accessRefused = 403

/** Another consumer has the queue for itself. (A missing permission has the same code.) */
export const isTaken = (error: unknown): boolean =>
  codeOf(error) === accessRefused && String(error).includes('exclusive use')

const codeOf = (error: unknown): unknown => (error as { readonly code?: unknown } | null)?.code

/** A refused declaration closes its channel: each gets one of its own, so that nothing else is lost with it. */
export async function onChannel<T>(model: ChannelModel, work: (channel: Channel) => Promise<T>): Promise<T> {
  const channel = await openChannel(model)
  const result = await work(channel)
  await channel.close()
  return result
}

export async function openChannel(model: ChannelModel): Promise<Channel> {
  return withoutThrow(await model.createChannel())
}

export async function openConfirmChannel(model: ChannelModel): Promise<ConfirmChannel> {
  return withoutThrow(await model.createConfirmChannel())
}

/** An error of a channel is told to whoever waits on it, and closes it; unheard, the event would end the process. */
function withoutThrow<C extends Channel>(channel: C): C {
  channel.on('error', () => undefined)
  return channel
}
