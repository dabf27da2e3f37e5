/**
 * What is declared on the broker, and under which names. Everything is durable, and declared by whoever needs it first.
 *
 * A channel is a fanout exchange of its name; a group reads it from a queue `<channel>.<group>` of its own. The exchange also
 * feeds a stream `<channel>.history`, which keeps the newest of what was published for groups that come later: one that
 * subscribes for the first time reads that first, and is marked by a queue `<channel>.<group>.behind` until it has
 * (`catch-up.ts`). Streams need RabbitMQ 3.9. They trust the copies on other nodes and do not wait for the disk: a single
 * server that loses power may forget the last moments of the history, but nothing that a group's own queue has.
 * One consumer at a time is active on a queue, the others stand by: so the order holds, and no saga is with two of them.
 * What cannot be handled goes to `<queue>.dead`. (Of `<queue>.last-try.<message>`, `last-try.ts` tells.)
 *
 * Earlier releases kept what no group read in a queue `<channel>.unrouted`, behind an alternate exchange: that is left as it
 * is, and what the queue still holds is read.
 *
 * A channel of `queues` is instead one plain queue behind the default exchange, declared as foreign services declare it
 * (a declaration with other arguments would be refused, ours or theirs). There a consumer is alone by being exclusive.
 */
import type { Channel, ChannelModel, ConfirmChannel } from 'amqplib'

export interface TopologyOptions {
  readonly queueType: 'quorum' | 'classic'
  readonly prefix: string
  readonly queues: Readonly<Record<string, string>>
  /** How much of each channel's history is kept. */
  readonly historyBytes: number
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
  /** What was published before the group existed; null where nothing keeps that. */
  readonly history: History | null
  readonly exclusive: boolean
  declare(model: ChannelModel): Promise<void>
}

export interface History {
  readonly stream: string
  /** The queue whose being there says that the group has not read the history. */
  readonly behind: string
  /** The queue in which earlier releases kept what no group read. */
  readonly unrouted: string
  /** Publishes to the stream alone. */
  readonly target: Target
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

/** Old history goes by the segment: the smaller they are, the less is kept beyond the limit. */
const segments = 16

export function topology({ queueType, prefix, queues, historyBytes }: TopologyOptions): Topology {
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

  /** A stream that is there is taken as it is: its limits may be others. */
  async function declareStream(model: ChannelModel, stream: string): Promise<void> {
    if (await isThere(model, stream)) return
    const limits = {
      'x-max-length-bytes': historyBytes,
      'x-stream-max-segment-size-bytes': Math.ceil(historyBytes / segments),
    }
    await onChannel(model, (each) => each.assertQueue(stream, { arguments: { 'x-queue-type': 'stream', ...limits } }))
  }

  async function declareChannel(model: ChannelModel, exchange: string): Promise<void> {
    const stream = historyOf(exchange)
    await declareStream(model, stream)
    await declareExchange(model, exchange)
    await onChannel(model, (each) => each.bindQueue(stream, exchange, ''))
  }

  /** The mark comes first: whatever fails after it, the history is read. */
  async function declareGroup(model: ChannelModel, exchange: string, queue: string): Promise<void> {
    await declareChannel(model, exchange)
    if (!(await isThere(model, queue))) await onChannel(model, (each) => each.assertQueue(behindOf(queue)))
    await onChannel(model, async (each) => {
      await assertOwn(each, queue)
      await each.bindQueue(queue, exchange, '')
    })
  }

  function plainSource(channel: string, group: string, queue: string): Source {
    const declare = async (model: ChannelModel): Promise<void> => {
      await declarePlain(model, queue)
      await onChannel(model, (each) => assertDead(each, queue))
    }
    return { channel, group, queue, history: null, exclusive: true, declare }
  }

  return {
    target(channel) {
      const [plain, exchange] = [queues[channel], prefix + channel]
      if (plain !== undefined) {
        return { name: channel, exchange: '', routingKey: plain, declare: (model) => declarePlain(model, plain) }
      }
      const declare = (model: ChannelModel) => declareChannel(model, exchange)
      return { name: channel, exchange, routingKey: '', declare }
    },
    source(channel, group) {
      const [plain, exchange] = [queues[channel], prefix + channel]
      if (plain !== undefined) return plainSource(channel, group, plain)
      const queue = `${exchange}.${group}`
      const stream = historyOf(exchange)
      const history = {
        stream,
        behind: behindOf(queue),
        unrouted: `${exchange}.unrouted`,
        target: { name: stream, exchange: '', routingKey: stream, declare: async () => undefined },
      }
      const declare = (model: ChannelModel) => declareGroup(model, exchange, queue)
      return { channel, group, queue, history, exclusive: false, declare }
    },
    dead(queue) {
      const declare = async (model: ChannelModel) => void (await onChannel(model, (each) => assertDead(each, queue)))
      return { name: deadQueue(queue), exchange: '', routingKey: deadQueue(queue), declare }
    },
  }
}

const historyOf = (exchange: string): string => `${exchange}.history`

const behindOf = (queue: string): string => `${queue}.behind`

/** One of an earlier release, with an alternate exchange, is as good: nothing goes there any more. */
async function declareExchange(model: ChannelModel, name: string): Promise<void> {
  try {
    await onChannel(model, (each) => each.assertExchange(name, 'fanout'))
  } catch (error) {
    if (codeOf(error) !== preconditionFailed || !String(error).includes('alternate-exchange')) throw error
  }
}

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
const preconditionFailed = 406

/** Another consumer has the queue for itself. (A missing permission has the same code.) */
export const isTaken = (error: unknown): boolean =>
  codeOf(error) === accessRefused && String(error).includes('exclusive use')

const codeOf = (error: unknown): unknown => (error as { readonly code?: unknown } | null)?.code

/** A refused declaration closes its channel: each gets one of its own, so that nothing else is lost with it. */
export async function onChannel<T>(model: ChannelModel, work: (channel: Channel) => Promise<T>): Promise<T> {
  const channel = await openChannel(model)
  try {
    const result = await work(channel)
    await channel.close()
    return result
  } catch (error) {
    await closeAfterFailure(channel)
    throw error
  }
}

async function closeAfterFailure(channel: Channel): Promise<void> {
  try {
    await channel.close()
  } catch {
    // What failed has closed it.
  }
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
