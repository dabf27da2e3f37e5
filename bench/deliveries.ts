/** Whole deliveries, end to end, beside the orders of `systems.ts`: on the same servers, from the same processes. */
import type { System } from '../tests/kit/system.ts'
import { until } from '../tests/kit/until.ts'
import { begin, carried, deliverOneByOne, deliverTogether, follow, streamOf, type Urls } from './runner.ts'

const readers = 200
const inFlight = 256

export interface Deliveries {
  /** Milliseconds of one alone. */
  readonly alone: readonly number[]
  readonly perSecond: number
  /** Milliseconds from a move to its being read, with 200 readers of one saga. */
  readonly late: readonly number[]
}

export async function measureDeliveries(system: System, alone: number, many: number): Promise<Deliveries> {
  const urls = {
    sagas: system.url('create-order'),
    order: system.url('order'),
    deliveries: system.url('complete-order'),
  }
  await deliverTogether(urls, await carried(urls, many * 0.4), inFlight) // warms up
  const times = (await deliverOneByOne(urls, await carried(urls, 2 * alone))).slice(alone)
  const orders = await carried(urls, many)
  const seconds = await deliverTogether(urls, orders, inFlight)
  return { alone: times, perSecond: many / seconds, late: await lateness(system, urls) }
}

/** The saga waits for a Payment Service that is down; when that comes back, its changes reach all readers at once. */
async function lateness(system: System, urls: Urls): Promise<readonly number[]> {
  const late: number[] = []
  for (const orderId of await carried(urls, 5)) {
    await system.kill('payment')
    const url = streamOf(urls, await begin(urls, orderId))
    await until('the runner is to be paid', 60_000, async () => (await firstOf(url)).includes('RELEASE_FUNDS'))
    const all = await Promise.all(Array.from({ length: readers }, () => follow(url)))
    await system.start('payment')
    await Promise.all(all.map(({ ended }) => ended))
    late.push(...all.flatMap((reader) => reader.late))
  }
  return late
}

/** The state now. */
async function firstOf(url: string): Promise<string> {
  const { body } = await fetch(url)
  const texts = (body ?? new ReadableStream<Uint8Array>()).pipeThrough(new TextDecoderStream())
  for await (const text of texts) return text // and leaves
  return ''
}
