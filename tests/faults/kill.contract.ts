/** kill -9, again and again, of the process with all services in it, while customers order and runners deliver. */
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ServiceName } from '../../services/app/registry.ts'
import { auditServices } from '../kit/auditor.ts'
import type { Host } from '../kit/hosts.ts'
import { insist } from '../../services/shared/testing/insist.ts'
import { layOut, type System } from '../kit/system.ts'
import { until } from '../kit/until.ts'
import { Customers } from './customers.ts'
import { newSeed, randomFrom } from './random.ts'

const atATime = 64
/** Of the customers at a time, those whose order is acknowledged: the others wait for that. On a busy machine half of them do. */
const inFlight = 30
/** Deliveries that have begun when it dies; few, for they do not take long. */
const begun = 5
const endMs = 120_000

type Opened = Pick<Host, 'place' | 'variables' | 'remove'>

export function killContract(name: string, rounds: number, open: () => Promise<Opened>): void {
  describe(`kill -9 under load, on ${name}`, () => {
    let host: Opened
    let system: System

    beforeAll(async () => {
      host = await open()
      system = await layOut({ apart: false, variables: host.variables })
    })

    afterAll(async () => {
      await system?.destroy()
      await host?.remove()
    })

    test(
      'nothing acknowledged is lost, every saga ends, nobody is paid twice, and the auditor finds nothing',
      { timeout: 600_000 },
      async () => {
        const random = randomFrom(newSeed(`kill -9 on ${name}`))
        const customers = new Customers(random, system)
        const { runners } = customers
        const struck = { sagas: 0, deliveries: 0 }
        let loaded = 0
        for (let round = 1; round <= rounds; round += 1) {
          system.launch('all')
          // A few die while they start and take up what the one before left; the first has something to leave.
          if (round > 1 && random.next() < 0.1) await delay(random.between(500, 3_000))
          else {
            await system.ready()
            await expectAllFound(system, customers)
            const ordering = customers.order(atATime)
            await until(`${inFlight} sagas are in flight`, endMs, () => customers.inFlight >= inFlight, system.tails)
            await until(`${begun} are to be delivered`, endMs, () => customers.undelivered >= begun, system.tails)
            const before = runners.begun
            const delivering = customers.deliver()
            await until(`${begun} deliveries began`, endMs, () => runners.begun >= before + begun, system.tails)
            await delay(random.between(0, 200)) // the random moment
            loaded += 1
            struck.sagas += customers.inFlight
            struck.deliveries += runners.inFlight
            await system.kill('all')
            await Promise.all([ordering, delivering])
          }
          await system.kill('all')
        }

        await system.start('all')
        await customers.finish()
        await until('every saga ends', endMs, async () => (await unfinished(system)).length === 0, system.tails)
        const listed = await expectAllFound(system, customers)
        expect(await system.stop()).toEqual([0])

        const { problems, statuses, deliveries } = await auditServices(host.place)
        process.stdout.write(
          `kill -9 on ${name}: ${rounds} rounds, ${struck.sagas} sagas struck, ${struck.deliveries} of them deliveries; ` +
            `${customers.acknowledged.size} orders, ${customers.cancels} cancels, ended ${JSON.stringify(statuses)}; ` +
            `${runners.acknowledged.size} deliveries, ended ${JSON.stringify(deliveries)}\n`,
        )
        expect(problems).toEqual([])
        expect([...customers.complaints, ...runners.complaints]).toEqual([])
        expect(Object.keys(statuses).toSorted()).toEqual(['CANCELLED', 'COMPENSATED', 'COMPLETED'])
        expect(Object.keys(deliveries).toSorted()).toEqual(['COMPENSATED', 'COMPLETED'])
        expect(struck.sagas).toBeGreaterThan(loaded * 20)
        expect(runners.begun).toBeGreaterThan(loaded * begun)
        // What one saw as the end is the end.
        const seen = [...customers.seenEnding, ...runners.seenEnding]
        expect(seen.filter(([id, status]) => listed.get(id) !== status)).toEqual([])
      },
    )
  })
}

const orchestrators = ['create-order', 'complete-order'] as const satisfies readonly ServiceName[]

/** Of every saga its status. */
async function expectAllFound(
  system: System,
  { acknowledged, runners }: Customers,
): Promise<ReadonlyMap<string, string>> {
  const found = await listAll(system)
  expect([...acknowledged.values(), ...runners.acknowledged.values()].filter((id) => !found.has(id))).toEqual([])
  return found
}

interface Page {
  readonly items: readonly { readonly id: string; readonly status: string }[]
  readonly next: string | null
}

async function page(system: System, orchestrator: ServiceName, query: string): Promise<Page> {
  const response = await insist(() => fetch(`${system.url(orchestrator)}/ops/sagas?${query}`))
  expect(response.status).toBe(200)
  return (await response.json()) as Page
}

/** Every saga's status, page by page. */
async function listAll(system: System): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>()
  for (const orchestrator of orchestrators)
    for (let after: string | null = ''; after !== null;) {
      const { items, next }: Page = await page(
        system,
        orchestrator,
        `limit=1000${after === '' ? '' : `&after=${after}`}`,
      )
      for (const { id, status } of items) found.set(id, status)
      after = next
    }
  return found
}

async function unfinished(system: System): Promise<readonly unknown[]> {
  const pages = orchestrators.flatMap((orchestrator) =>
    ['STARTED', 'COMPENSATING', 'CANCELLING'].map((status) => page(system, orchestrator, `limit=5&status=${status}`)),
  )
  return (await Promise.all(pages)).flatMap(({ items }) => items)
}
