/**
 * Hands messages to the subscribers inside this process. Transports that end in this process without a broker of their own
 * (in-process, HTTP) are this with a way to get messages here; those on a broker have one channel and one group each.
 *
 * Invariants beyond those of a group (`group.ts`):
 * - each group of a channel gets every message, whenever it comes: the newest ones are kept for those that come later.
 */
import { ChannelLog } from './channel-log.ts'
import { Group, type GroupOptions, type Settled, type Tries } from './group.ts'
import type { BatchHandler, Message, Subscription } from './transport.ts'
import type { UnreadChannels } from './unread-channels.ts'

export interface DeliveryOptions extends GroupOptions {
  /** Of each channel, so many of the newest messages are kept for groups that come later; 0 where a broker keeps them. */
  readonly historyPerChannel: number
  /** Hears of channels that nobody reads; absent where all are read. */
  readonly unread?: UnreadChannels
}

export interface Delivery {
  /**
   * Queues messages for every group of a channel, and keeps them for those that come later.
   *
   * @throws QueueFullError where a group with members has no room; then nothing is queued or kept
   */
  offer(channel: string, messages: readonly Message[]): void
  /**
   * Queues a message that somebody waits for: for the groups that are read now, which then decide what becomes of it. One
   * that is handed over `once` does not wait for the end of an outage that it meets, nor for a reader to come. Taken by
   * one of these groups, it waits for the others too, and for those that come later.
   *
   * @param settled called once per group that is read, never before this returns: with null when it is handled there,
   *   else with why not
   * @returns how many of these there are
   * @throws QueueFullError as `offer`
   */
  offerOne(channel: string, message: Message, tries: Tries, settled: Settled): number
  subscribe(channel: string, group: string, handler: BatchHandler): Subscription
  /** Waits for the batches in hand; what else waits is given up. */
  close(): Promise<void>
}

interface Channel {
  readonly log: ChannelLog
  readonly groups: Map<string, Group>
}

export function delivery(options: DeliveryOptions): Delivery {
  const channels = new Map<string, Channel>()

  function channelOf(name: string): Channel {
    const known = channels.get(name)
    if (known !== undefined) return known
    const made = { log: new ChannelLog(options.historyPerChannel), groups: new Map<string, Group>() }
    channels.set(name, made)
    return made
  }

  return {
    offer(channel, messages) {
      const { log, groups } = channelOf(channel)
      for (const group of groups.values()) group.checkRoom(messages.length)
      const room = groups.size === 0 ? options.maxQueued : undefined
      for (const message of messages) log.add(message, room)
      for (const group of groups.values()) group.add(messages, options.retry.tries, undefined)
      if (groups.size === 0 && messages.length > 0) options.unread?.published(channel)
    },
    offerOne(channel, message, tries, settled) {
      const { log, groups } = channelOf(channel)
      const read = [...groups.values()].filter((group) => group.read)
      if (read.length === 0) return 0
      for (const group of read) group.checkRoom(1)
      const isNew = log.addOnce(message)
      for (const group of groups.values()) {
        if (group.read) group.add([message], tries, settled)
        else if (isNew) group.add([message], options.retry.tries, undefined)
      }
      return read.length
    },
    subscribe(channel, name, handler) {
      const { log, groups } = channelOf(channel)
      options.unread?.read(channel)
      const known = groups.get(name)
      if (known !== undefined) return known.join(handler)
      const group = new Group(channel, name, options)
      groups.set(name, group)
      const subscription = group.join(handler)
      group.add(log.all(), options.retry.tries, undefined)
      return subscription
    },
    async close() {
      options.unread?.close()
      const groups = [...channels.values()].flatMap((channel) => [...channel.groups.values()])
      await Promise.all(groups.map((group) => group.close()))
    },
  }
}
