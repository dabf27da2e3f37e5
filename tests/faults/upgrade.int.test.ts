/** A rolling upgrade over real servers: two builds share a store and a group, and answers come to whichever reads them. */
import { randomUUID } from 'node:crypto'
import { defineSaga } from 'ordersaga'
import { participantContract } from 'ordersaga/contract'
import { startEngine, type Engine } from 'ordersaga/engine'
import { done, handle, participant } from 'ordersaga/participant'
import { memoryInbox } from 'ordersaga/participant/memory-inbox'
import { postgresStore } from 'ordersaga/stores/postgres'
import type { Transport } from 'ordersaga/transport'
import { kafkaTransport } from 'ordersaga/transports/kafka'
import { rabbitmqTransport } from 'ordersaga/transports/rabbitmq'
import { afterEach, expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase, kafkaBrokers, postgresUrl, rabbitmqUrl, suiteOn } from '../kit/parts.ts'

const Item = z.object({ item: z.string() })
const shop = participantContract('shop', { tombstones: true })
const command = (type: string) =>
  shop.command(type, { payload: Item, done: [`${type}.done`, Item], safeOnNothing: true })
const [reserve, release, pay, refund, pack, unpack] = ['reserve', 'release', 'pay', 'refund', 'pack', 'unpack'].map(
  command,
)

/** No attempt's time is up within the test: a saga that is undone was undone because of who read its answer. */
const patient = { attemptMs: 120_000 }
const same = ({ input }: { readonly input: { readonly item: string } }) => input

const begin = (version: number) =>
  defineSaga('buy', { version, input: Item })
    .step('reserve', { do: reserve!, with: same, undo: release!, undoWith: same, ...patient })
    .step('pay', { do: pay!, with: same, undo: refund!, undoWith: same, ...patient })
const one = begin(1).end()
const two = begin(2)
  .step('pack', { do: pack!, with: same, undo: unpack!, undoWith: same, ...patient })
  .end()

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
}, 60_000)

const closes = <T extends { close(): Promise<unknown> }>(opened: T): T => {
  closing.push(() => opened.close())
  return opened
}

/** @param open a connection of its own to the broker, as each process has one */
function upgradeSuite(open: () => Transport): void {
  test('24 of 24 sagas of the new version complete, and 24 of the old, whoever reads their answers', async () => {
    const database = await freshDatabase()
    closing.push(() => database.drop())
    await serve(closes(open()))
    const engine = async (definitions: readonly (typeof one | typeof two)[]): Promise<Engine> => {
      const store = closes(postgresStore({ connectionString: database.url }))
      const running = await startEngine({ store, transport: closes(open()), definitions })
      closing.push(() => running.stop())
      return running
    }
    // Many of the old build, so that nearly every answer comes to one that cannot run its saga.
    const old = [await engine([one]), await engine([one]), await engine([one])]
    const fresh = await engine([one, two])
    const began = performance.now()
    const news = await Promise.all(numbers.map((n) => fresh.start(two, { item: `new ${n}` })))
    const olds = await Promise.all(numbers.map((n) => old[n % 3]!.start(one, { item: `old ${n}` })))
    for (const { id } of [...news, ...olds]) expect((await fresh.result(id)).status).toBe('COMPLETED')
    expect(performance.now() - began).toBeLessThan(60_000)
  }, 180_000)
}

const numbers = Array.from({ length: 24 }, (_, index) => index)

async function serve(transport: Transport): Promise<void> {
  const commands = [reserve, release, pay, refund, pack, unpack]
  const handlers = commands.map((each) => handle(each!, async (_tx, { payload }) => done(payload)))
  const shopkeeper = participant({ name: 'shop', source: 'shop', inbox: memoryInbox(), handlers })
  closes(await shopkeeper.attach(transport))
}

const postgres = await postgresUrl()
const rabbitmq = postgres === null ? null : await rabbitmqUrl()
const kafka = postgres === null ? null : await kafkaBrokers()

suiteOn('RabbitMQ with PostgreSQL', rabbitmq, 'a rolling upgrade over RabbitMQ', (url) => {
  const prefix = `up-${randomUUID().slice(0, 8)}-`
  upgradeSuite(() => rabbitmqTransport({ url, prefix }))
})

suiteOn('Kafka with PostgreSQL', kafka, 'a rolling upgrade over Kafka', (brokers) => {
  const prefix = `up-${randomUUID().slice(0, 8)}-`
  upgradeSuite(() => kafkaTransport({ brokers: brokers.split(','), prefix, partitions: 6 }))
})
