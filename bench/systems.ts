/**
 * Whole orders, and their deliveries, end to end: the services as processes of their own on real servers, everything on this machine, the client
 * included. The same processes as in the end-to-end tests, started by their environment alone.
 */
import { auditServices } from '../tests/kit/auditor.ts'
import { openHost, type Host, type HostName } from '../tests/kit/hosts.ts'
import { startSystem } from '../tests/kit/system.ts'
import { oneByOne, place as placeOn, together, type Load } from './buyer.ts'
import { kafkaRecords, openEnds, postgresCounts, type Ends } from './counters.ts'
import { cpuSince, cpuTable, cpuTimes } from './cpu.ts'
import { measureDeliveries, type Deliveries } from './deliveries.ts'
import { benchLimits } from './limits.ts'
import { head, print, row, whole } from './table.ts'

const places = [
  'PostgreSQL and Kafka',
  'PostgreSQL and RabbitMQ',
  'Redis and RabbitMQ',
] as const satisfies readonly HostName[]

const inFlight = 256

interface Found {
  readonly place: string
  readonly alone: readonly number[]
  readonly perSecond: number
  readonly messages: number | null
  readonly transactions: number | null
  readonly syncs: number | null
  /** CPU milliseconds of an order, by whose. */
  readonly cpu: ReadonlyMap<string, number>
  readonly deliveries: Deliveries
}

export async function benchSystems(quick: boolean): Promise<void> {
  const found: Found[] = []
  for (const place of places) found.push(await measureOn(place, quick ? 50 : 500, quick ? 1_000 : 10_000))

  head(['orders on', 'one alone, median ms', 'p99 ms', `orders/s, ${inFlight} in flight`, ...counted])
  for (const each of found) {
    const counts = [each.messages, each.transactions, each.syncs].map((value) => value?.toFixed(2) ?? '')
    row([each.place, at(each.alone, 0.5).toFixed(1), at(each.alone, 0.99).toFixed(1), whole(each.perSecond), ...counts])
  }
  print('')
  cpuTable(found.map(({ place, cpu }) => [place, cpu]))
  print('')
  head([
    'deliveries on',
    'one alone, median ms',
    'p99 ms',
    'an order alone took, for as many messages',
    `deliveries/s, ${inFlight} in flight`,
    'a change is read by 200 after, p95 ms',
  ])
  for (const { place, alone, deliveries } of found) {
    const ratio = at(deliveries.alone, 0.5) / 8 / (at(alone, 0.5) / 10)
    row([
      place,
      at(deliveries.alone, 0.5).toFixed(1),
      at(deliveries.alone, 0.99).toFixed(1),
      `1 : ${ratio.toFixed(2)}`,
      whole(deliveries.perSecond),
      at(deliveries.late, 0.95).toFixed(0),
    ])
  }
  print('')
  await benchLimits(quick)
}

const counted = ['messages per order', 'transactions per order', "waits for PostgreSQL's disk per order"]

const at = (times: readonly number[], share: number): number =>
  times.toSorted((a, b) => a - b)[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0

async function measureOn(place: HostName, alone: number, orders: number): Promise<Found> {
  const host = await openHost(place)
  const system = await startSystem(host)
  const ends = await openEnds({ postgres: host.parts.postgresql?.url, redis: host.parts.redis?.url })
  try {
    const url = system.url('create-order')
    const placeOne = () => placeOn(url)
    await together(placeOne, ends, orders * 0.4, inFlight) // warms up: compilers are at work for the first thousands
    const times = (await oneByOne(url, 2 * alone)).slice(alone) // at this pace other code gets warm
    const load = await underLoad(host, ends, orders, () => together(placeOne, ends, orders, inFlight))
    const deliveries = await measureDeliveries(system, alone, orders * 0.2)
    const { problems } = await auditServices(host.place)
    if (problems.length > 0) throw new Error(`the books are wrong on ${place}: ${problems.join('; ')}`)
    return { place, alone: times, ...load, deliveries }
  } catch (error) {
    throw new Error(`${place}:\n${system.tails()}`, { cause: error })
  } finally {
    await ends.close()
    await system.destroy()
    await host.remove()
  }
}

async function underLoad(
  { parts }: Host,
  ends: Ends,
  orders: number,
  run: () => Promise<Load>,
): Promise<Omit<Found, 'place' | 'alone' | 'deliveries'>> {
  const counts = async () => ({
    records: parts.kafka === undefined ? null : await kafkaRecords(parts.kafka.url),
    postgres: parts.postgresql === undefined ? null : await postgresCounts(parts.postgresql.url),
    looks: ends.looks(),
  })
  const before = await counts()
  const cpuBefore = cpuTimes()
  const { seconds } = await run()
  const cpu = cpuSince(cpuBefore)
  const after = await counts()
  const perOrder = (from: number | undefined, to: number | undefined, less = 0): number | null =>
    from === undefined || to === undefined ? null : (to - from - less) / orders
  return {
    perSecond: orders / seconds,
    messages: perOrder(before.records ?? undefined, after.records ?? undefined),
    transactions: perOrder(before.postgres?.transactions, after.postgres?.transactions, after.looks - before.looks),
    syncs: perOrder(before.postgres?.syncs, after.postgres?.syncs),
    cpu: new Map([...cpu].map(([name, ms]) => [name, ms / orders])),
  }
}
