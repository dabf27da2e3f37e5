/** How the messages of a process move: inside it, by HTTP, or over the broker that the configuration names. */
import type { Transport } from 'ordersaga/transport'
import { httpTransport, type HttpPeer, type HttpPeers } from 'ordersaga/transports/http'
import { kafkaTransport } from 'ordersaga/transports/kafka'
import { memoryTransport } from 'ordersaga/transports/memory'
import { rabbitmqTransport } from 'ordersaga/transports/rabbitmq'
import type { Logger } from 'pino'
import { serverUrl, type Config } from './config.ts'
import { isPeerName, peers, serviceNamed, serviceNames, type PeerName, type ServiceName } from './registry.ts'
import { HttpError } from '../shared/http/http-error.ts'
import type { MessageReceiver } from '../shared/http/messages.ts'
import { logProblems } from '../shared/log/problems.ts'
import { orderOrchestrationChannels, withoutTransaction } from '../shared/order-orchestration.ts'
import { secretIn, senderOf, tokenOf } from './service-token.ts'

export interface Connection {
  readonly transport: Transport
  /** Where messages come by HTTP: what takes them in. */
  readonly receiver?: MessageReceiver
}

/** Plain queues, as foreign services of the Order Orchestration declare them, so that one may stand where ours does. */
const foreignQueues: Readonly<Record<string, string>> = Object.fromEntries(
  Object.values(orderOrchestrationChannels).map((queue) => [queue, queue]),
)

/** By HTTP: where those commands are answered. */
const { replies, ...commands } = orderOrchestrationChannels
const orchestrationReplies: Readonly<Record<string, string>> = Object.fromEntries(
  Object.values(commands).map((channel) => [channel, replies]),
)

/** @param name the one service of this process, or `all` */
export function connect(name: ServiceName | 'all', config: Config, log: Logger): Connection {
  const onProblem = logProblems(log)
  // One that has nobody to speak to needs no broker.
  if (name !== 'all' && (!isPeerName(name) || isSilent(name))) return { transport: memoryTransport({ onProblem }) }
  if (config.KAFKA_BOOTSTRAP_SERVERS !== undefined)
    return {
      transport: kafkaTransport({
        brokers: config.KAFKA_BOOTSTRAP_SERVERS.split(','),
        clientId: `ordersaga-${name}`,
        onProblem,
      }),
    }
  if (config.RABBITMQ_HOST !== undefined)
    return {
      transport: rabbitmqTransport({
        url: rabbitmqUrl(config, config.RABBITMQ_HOST),
        queueType: config.RABBITMQ_QUEUE_TYPE,
        queues: foreignQueues,
        uncorrelated: withoutTransaction,
        onProblem,
      }),
    }
  if (name === 'all') return { transport: memoryTransport({ onProblem }) }
  const secret = config.SERVICE_TOKEN ?? secretIn(config.ORDERSAGA_DIR)
  const transport = httpTransport({ ...routing(name, config, secret), replies: orchestrationReplies, onProblem })
  return { transport, receiver: { admit: admission(secret), receive: (request) => transport.receive(request) } }
}

const isSilent = (name: PeerName): boolean => {
  const { reads, publishes } = serviceNamed(name)
  return reads.length + publishes.length === 0
}

/** Lets a service write to the channels on which the registry lets it speak, and nobody else to any. */
function admission(secret: string): MessageReceiver['admit'] {
  return (channel, { authorization }) => {
    const sender = senderOf(authorization, secret, serviceNames)
    if (sender === null)
      throw new HttpError(
        401,
        'messages are taken from our own services only: give all of them the same SERVICE_TOKEN, or the same ORDERSAGA_DIR',
      )
    if (!serviceNamed(sender).publishes.includes(channel))
      throw new HttpError(
        403,
        `${sender} may not write to ${channel.slice(0, 100)}: send with the token of one who does`,
      )
  }
}

function rabbitmqUrl({ RABBITMQ_PORT, RABBITMQ_USER, RABBITMQ_PASSWORD }: Config, host: string): string {
  return serverUrl('amqp', host, RABBITMQ_PORT, { user: RABBITMQ_USER, password: RABBITMQ_PASSWORD }).href
}

/** Where the service is itself, and who reads what it publishes. */
function routing(
  name: PeerName,
  { urls }: Config,
  secret: string,
): { readonly peers: HttpPeers; readonly self: string } {
  const readersOf: Record<string, HttpPeer[]> = {}
  const headers = { authorization: `Bearer ${tokenOf(name, secret)}` }
  for (const channel of serviceNamed(name).publishes) {
    const readers = peers.filter(({ reads }) => reads.includes(channel))
    if (readers.length === 0) continue // nobody here wants to know
    readersOf[channel] = readers.map((reader) => ({
      url: `${urls[reader.name].replace(/\/+$/, '')}/messages/${channel}`,
      headers,
    }))
  }
  return { self: urls[name], peers: readersOf }
}
