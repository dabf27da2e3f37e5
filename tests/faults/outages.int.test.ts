/**
 * Every process and every server of a whole system killed in turn while orders come in and are delivered: PostgreSQL and
 * Kafka, one process for each service, two of each orchestrator. `FAULT_ROUNDS=20 FAULT_OUTAGE_S=60` is the long run; without
 * them it is short, and each is killed once, processes four at a time.
 */
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { orchestrators, keepers, type PeerName } from '../../services/app/registry.ts'
import { deliveriesOf } from '../../services/sagas/complete-order/delivery.testkit.ts'
import { openHost, type Host } from '../kit/hosts.ts'
import { layOut, startSystem, type System } from '../kit/system.ts'
import { suiteOn } from '../kit/parts.ts'
import { auditServices } from '../kit/auditor.ts'
import { deadLetters } from './dead-letters.ts'
import { Load } from './load.ts'
import { startMangler } from './mangler.ts'
import { installedPart, type PartName } from '../kit/private-part.ts'
import { newSeed, randomFrom, type Random } from './random.ts'
import { until } from '../kit/until.ts'
import { urlsOf } from '../kit/urls.ts'

const minute = 60_000
const mostRounds = process.env['FAULT_ROUNDS']
const outageMs = Number(process.env['FAULT_OUTAGE_S'] ?? 12) * 1000
/** So many that each process has some at hand when it is killed; more would only make its start take longer. */
const perSecond = mostRounds === undefined ? 20 : 50
const takeoverMs = 10_000
const sagaServices = orchestrators.map(({ name }) => name)
const parts = (await Promise.all([installedPart('postgresql'), installedPart('kafka')])).includes(null) ? null : true

suiteOn('PostgreSQL and Kafka', parts, 'a whole system on PostgreSQL and Kafka, under load', () => {
  let host: Host
  let system: System
  let random: Random

  beforeAll(async () => {
    random = randomFrom(newSeed('outages'))
    host = await openHost('PostgreSQL and Kafka', 2)
    system = await startSystem(host)
  }, 4 * minute)
  afterAll(async () => {
    await system?.destroy()
    await host?.remove()
  }, minute)

  const server = (part: PartName) => {
    const found = host.parts[part]
    if (found === undefined) throw new Error(`the host has no ${part}`)
    return found
  }

  /** Lets orders come in while something happens, then checks that nothing was lost, doubled or left behind. */
  async function underLoad(what: string, happening: () => Promise<string>): Promise<void> {
    const load = new Load(random, system)
    const loading = load.run(perSecond)
    const happened = await loaded(load, happening).finally(() => load.stop())
    await load.rest()
    await loading
    const restedAt = performance.now()
    await until('every saga ends', 4 * minute, noneIsLive, system.tails)
    const seconds = ((performance.now() - restedAt) / 1000).toFixed(1)
    const { problems, statuses, deliveries } = await auditServices(host.place)
    const { runners } = load
    process.stdout.write(
      `${what}: ${happened}; ${load.acknowledged.length} orders, ${load.cancels} cancels, ${runners.acknowledged.size} ` +
        `deliveries; all ended ${seconds} s after the last; in all ${JSON.stringify({ statuses, deliveries })}\n`,
    )
    expect([...load.complaints, ...runners.complaints]).toEqual([])
    expect(problems).toEqual([])
    const created = await statusesIn('create-order')
    expect(load.acknowledged.filter((id) => !created.has(id))).toEqual([])
    const completed = await statusesIn('complete-order')
    expect([...runners.acknowledged.values()].filter((id) => !completed.has(id))).toEqual([])
    // What a runner saw as the end is the end.
    expect([...runners.seenEnding].filter(([id, status]) => completed.get(id) !== status)).toEqual([])
    expect(runners.seenEnding.size).toBeGreaterThan(0)
    expect(await deadLetters(server('kafka').url)).toEqual({})
  }

  async function loaded(load: Load, happening: () => Promise<string>): Promise<string> {
    await until('orders come in', minute, () => load.acknowledged.length > perSecond, system.tails)
    const happened = await happening()
    await system.ready()
    return happened
  }

  /** Of the sagas that an orchestrator keeps. */
  async function query<Row extends pg.QueryResultRow>(
    orchestrator: PeerName,
    text: string,
    values: unknown[] = [],
  ): Promise<readonly Row[]> {
    const url = new URL(server('postgresql').url)
    url.pathname = `/${keepers.find(({ name }) => name === orchestrator)?.database ?? ''}`
    const client = new pg.Client({ connectionString: url.href })
    client.on('error', () => undefined)
    await client.connect()
    try {
      return (await client.query<Row>(text, values)).rows
    } finally {
      await client.end()
    }
  }

  /** A completed saga that keeps its order's time itself, because no timer could be had, is at rest. */
  async function noneIsLive(): Promise<boolean> {
    const text = "select count(*) as live from ordersaga.saga where live and status <> 'COMPLETED'"
    const counts = sagaServices.map(async (name) => Number((await query<{ live: number }>(name, text))[0]?.live))
    return (await Promise.all(counts)).every((live) => live === 0)
  }
  const statusesIn = async (orchestrator: PeerName): Promise<ReadonlyMap<string, string>> => {
    const rows = await query<{ id: string; status: string }>(orchestrator, 'select id, status from ordersaga.saga')
    return new Map(rows.map(({ id, status }) => [id, status]))
  }
  const ownedBy = async (owner: string): Promise<number> =>
    Number(
      (
        await query<{ live: number }>(
          'create-order',
          'select count(*) as live from ordersaga.saga where live and owner = $1',
          [owner],
        )
      )[0]?.live,
    )

  /** By its own figures. */
  async function ownerAt(url: string): Promise<string> {
    const text = await (await fetch(`${url}/metrics`)).text()
    return /^ordersaga_owner\{owner="([^"]+)"\} 1$/m.exec(text)?.[1] ?? ''
  }

  async function killProcess(name: string): Promise<void> {
    await system.kill(name)
    await delay(random.between(0, 1_500))
    await system.start(name)
  }

  async function killServer(part: PartName): Promise<void> {
    await server(part).kill()
    await delay(random.between(0, 1_500))
    await server(part).start()
  }

  test(
    'each process is killed while deliveries wait at each step, also of their undo',
    { timeout: 20 * minute },
    async () => {
      const runner = deliveriesOf({ urls: urlsOf((service) => system.url(service)) })
      const [paid, unpaid] = await Promise.all(
        ['cust_123', 'cust_release_fails'].map((customer) =>
          Promise.all(Array.from({ length: 3 }, () => runner.carried(customer))),
        ),
      )
      const orders = [...(paid ?? []), ...(unpaid ?? [])]
      /** All wait for these participants to do or undo these steps. */
      const allWait = (sagas: readonly string[], steps: readonly string[]): Promise<void> =>
        until(
          `all wait for ${steps.join(' or ')}`,
          minute,
          async () => {
            const waits = await Promise.all(sagas.map((id) => waitsOf(id)))
            return steps.length === new Set(waits).size && waits.every((step) => steps.includes(step))
          },
          system.tails,
        )
      /** Kills every process of the saga's but the one that is waited for, which is killed already. */
      const killOthers = async (dead: string): Promise<void> => {
        const others = system.processes.filter(
          (name) => /^(order|user|payment|complete-order)/.test(name) && name !== dead,
        )
        for (const name of others) {
          await system.kill(name)
          system.launch(name)
        }
        await system.ready()
      }

      await system.kill('order')
      const sagas = await Promise.all(orders.map((orderId) => runner.begin(orderId)))
      await allWait(sagas, ['deliver'])
      await killOthers('order')

      await system.kill('user')
      await system.start('order')
      await allWait(sagas, ['runner'])
      await killOthers('user')

      await system.kill('payment')
      await system.start('user')
      await allWait(sagas, ['release'])
      await killOthers('payment')

      await system.kill('order')
      await system.start('payment')
      await allWait(sagas, ['complete', 'deliver'])
      await killOthers('order')
      await system.start('order')

      const ends = await Promise.all(sagas.map(async (id) => (await runner.follow(id)).at(-1)?.data.status))
      expect(ends).toEqual([...(paid ?? []).map(() => 'COMPLETED'), ...(unpaid ?? []).map(() => 'COMPENSATED')])
      expect((await auditServices(host.place)).problems).toEqual([])
      expect(await deadLetters(server('kafka').url)).toEqual({})
    },
  )

  /** The step that the saga waits for. */
  async function waitsOf(sagaId: string): Promise<string> {
    const response = await fetch(`${system.url('complete-order')}/ops/sagas/${sagaId}`)
    return ((await response.json()) as { readonly waits: readonly string[] }).waits.join()
  }

  test('each process is killed, four at a time, and each server', { timeout: 40 * minute }, async () => {
    const quarter = Math.ceil(system.processes.length / 4)
    const fours = Array.from({ length: quarter }, (_none, nth) =>
      system.processes.filter((_name, index) => index % quarter === nth),
    )
    const targets = [
      ...fours.map((four) => () => Promise.all(four.map(killProcess))),
      () => killServer('postgresql'),
      () => killServer('kafka'),
    ]
    const rounds = mostRounds === undefined ? targets.length : Number(mostRounds)
    await underLoad('kill -9 in turn', async () => {
      for (let round = 0; round < rounds; round += 1) {
        await delay(random.between(200, 2_000)) // the random moment
        await targets[round % targets.length]?.()
        await system.ready()
      }
      return `${rounds} rounds`
    })
  })

  /** The second orchestrator killed while it has sagas: between a look and the kill they may end, and then it is in vain. */
  async function killedWithSagas(): Promise<{ owner: string; orphans: number; killedAt: number }> {
    const [, url = ''] = system.urls('create-order')
    const killed = { owner: '', orphans: 0, killedAt: 0 }
    await until('it is killed with sagas of its own', 5 * minute, async () => {
      await system.start('create-order-2')
      killed.owner = await ownerAt(url)
      expect(killed.owner).not.toBe('')
      await until('it owns live sagas', minute, async () => (await ownedBy(killed.owner)) > 0, system.tails)
      await system.kill('create-order-2')
      killed.killedAt = performance.now()
      killed.orphans = await ownedBy(killed.owner)
      return killed.orphans > 0
    })
    return killed
  }

  test(
    'the sagas of an orchestrator that is killed are with the other within 10 s',
    { timeout: 15 * minute },
    async () => {
      await underLoad('an orchestrator killed', async () => {
        const { owner, orphans, killedAt } = await killedWithSagas()
        await until('the other has them', takeoverMs, async () => (await ownedBy(owner)) === 0, system.tails)
        const taken = Math.round(performance.now() - killedAt)
        await system.start('create-order-2')
        return `${orphans} sagas taken over within ${taken} ms`
      })
    },
  )

  test(
    'an orchestrator that comes and goes rebalances the topics again and again',
    { timeout: 15 * minute },
    async () => {
      await underLoad('rebalances', async () => {
        const until5 = outageMs
        const began = performance.now()
        let turns = 0
        for (; performance.now() - began < until5; turns += 1) {
          await Promise.all([system.kill('create-order-2'), delay(5_000)])
          system.launch('create-order-2')
          await delay(5_000)
        }
        return `one came and went ${turns} times, every 5 s`
      })
    },
  )

  test('records come twice, late and out of order', { timeout: 15 * minute }, async () => {
    await underLoad('mangled', async () => {
      const mangler = await startMangler(server('kafka').url, random, 0.3, 4_000)
      await delay(outageMs)
      await mangler.stop()
      expect(mangler.sent()).toBeGreaterThan(0)
      return `${mangler.sent()} records sent again, ${mangler.failed()} could not be`
    })
  })

  test('the broker is away for a while', { timeout: 15 * minute }, async () => {
    await underLoad('broker away', async () => {
      await server('kafka').kill()
      await delay(outageMs)
      await server('kafka').start()
      return `for ${outageMs / 1000} s`
    })
  })

  test('the broker is away when everything starts, and comes later', { timeout: 15 * minute }, async () => {
    expect(await system.stop(), system.tails()).toEqual(system.processes.map(() => 0))
    await server('kafka').kill()
    system = await layOut(host)
    for (const name of system.processes) system.launch(name)
    await delay(outageMs)
    expect(system.tails()).not.toContain('unhandled')
    await server('kafka').start()
    await system.ready()
    await underLoad('broker late', async () => `by ${outageMs / 1000} s`)
  })
})
