/** How the messages of a process move: inside it, by HTTP, or over the broker that the configuration names. */
import type { Transport } from 'ordersaga/transport'
import { httpTransport } from 'ordersaga/transports/http'
import { kafkaTransport } from 'ordersaga/transports/kafka'
import { memoryTransport } from 'ordersaga/transports/memory'
import { rabbitmqTransport } from 'ordersaga/transports/rabbitmq'
import type { Logger } from 'pino'
import type { Config, ServiceName } from './config.ts'
import type { MessageReceiver } from './http/messages.ts'

export interface Connection {
  readonly transport: Transport
  /** Where messages come by HTTP: what takes them in. */
  readonly receiver?: MessageReceiver
}

/** @param name the one service of this process, or `all` */
export function connect(name: ServiceName | 'all', config: Config, log: Logger): Connection {
  const onProblem = (problem: unknown): void => log.warn({ problem }, 'messages could not be moved')
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
      transport: rabbitmqTransport({ url: rabbitmqUrl(config), queueType: config.RABBITMQ_QUEUE_TYPE, onProblem }),
    }
  if (name === 'all') return { transport: memoryTransport() }
  const transport = httpTransport({ ...routing(name, config), onProblem })
  return { transport, receiver: transport }
}

function rabbitmqUrl(config: Config): string {
  const url = new URL('amqp://localhost')
  url.hostname = config.RABBITMQ_HOST ?? ''
  url.port = String(config.RABBITMQ_PORT)
  url.username = encodeURIComponent(config.RABBITMQ_USER)
  url.password = encodeURIComponent(config.RABBITMQ_PASSWORD)
  return url.href
}

function routing(name: ServiceName, config: Config): { readonly peers: Record<string, string>; readonly self: string } {
  const sagas = config.CREATE_ORDER_SAGA_URL
  const participants = {
    user: config.USER_SERVICE_URL,
    order: config.ORDER_SERVICE_URL,
    payment: config.PAYMENT_SERVICE_URL,
    timer: config.SCHEDULER_SERVICE_URL,
  }
  if (name !== 'create-order') return { self: participants[name], peers: { [`${name}_events`]: sagas } }
  const peers = Object.entries(participants).map(([participant, url]) => [`${participant}_commands`, url] as const)
  return { self: sagas, peers: Object.fromEntries(peers) }
}
