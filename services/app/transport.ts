/** How the messages of a process move: inside it, by HTTP, or over the broker that the configuration names. */
import type { Transport } from 'ordersaga/transport'
import { httpTransport } from 'ordersaga/transports/http'
import { kafkaTransport } from 'ordersaga/transports/kafka'
import { memoryTransport } from 'ordersaga/transports/memory'
import { rabbitmqTransport } from 'ordersaga/transports/rabbitmq'
import type { Logger } from 'pino'
import { ConfigError, serverUrl, type Config } from './config.ts'
import { serviceNamed, services, type ServiceName } from './registry.ts'
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

/** Where the service is itself, and who reads what it publishes. */
function routing(
  name: ServiceName,
  { urls }: Config,
): { readonly peers: Record<string, string>; readonly self: string } {
  const peers: Record<string, string> = {}
  for (const channel of serviceNamed(name).publishes) {
    const [reader, other] = services.filter(({ reads }) => reads.includes(channel))
    if (reader === undefined) continue // nobody here wants to know
    if (other !== undefined)
      throw new ConfigError(
        `${channel} is read by ${reader.name} and ${other.name}, and by HTTP a channel has one reader: set KAFKA_BOOTSTRAP_SERVERS or RABBITMQ_HOST, or run all in one process.`,
      )
    peers[channel] = urls[reader.name]
  }
  return { self: urls[name], peers }
}
