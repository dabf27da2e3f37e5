/** A corner of a RabbitMQ server for one test: names of its own, and an independent client to look and to write there. */
import { connect, type Channel, type ChannelModel, type GetMessage, type Options } from 'amqplib'
import { randomUUID } from 'node:crypto'
import type { Problem } from '../../problem.ts'
import type { DeadLetter, Transport } from '../transport.ts'
import { rabbitmqTransport, type RabbitmqTransportOptions } from './rabbitmq-transport.ts'

export interface Corner {
  /** What its transports have in common. */
  readonly options: RabbitmqTransportOptions
  readonly problems: Problem[]
  /** A transport that is ready, with short pauses between tries, and five tries. */
  open(options?: Partial<RabbitmqTransportOptions>): Promise<Transport>
  /** As `open`, of a server that need not be there. */
  begin(options?: Partial<RabbitmqTransportOptions>): Transport
  /** Declares a queue as a foreign service does: durable, and nothing else said. */
  declare(queue: string): Promise<void>
  /** How many messages a queue has ready. */
  count(queue: string): Promise<number>
  /** Publishes as a foreign service does: straight to a queue. */
  send(queue: string, body: unknown, properties?: Options.Publish): Promise<void>
  /** All that is in a queue now; it stays there. */
  look(queue: string): Promise<readonly GetMessage[]>
  remove(queue: string): Promise<void>
  deadLetters(queue: string): Promise<readonly DeadLetter[]>
  /** Closes the transports and deletes what they declared. */
  dispose(): Promise<void>
}

const shortPauses = { tries: 5, firstMs: 1, factor: 1, maxMs: 1, jitter: 0 }

export function corner(url: string, plain: Readonly<Record<string, string>> = {}): Corner {
  const prefix = `test.${randomUUID().slice(0, 8)}.`
  const queues = Object.fromEntries(Object.entries(plain).map(([channel, queue]) => [channel, prefix + queue]))
  const problems: Problem[] = []
  const transports: Transport[] = []
  const options = { url, prefix, queues, retry: shortPauses }
  const names = { exchanges: new Set<string>(), queues: new Set<string>(Object.values(queues)) }

  const client = async <T>(work: (channel: Channel) => Promise<T>): Promise<T> => {
    const model: ChannelModel = await connect(url)
    model.on('error', () => undefined)
    try {
      const channel = await model.createConfirmChannel()
      channel.on('error', () => undefined)
      const result = await work(channel)
      await channel.waitForConfirms()
      return result
    } finally {
      await model.close().catch(() => undefined)
    }
  }

  const made: Corner = {
    options,
    problems,
    begin(more = {}) {
      const transport = rabbitmqTransport({ ...options, onProblem: (problem) => problems.push(problem), ...more })
      transports.push(transport)
      return {
        ...transport,
        publish(channel, messages) {
          names.exchanges.add(prefix + channel)
          return transport.publish(channel, messages)
        },
        subscribe(channel, group, handler) {
          names.exchanges.add(prefix + channel)
          names.queues.add(`${prefix}${channel}.${group}`)
          return transport.subscribe(channel, group, handler)
        },
      }
    },
    async open(more) {
      const transport = made.begin(more)
      while (!(await transport.ready())) await new Promise((resolve) => setTimeout(resolve, 2))
      return transport
    },
    declare: (queue) => client(async (channel) => void (await channel.assertQueue(prefix + queue, { durable: true }))),
    count: (queue) => client(async (channel) => (await channel.checkQueue(prefix + queue)).messageCount),
    send: (queue, body, properties) =>
      client(async (channel) => {
        const content = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body))
        await channel.checkQueue(prefix + queue)
        channel.sendToQueue(prefix + queue, content, properties)
      }),
    look: (queue) =>
      client(async (channel) => {
        const found: GetMessage[] = []
        for (;;) {
          const next = await channel.get(prefix + queue)
          if (next === false) return found
          found.push(next)
        }
      }),
    remove: (queue) => client(async (channel) => void (await channel.deleteQueue(prefix + queue))),
    async deadLetters(queue) {
      // A group that has not read yet has none.
      const found = await made.look(`${queue}.dead`).catch(() => [])
      return found.map(({ content, properties }) => ({
        channel: String(properties.headers?.['ordersaga-channel']),
        reason: String(properties.headers?.['ordersaga-reason']),
        message: { id: properties.messageId, content: content.toString() } as never,
      }))
    },
    async dispose() {
      await Promise.all(transports.splice(0).map((transport) => transport.close()))
      await client(async (channel) => {
        for (const exchange of names.exchanges) {
          await channel.deleteExchange(exchange)
          await channel.deleteExchange(`${exchange}.unrouted`)
          for (const queue of ['unrouted', 'history']) await channel.deleteQueue(`${exchange}.${queue}`)
        }
        for (const queue of names.queues) {
          await channel.deleteQueue(queue)
          for (const more of ['dead', 'behind']) await channel.deleteQueue(`${queue}.${more}`)
        }
      })
    },
  }
  return made
}
