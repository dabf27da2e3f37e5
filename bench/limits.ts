/**
 * What the servers do without us, on this machine: messages of 500 bytes there and back by their bare clients, in batches
 * with one publish in flight, and rows of 500 bytes made durable.
 */
import { connect } from 'amqplib'
import { Redis } from 'ioredis'
import { CompressionTypes, Kafka, logLevel } from 'kafkajs'
import { connect as connectSocket } from 'node:net'
import pg from 'pg'
import { startPrivatePart, type PartName } from '../tests/kit/private-part.ts'
import { head, row, whole } from './table.ts'

const body = 'x'.repeat(500)

/** @returns how often a second `turn` comes to its end, `lanes` at once */
async function rate(turns: number, lanes: number, turn: (lane: number) => Promise<unknown>): Promise<number> {
  let left = turns
  const run = async (lane: number): Promise<void> => {
    while (left-- > 0) await turn(lane)
  }
  const began = performance.now()
  await Promise.all(Array.from({ length: lanes }, (_none, lane) => run(lane)))
  return turns / ((performance.now() - began) / 1000)
}

/** Publishes batch by batch, and ends when the last message has come back. */
async function messages(
  batches: number,
  size: number,
  publish: (size: number) => Promise<unknown>,
  arrived: () => number,
): Promise<number> {
  const from = arrived()
  const began = performance.now()
  for (let count = 0; count < batches; count += 1) await publish(size)
  while (arrived() - from < batches * size) await new Promise(setImmediate)
  return (batches * size) / ((performance.now() - began) / 1000)
}

async function on<T>(part: PartName, work: (url: string) => Promise<T>): Promise<T> {
  const server = await startPrivatePart(part)
  try {
    return await work(server.url)
  } finally {
    await server.remove()
  }
}

const sizes = [1, 10, 100]

async function kafkaMessages(url: string, scale: number): Promise<readonly number[]> {
  const kafka = new Kafka({
    brokers: [url],
    clientId: 'bare',
    logLevel: logLevel.NOTHING,
    socketFactory: ({ host, port, onConnect }) => connectSocket({ host, port }, onConnect).setNoDelay(true),
  })
  const [admin, producer, consumer] = [
    kafka.admin(),
    kafka.producer({ idempotent: true, maxInFlightRequests: 1 }),
    kafka.consumer({ groupId: 'bare' }),
  ]
  await Promise.all([admin.connect(), producer.connect(), consumer.connect()])
  await admin.createTopics({ topics: [{ topic: 'bare', numPartitions: 3 }] })
  await consumer.subscribe({ topic: 'bare', fromBeginning: true })
  let arrived = 0
  await consumer.run({ eachBatch: async ({ batch }) => void (arrived += batch.messages.length) })
  let key = 0
  const publish = (size: number): Promise<unknown> =>
    producer.send({
      topic: 'bare',
      acks: -1,
      compression: CompressionTypes.None,
      messages: Array.from({ length: size }, () => ({ key: String(++key), value: body })),
    })
  await messages(Math.ceil(2_000 * scale), 10, publish, () => arrived) // warms up, the server too
  const found: number[] = []
  for (const size of sizes) found.push(await messages(Math.ceil(1_000 * scale), size, publish, () => arrived))
  await Promise.all([admin.disconnect(), producer.disconnect(), consumer.disconnect()])
  return found
}

async function rabbitmqMessages(url: string, scale: number, sizes: readonly number[]): Promise<readonly number[]> {
  const [publishing, reading] = await Promise.all([connect(url), connect(url)])
  const [out, from] = await Promise.all([publishing.createConfirmChannel(), reading.createChannel()])
  await out.assertQueue('bare', { arguments: { 'x-queue-type': 'quorum' } })
  let arrived = 0
  await from.prefetch(500)
  await from.consume('bare', (message) => {
    if (message === null) return
    arrived += 1
    from.ack(message)
  })
  const content = Buffer.from(body)
  const publish = (size: number): Promise<unknown> => {
    for (let count = 0; count < size; count += 1) out.sendToQueue('bare', content, { persistent: true })
    return out.waitForConfirms()
  }
  await messages(Math.ceil(500 * scale), 10, publish, () => arrived) // warms up
  const found: number[] = []
  for (const size of sizes) found.push(await messages(Math.ceil(1_000 * scale), size, publish, () => arrived))
  await Promise.all([publishing.close(), reading.close()])
  return found
}

async function postgresCommits(url: string, scale: number): Promise<readonly number[]> {
  const lanes = [1, 8, 32]
  const clients = Array.from({ length: 32 }, () => new pg.Client({ connectionString: url }))
  await Promise.all(clients.map((client) => client.connect()))
  await clients[0]?.query('create table bare (id bigserial primary key, body text)')
  const insert = { name: 'insert', text: 'insert into bare (body) values ($1)', values: [body] }
  const found: number[] = []
  for (const each of lanes)
    found.push(
      await rate(Math.ceil(3_000 * scale * Math.sqrt(each)), each, async (lane) => clients[lane]?.query(insert)),
    )
  await Promise.all(clients.map((client) => client.end()))
  return found
}

async function redisWrites(url: string, scale: number): Promise<readonly number[]> {
  const client = new Redis(url)
  const write = async (size: number): Promise<void> => {
    const pipeline = client.pipeline()
    for (let count = 0; count < size; count += 1) pipeline.rpush('bare', body)
    await pipeline.exec()
  }
  const found: number[] = []
  for (const size of sizes) found.push((await rate(Math.ceil(1_000 * scale), 1, () => write(size))) * size)
  await client.quit()
  return found
}

/** Messages a second there and back by RabbitMQ's bare client, in batches of 10. */
export async function bareRabbitmq(quick: boolean): Promise<number> {
  const [perSecond = 0] = await on('rabbitmq', (url) => rabbitmqMessages(url, quick ? 0.2 : 2, [10]))
  return perSecond
}

export async function benchLimits(quick: boolean): Promise<void> {
  const scale = quick ? 0.1 : 1
  head(['the bare client', 'a second', 'a second', 'a second'])
  const print = (name: string, found: readonly number[], at: readonly string[]): void =>
    row([name, ...found.map((value, index) => `${whole(value)} (${at[index] ?? ''})`)])
  const batches = sizes.map((size) => (size === 1 ? 'one by one' : `batches of ${size}`))
  print('Kafka, messages there and back', await on('kafka', (url) => kafkaMessages(url, scale)), batches)
  print(
    'RabbitMQ, messages there and back',
    await on('rabbitmq', (url) => rabbitmqMessages(url, scale, sizes)),
    batches,
  )
  const connections = ['1 connection', '8 connections', '32 connections']
  print('PostgreSQL, commits of one row', await on('postgresql', (url) => postgresCommits(url, scale)), connections)
  print('Redis, rows with `appendfsync always`', await on('redis', (url) => redisWrites(url, scale)), batches)
}
