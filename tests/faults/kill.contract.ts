/** kill -9, again and again, of the process with all services in it, while customers order. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startAllInOne, type AllInOne } from './all-in-one.ts'
import { auditServices } from '../kit/auditor.ts'
import { Customers } from './customers.ts'
import { newSeed, randomFrom } from './random.ts'
import type { Place } from '../kit/tables.ts'
import { until } from '../kit/until.ts'

type Removable = Place & { readonly remove: () => Promise<void> }

const atATime = 64
/** Of the customers at a time, those whose order is acknowledged: the others wait for that. On a busy machine half of them do. */
const inFlight = 30
const endMs = 120_000

/** The embedded default, in a folder of its own. */
export async function onSqlite(): Promise<Removable> {
  const folder = mkdtempSync(join(tmpdir(), 'ordersaga-kill-'))
  return { kind: 'sqlite', folder, remove: async () => rmSync(folder, { recursive: true, force: true }) }
}

export function killContract(name: string, rounds: number, open: () => Promise<Removable>): void {
  describe(`kill -9 under load, on ${name}`, () => {
    let place: Removable
    let current: AllInOne | null = null

    beforeAll(async () => void (place = await open()))

    afterAll(async () => {
      await current?.kill()
      await place.remove()
    })

    test(
      'no acknowledged order is lost, every saga ends, and the auditor finds nothing',
      { timeout: 600_000 },
      async () => {
        const random = randomFrom(newSeed(`kill -9 on ${name}`))
        const customers = new Customers(random)
        let loaded = 0
        let struck = 0
        for (let round = 1; round <= rounds; round += 1) {
          current = startAllInOne(place)
          // A few die while they start and take up what the one before left; the first has something to leave.
          if (round > 1 && random.next() < 0.1) await delay(random.between(500, 3_000))
          else {
            const url = await current.ready()
            await expectAllFound(url, customers)
            const ordering = customers.order(url, atATime)
            await until(`${inFlight} sagas are in flight`, 120_000, () => customers.inFlight >= inFlight)
            await delay(random.between(0, 800)) // the random moment
            loaded += 1
            struck += customers.inFlight
            await current.kill()
            await ordering
          }
          await current.kill()
        }

        current = startAllInOne(place)
        const url = await current.ready()
        await customers.orderAgain(url)
        await expectAllFound(url, customers)
        await until(
          'every saga ends',
          endMs,
          async () => (await unfinished(url)).length === 0,
          () => url,
        )
        const listed = await listAll(url)
        expect(await current.stop()).toBe(0)

        const { problems, statuses } = await auditServices(place)
        process.stdout.write(
          `kill -9 on ${name}: ${rounds} rounds, ${struck} sagas struck, ${customers.acknowledged.size} orders, ` +
            `${customers.cancels} cancels; ended ${JSON.stringify(statuses)}\n`,
        )
        expect(problems).toEqual([])
        expect(customers.complaints).toEqual([])
        expect(Object.keys(statuses).toSorted()).toEqual(['CANCELLED', 'COMPENSATED', 'COMPLETED'])
        expect(struck).toBeGreaterThan(loaded * 20)
        // What a customer saw as the end is the end.
        expect([...customers.seenEnding].filter(([id, status]) => listed.get(id) !== status)).toEqual([])
      },
    )
  })
}

async function expectAllFound(url: string, { acknowledged }: Customers): Promise<void> {
  const found = await listAll(url)
  expect([...acknowledged.values()].filter((id) => !found.has(id))).toEqual([])
}

/** Every saga's status, page by page. */
async function listAll(url: string): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>()
  for (let after: string | null = ''; after !== null;) {
    const query: string = after === '' ? '' : `&after=${encodeURIComponent(after)}`
    const response = await fetch(`${url}/api/sagas?limit=1000${query}`)
    expect(response.status).toBe(200)
    for (const { id, status } of (await response.json()) as { id: string; status: string }[]) found.set(id, status)
    after = response.headers.get('x-next')
  }
  return found
}

async function unfinished(url: string): Promise<readonly unknown[]> {
  const lists = ['STARTED', 'COMPENSATING', 'CANCELLING'].map(async (status) => {
    const response = await fetch(`${url}/api/sagas?limit=5&status=${status}`)
    return (await response.json()) as readonly unknown[]
  })
  return (await Promise.all(lists)).flat()
}
