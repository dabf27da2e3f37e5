/** How the messages of a process move: inside it, by HTTP, or over the broker that the configuration names. */
import type { Transport } from 'ordersaga/transport'
import { httpTransport } from 'ordersaga/transports/http'
import { kafkaTransport } from 'ordersaga/transports/kafka'
import { memoryTransport } from 'ordersaga/transports/memory'
import { rabbitmqTransport } from 'ordersaga/transports/rabbitmq'
import type { Logger } from 'pino'
import { serverUrl, type Config, type ServiceName } from './config.ts'
import type { MessageReceiver } from '../shared/http/messages.ts'
import { logProblems } from '../shared/log/problems.ts'

export interface Connection {
  readonly transport: Transport
  /** Where messages come by HTTP: what takes them in. */
  readonly receiver?: MessageReceiver
}

/** @param name the one service of this process, or `all` */
export function connect(name: ServiceName | 'all', config: Config, log: Logger): Connection {
  const onProblem = logProblems(log)
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
        onProblem,
      }),
    }
  if (name === 'all') return { transport: memoryTransport() }
  const transport = httpTransport({ ...routing(name, config), onProblem })
  return { transport, receiver: transport }
}

function rabbitmqUrl({ RABBITMQ_PORT, RABBITMQ_USER, RABBITMQ_PASSWORD }: Config, host: string): string {
  return serverUrl('amqp', host, RABBITMQ_PORT, { user: RABBITMQ_USER, password: RABBITMQ_PASSWORD }).href
}

function routing(name: ServiceName, config: Config): { readonly peers: Record<string, string>; readonly self: string } {
  const sagas = config.CREATE_ORDER_SAGA_URL
  const participants = {
    user: config.USER_SERVICE_URL,
    order: config.ORDER_SERVICE_URL,
    payment: config.PAYMENT_SERVICE_URL,
    timer: config.SCHEDULER_SERVICE_URL,
  }
  if (name !== 'create-order') {
    const self = participants[name]
    // Its routes for operators command itself.
    const own = name === 'payment' ? { payment_commands: self } : {}
    return { self, peers: { [`${name}_events`]: sagas, ...own } }
  }
  const peers = Object.entries(participants).map(([participant, url]) => [`${participant}_commands`, url] as const)
  return { self: sagas, peers: Object.fromEntries(peers) }
}
