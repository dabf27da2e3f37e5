/** Two engine processes on one PostgreSQL: one dies, one freezes, the server crashes, connections are cut. */
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { afterEach, describe, expect, test } from 'vitest'
import { freshDatabase, postgresUrl, suiteOn } from '../kit/parts.ts'
import { startChild, type Child } from '../kit/child.ts'
import { historyProblems, readSagas } from '../kit/histories.ts'
import { installedPart, startPrivatePart } from '../kit/private-part.ts'
import { openTables } from '../kit/tables.ts'
import { until } from '../kit/until.ts'

const program = fileURLToPath(import.meta.resolve('./engine-process.ts'))

const patienceMs = 60_000

interface EngineProcess extends Child {
  /** Ids of the sagas whose start was acknowledged. */
  readonly started: readonly string[]
  readonly owner: () => string
  /** Starts no more sagas, and waits until each caller knows the end of his. */
  rest(): Promise<void>
}

const children: Child[] = []
const removals: (() => Promise<void>)[] = []

afterEach(async () => {
  await Promise.all(children.splice(0).map((child) => child.kill()))
  for (const remove of removals.splice(0)) await remove()
})

interface Settings {
  readonly heartbeatMs: number
  readonly atATime: number
}

async function startEngineProcess(url: string, { heartbeatMs, atATime }: Settings): Promise<EngineProcess> {
  const started: string[] = []
  let owner = ''
  let rested = false
  const child = startChild(
    program,
    [],
    { DATABASE_URL: url, HEARTBEAT_MS: String(heartbeatMs), AT_A_TIME: String(atATime) },
    (line) => {
      const [what, id = ''] = line.split(' ')
      if (what === 'started') started.push(id)
      else if (what === 'owner') owner = id
      else if (what === 'rested') rested = true
    },
  )
  children.push(child)
  await until('the engine runs', patienceMs, () => owner !== '' || child.ended() !== null, child.tail)
  expect(child.ended(), child.tail()).toBeNull()
  return {
    ...child,
    started,
    owner: () => owner,
    async rest() {
      child.signal('SIGUSR2')
      await until('every caller knows the end of his saga', patienceMs, () => rested, child.tail)
    },
  }
}

/** Waits until the process has started so many more sagas: it is well under way. */
async function underWay(process: EngineProcess, more = 100): Promise<void> {
  const goal = process.started.length + more
  const there = () => process.started.length >= goal || process.ended() !== null
  await until(`${more} more sagas are started`, patienceMs, there, process.tail)
  expect(process.ended(), process.tail()).toBeNull()
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  removals.unshift(() => client.end().catch(() => undefined))
  return client
}

async function liveSagasOf(client: pg.Client, owner: string): Promise<number> {
  const text = 'select count(*)::int as live from ordersaga.saga where live and owner = $1'
  return (await client.query<{ live: number }>(text, [owner])).rows[0]?.live ?? 0
}

/** When all is quiet: nothing lost, everything ended, no effect twice and none left behind. */
async function expectAllWell(url: string, processes: readonly EngineProcess[]): Promise<void> {
  const tables = await openTables({ kind: 'postgres', url })
  const sagas = await readSagas(tables)
  const effects = await tables.rows<{ saga_id: string; effects: string }>(
    `select saga_id, string_agg(direction || ' ' || step, ', ' order by direction, step) as effects
     from public.effect group by saga_id`,
  )
  await tables.close()
  const stored = new Map(sagas.rows.map(({ id, state }) => [id, state.status]))
  expect(processes.flatMap(({ started }) => started.filter((id) => !stored.has(id)))).toEqual([])
  expect(historyProblems(sagas)).toEqual([])
  const expected: Readonly<Record<string, string>> = {
    COMPLETED: 'do confirm, do pay, do reserve',
    COMPENSATED: 'do pay, do reserve, undo pay, undo reserve',
  }
  const left = new Map(effects.map(({ saga_id, effects }) => [saga_id, effects]))
  expect([...stored].filter(([id, status]) => left.get(id) !== expected[status])).toEqual([])
  expect([...left.keys()].filter((id) => !stored.has(id))).toEqual([])
  expect(new Set(stored.values())).toEqual(new Set(Object.keys(expected)))
}

async function restAndCheck(url: string, processes: readonly EngineProcess[], dead: readonly EngineProcess[] = []) {
  await Promise.all(processes.map((process) => process.rest()))
  const client = await connect(url)
  const live = async () => (await client.query('select from ordersaga.saga where live limit 1')).rowCount === 0
  await until('every saga ends', patienceMs, live, () => processes.map((process) => process.tail()).join('\n'))
  for (const process of processes) expect(await process.stop(), process.tail()).toBe(0)
  await expectAllWell(url, [...processes, ...dead])
}

suiteOn('PostgreSQL', await postgresUrl(), 'two engines on one PostgreSQL', () => {
  test('the sagas of one that is killed are taken over within 10 s, and end', { timeout: 180_000 }, async () => {
    const database = await freshDatabase()
    removals.push(database.drop)
    const settings = { heartbeatMs: 2_000, atATime: 100 } // the engine's own default
    const [one, other] = await Promise.all([
      startEngineProcess(database.url, settings),
      startEngineProcess(database.url, settings),
    ])
    const client = await connect(database.url)
    await Promise.all([underWay(one), underWay(other)])
    await one.kill()
    const killedAt = performance.now()
    const orphans = await liveSagasOf(client, one.owner())
    expect(orphans).toBeGreaterThan(0)
    await until('they are taken over', 10_000, async () => (await liveSagasOf(client, one.owner())) === 0, other.tail)
    process.stdout.write(`${orphans} sagas were taken over after ${Math.round(performance.now() - killedAt)} ms\n`)
    await restAndCheck(database.url, [other], [one])
  })

  test(
    'one that freezes for longer than its heartbeat and goes on does nothing twice',
    { timeout: 180_000 },
    async () => {
      const database = await freshDatabase()
      removals.push(database.drop)
      const settings = { heartbeatMs: 300, atATime: 50 }
      const [one, other] = await Promise.all([
        startEngineProcess(database.url, settings),
        startEngineProcess(database.url, settings),
      ])
      const client = await connect(database.url)
      for (const [frozen, awake] of [
        [one, other],
        [other, one],
        [one, other],
      ] as const) {
        await Promise.all([underWay(frozen), underWay(awake)])
        frozen.signal('SIGSTOP')
        expect(await liveSagasOf(client, frozen.owner())).toBeGreaterThan(0)
        const taken = async () => (await liveSagasOf(client, frozen.owner())) === 0
        await until('its sagas are taken over', 30_000, taken, awake.tail)
        await underWay(awake)
        frozen.signal('SIGCONT')
        await underWay(frozen)
      }
      await restAndCheck(database.url, [one, other])
    },
  )
})

suiteOn('PostgreSQL', await installedPart('postgresql'), 'engines on a PostgreSQL of their own', (part) => {
  test('a server that crashes under load loses nothing that was acknowledged', { timeout: 180_000 }, async () => {
    const server = await startPrivatePart(part)
    removals.push(server.remove)
    const settings = { heartbeatMs: 1_000, atATime: 50 }
    const [one, other] = await Promise.all([
      startEngineProcess(server.url, settings),
      startEngineProcess(server.url, settings),
    ])
    for (let crash = 1; crash <= 5; crash += 1) {
      await Promise.all([underWay(one), underWay(other)])
      await server.kill()
      await server.start()
    }
    await Promise.all([underWay(one), underWay(other)])
    await restAndCheck(server.url, [one, other])
  })

  describe('connections that are cut', () => {
    test('also during COMMIT, lose nothing and double nothing', { timeout: 180_000 }, async () => {
      // Commits take 2 ms longer, so that many a cut falls into one.
      const server = await startPrivatePart(part)
      removals.push(server.remove)
      const superuser = await connect(server.url)
      await superuser.query('alter system set commit_delay = 2000')
      await superuser.query('alter system set commit_siblings = 0')
      await superuser.query('select pg_reload_conf()')
      const settings = { heartbeatMs: 1_000, atATime: 50 }
      const [one, other] = await Promise.all([
        startEngineProcess(server.url, settings),
        startEngineProcess(server.url, settings),
      ])
      const client = await connect(server.url)
      const cuts = { commits: 0, others: 0 }
      await until(
        '500 connections are cut, 50 of them in a COMMIT',
        patienceMs,
        async () => {
          const { rows } = await client.query<{ query: string }>(
            `select query, pg_terminate_backend(pid) from pg_stat_activity
           where datname = current_database() and pid <> pg_backend_pid() and (state = 'active' or random() < 0.05)`,
          )
          for (const { query } of rows) cuts[query === 'commit' ? 'commits' : 'others'] += 1
          await delay(20) // the processes get to work between two cuts
          return cuts.commits >= 50 && cuts.commits + cuts.others >= 500
        },
        () => `${JSON.stringify(cuts)}\n${one.tail()}`,
      )
      process.stdout.write(`connections cut: ${cuts.commits} in a COMMIT, ${cuts.others} elsewhere\n`)
      await Promise.all([underWay(one), underWay(other)])
      await restAndCheck(server.url, [one, other])
    })
  })
})
