/**
 * A kafkajs client that can be given up: each consumer, producer and admin has one of its own.
 *
 * The client knows no way to call off what it does, and some of its waits are long: so its tries are few (whoever uses it
 * tries again with another one), and `cut` takes its connections away, after which all that it does fails soon. Consumers
 * of one group must not share a client: they would share, and clear, their offsets.
 */
import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { OnProblem, Problem } from '../../problem.ts'
import type { ISocketFactoryArgs, Kafka, KafkaConfig, LogEntry } from 'kafkajs'
import { kafkajs } from './driver.ts'

export interface ClientOptions {
  readonly brokers: readonly string[]
  readonly clientId: string
  readonly ssl?: KafkaConfig['ssl']
  readonly sasl?: KafkaConfig['sasl']
  readonly report: OnProblem
}

export interface Client {
  readonly kafka: Kafka
  /** Ends its connections at once; it gets no more. */
  cut(): void
}

export function openClient({ brokers, clientId, ssl, sasl, report }: ClientOptions): Client {
  const sockets = new Set<Socket>()
  let gone = false
  const kafka = new kafkajs.Kafka({
    brokers: [...brokers],
    clientId,
    ...(ssl === undefined ? {} : { ssl }),
    ...(sasl === undefined ? {} : { sasl }),
    connectionTimeout: 3_000,
    requestTimeout: 10_000,
    retry: { initialRetryTime: 100, maxRetryTime: 2_000, multiplier: 1.5, retries: 5 },
    logLevel: kafkajs.logLevel.ERROR,
    logCreator: () => (entry) => {
      if (!gone && !isRoutine(entry)) report(problemOf(entry))
    },
    socketFactory(where) {
      if (gone) throw new Error('this client was given up')
      const socket = open(where)
      sockets.add(socket)
      return socket.on('close', () => sockets.delete(socket))
    },
  })
  return {
    kafka,
    cut() {
      gone = true
      // With an error, which is what the client looks out for.
      for (const socket of sockets) socket.destroy(new Error('this client was given up'))
    },
  }
}

/** Sends at once what there is, without waiting for more: an acknowledgement comes a quarter sooner. */
function open({ host, port, ssl, onConnect }: ISocketFactoryArgs): Socket {
  const tls = Object.keys(ssl ?? {}).length > 0
  const socket = tls
    ? connectTls({ host, port, ...(isIP(host) === 0 ? { servername: host } : {}), ...ssl }, onConnect)
    : connect({ host, port }, onConnect)
  return socket.setKeepAlive(true, 60_000).setNoDelay(true)
}

/**
 * What a broker refuses is tried again, or thrown to whoever asked, who tells it; most of it is how partitions, members
 * and leaders change.
 */
const isRoutine = ({ log: { message } }: LogEntry): boolean =>
  /^(Response |Failed to send messages|Crash: |The coordinator is not aware of this member)/.test(message)

function problemOf({ namespace, log: { message, ...more } }: LogEntry): Problem {
  const cause: unknown = more['error'] ?? more['broker']
  return { what: `The Kafka client (${namespace}): ${message}`, needsPerson: false, cause }
}
