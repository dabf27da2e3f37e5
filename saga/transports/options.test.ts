import { describe, expect, test } from 'vitest'
import { httpTransport } from './http/http-transport.ts'
import { kafkaTransport } from './kafka/kafka-transport.ts'
import { memoryTransport } from './memory/memory-transport.ts'
import { readOptions } from './options.ts'
import { rabbitmqTransport } from './rabbitmq/rabbitmq-transport.ts'

const defaults = { prefetch: 500, retry: { tries: 5, firstMs: 100, factor: 4, maxMs: 10_000, jitter: 0 } }

interface Options {
  readonly prefetch?: number
  readonly retry?: object
  readonly name?: string
}

const read = (given: Options) =>
  readOptions('someTransport', given, defaults, { prefetch: 'count', retry: 'retry', name: 'text' })

describe('options', () => {
  test('that are not given, or given as undefined, have their defaults', () => {
    expect(read({})).toEqual(defaults)
    expect(read({ prefetch: undefined } as object)).toEqual(defaults)
    expect(read({ prefetch: 7, name: 'n' })).toEqual({ ...defaults, prefetch: 7, name: 'n' })
  })

  test('of retries may be given in part', () => {
    expect(read({ retry: { tries: 2 } }).retry).toEqual({ ...defaults.retry, tries: 2 })
    expect(read({ retry: { tries: Infinity, firstMs: undefined } }).retry).toEqual({
      ...defaults.retry,
      tries: Infinity,
    })
  })

  test.each<[unknown, string]>([
    [{ prefech: 1 }, 'someTransport has no option prefech: it has prefetch, retry, name'],
    [{ prefetch: 0 }, 'the option prefetch of someTransport must be a whole number of at least 1'],
    [{ prefetch: '7' }, 'the option prefetch of someTransport must be a whole number of at least 1'],
    [{ prefetch: NaN }, 'the option prefetch of someTransport must be a whole number of at least 1'],
    [{ name: 7 }, 'the option name of someTransport must be a text'],
    [{ retry: 3 }, 'the option retry of someTransport must say how often and with which pauses'],
    [{ retry: { tires: 3 } }, 'the option retry of someTransport must say how often and with which pauses'],
    [{ retry: { tries: 0 } }, 'the option retry of someTransport must say how often and with which pauses'],
    [{ retry: { firstMs: -1 } }, 'the option retry of someTransport must say how often and with which pauses'],
    ['options', 'someTransport takes one object of options'],
    [null, 'someTransport takes one object of options'],
  ])('%j are refused with a sentence', (given, why) => {
    expect(() => read(given as Options)).toThrow(why)
  })
})

const url = 'amqp://localhost'

test.each<[string, (given: never) => unknown, object, string]>([
  ['memory', memoryTransport, { maxQeued: 1 }, 'memoryTransport has no option maxQeued'],
  ['memory', memoryTransport, { historyPerChannel: -1 }, 'historyPerChannel of memoryTransport must be a whole number'],
  ['memory', memoryTransport, { clock: { now: Date.now } }, 'clock of memoryTransport must have the methods now'],
  ['http', httpTransport, { peers: {}, timeoutMs: Infinity }, 'timeoutMs of httpTransport must be a number of milli'],
  ['http', httpTransport, { peers: {}, onProblem: 'log' }, 'onProblem of httpTransport must be a function'],
  ['http', httpTransport, { peers: [] }, 'peers of httpTransport must be an object'],
  ['http', httpTransport, { self: 'http://localhost' }, 'httpTransport needs the option peers'],
  ['kafka', kafkaTransport, { brokers: [] }, 'brokers of kafkaTransport must be a list of texts, and not an empty one'],
  ['kafka', kafkaTransport, { brokers: 'localhost' }, 'brokers of kafkaTransport must be a list of texts'],
  ['kafka', kafkaTransport, {}, 'kafkaTransport needs the option brokers'],
  ['rabbitmq', rabbitmqTransport, { url, queueType: 'lazy' }, "queueType of rabbitmqTransport must be 'quorum' or 'cl"],
  ['rabbitmq', rabbitmqTransport, { url, historyBytes: 0.5 }, 'historyBytes of rabbitmqTransport must be a whole'],
  ['rabbitmq', rabbitmqTransport, { url, prefetch: 70_000 }, 'prefetch of rabbitmqTransport must be a whole number'],
  ['rabbitmq', rabbitmqTransport, {}, 'the address of RabbitMQ must be a URL'],
])('%s: a mistyped option is refused before anything is opened', (_name, transport, given, why) => {
  expect(() => transport(given as never)).toThrow(why)
})
