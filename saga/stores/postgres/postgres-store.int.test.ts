import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { freshDatabase, postgresUrl, suiteOn } from '../../../tests/kit/parts.ts'
import { at, moveOf, startOf, testVersions, watcherOf } from '../sagas.testkit.ts'
import { storeContract } from '../store.contract.ts'
import type { HistoryEntry, Move, Start, Store } from '../store.ts'
import { StoreError } from '../store.ts'
import { migrations } from './migrations.ts'
import { planning } from './source.ts'
import { moves as movesText } from './statements.ts'
import { postgresStore } from './postgres-store.ts'

suiteOn('PostgreSQL', await postgresUrl(), 'on a real PostgreSQL', () => {
  let database: Awaited<ReturnType<typeof freshDatabase>>
  /** A connection beside the store's. */
  let admin: pg.Client
  const opened: Store[] = []

  beforeAll(async () => {
    database = await freshDatabase()
    admin = new pg.Client({ connectionString: database.url })
    await admin.connect()
  })
  afterAll(async () => {
    await admin.end()
    await database.drop()
  })
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close()
  })

  const newSchema = (): string => `test_${randomUUID()}`

  async function open(schema: string): Promise<Store> {
    const store = postgresStore({ connectionString: database.url, schema })
    await store.open()
    opened.push(store)
    return store
  }

  const cutAll = (): Promise<unknown> =>
    admin.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and application_name = 'ordersaga'`,
    )

  storeContract('PostgreSQL', { durable: true, shared: true }, () => {
    const schema = newSchema()
    return Promise.resolve({
      open: () => open(schema),
      drop: () => Promise.resolve(), // goes with the database
      async passes(ms) {
        await admin.query(`update "${schema}".saga set stored_at = stored_at - $1`, [ms])
      },
      async bytesOf(sagaId) {
        const { rows } = await admin.query<{ bytes: number }>(
          `select sum(octet_length(events) + coalesce(octet_length(state), 0))::int as bytes
           from "${schema}".saga_history where saga_id = $1`,
          [sagaId],
        )
        return rows[0]?.bytes ?? NaN
      },
      async damage(sagaId) {
        await admin.query(`delete from "${schema}".saga_history where saga_id = $1`, [sagaId])
      },
    })
  })

  describe('connections', () => {
    test('may be cut during commits under load: nothing acknowledged is lost, and the store goes on by itself', async () => {
      const store = await open(newSchema())
      const sagas = 400
      const workers = 8
      const moves = 5
      let acknowledged = 0
      let broken = 0
      let begun = 0

      /** Commits for as long as it takes; after a broken connection it looks whether the commit took effect. */
      async function surely(batch: { starts: Start[]; moves: Move[] }, id: string, seq: number): Promise<void> {
        for (;;) {
          try {
            const { starts: started, moves: moved } = await store.commit(batch)
            // After a cut, what was committed all the same is known or stale now.
            expect([...started.map(({ kind }) => kind), ...moved]).toHaveLength(1)
            const {
              sagas: [saga],
            } = await read(id)
            if (saga?.seq !== seq) throw new Error(`saga ${id} should be at ${seq} and is at ${saga?.seq}`)
            acknowledged++
            return
          } catch (error) {
            if (!(error instanceof StoreError) || error.code !== 'unavailable') throw error
            broken++
          }
        }
      }

      async function read(id: string): ReturnType<Store['load']> {
        for (;;) {
          try {
            return await store.load([id])
          } catch (error) {
            if (!(error instanceof StoreError) || error.code !== 'unavailable') throw error
            broken++
          }
        }
      }

      const ids: string[] = []
      async function work(): Promise<void> {
        while (begun < sagas) {
          begun++
          const start = startOf({ key: `key-${begun}` })
          ids.push(start.saga.id)
          await surely({ starts: [start], moves: [] }, start.saga.id, 1)
          for (let seq = 1; seq <= moves; seq++)
            await surely({ starts: [], moves: [moveOf({ ...start.saga, seq })] }, start.saga.id, seq + 1)
        }
      }

      let cuts = 0
      let working = true
      async function cut(): Promise<void> {
        for (let next = 50; working;) {
          if (acknowledged >= next) {
            await cutAll()
            cuts++
            next = acknowledged + 50
          } else await new Promise((resolve) => setImmediate(resolve))
        }
      }
      const cutting = cut()
      await Promise.all(Array.from({ length: workers }, work))
      working = false
      await cutting

      expect(cuts).toBeGreaterThan(10)
      expect(broken).toBeGreaterThan(0)
      expect(ids).toHaveLength(sagas)
      expect(await store.count({})).toBe(sagas)
      for (const id of ids) expect((await store.history(id)).map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6])
      expect(await store.ready()).toBe(true)
    })

    test('that are idle may be cut: the next call gets a new one, at the latest after one refusal', async () => {
      const store = await open(newSchema())
      await store.load([])
      await cutAll()
      await vi.waitFor(() => store.load([]), 10_000)
    })

    test('that listen are made again, and hints are heard again', async () => {
      const schema = newSchema()
      const [here, there] = [await open(schema), await open(schema)]
      const hints = new Set<string>()
      const watching = await there.watch?.(watcherOf((ids) => ids.forEach((id) => hints.add(id))))
      const { saga } = startOf()
      await cutAll()
      await vi.waitFor(() => here.commit({ starts: [startOf({ id: saga.id })], moves: [] }), 10_000)
      await Promise.all([there.heartbeat('there', testVersions), here.heartbeat('here', testVersions)])
      await here.heartbeat('here', testVersions)
      let { seq } = saga
      await vi.waitFor(
        async () => {
          await here.commit({ starts: [], moves: [moveOf({ ...saga, seq: seq++ })] })
          expect(hints).toContain(saga.id)
        },
        { timeout: 10_000 },
      )
      await watching?.close()
    })
  })

  test('a process that begins to watch is told of moves without waiting for the next heartbeat', async () => {
    const schema = newSchema()
    const here = await open(schema)
    const listening = await here.watch?.(watcherOf())
    await here.heartbeat('here', testVersions) // alone
    const there = await open(schema)
    const hints = new Set<string>()
    const watching = await there.watch?.(watcherOf((ids) => ids.forEach((id) => hints.add(id))))
    const { saga, ...start } = startOf()
    await here.commit({ starts: [{ saga, ...start }], moves: [] })
    let { seq } = saga
    await vi.waitFor(async () => {
      await here.commit({ starts: [], moves: [moveOf({ ...saga, seq: seq++ })] })
      expect(hints).toContain(saga.id)
    }, 10_000)
    await Promise.all([listening?.close(), watching?.close()])
  })

  test('a row that the database refuses takes its batch with it, and the store says so', async () => {
    const store = await open(newSchema())
    const [first, second] = [startOf({ key: 'k' }), startOf()]
    await store.commit({ starts: [first, second], moves: [] })
    const batch = {
      starts: [startOf()],
      moves: [moveOf(first.saga), moveOf(second.saga, { businessKey: 'a NUL \u0000 in a text' })],
    }
    await expect(store.commit(batch)).rejects.toMatchObject({ name: 'StoreError', code: 'refused' })
    expect(await store.count({})).toBe(2)
    expect((await store.load([first.saga.id])).sagas).toEqual([first.saga])
    expect((await store.commit({ starts: [], moves: [moveOf(first.saga)] })).moves).toEqual(['moved'])
  })

  test('no statement scans a table, although each was prepared while the tables were empty', async () => {
    const schema = newSchema()
    const store = await open(schema)
    const figures = async (): Promise<{ scans: number; written: number }> => {
      const { rows } = await admin.query<{ scans: string; written: string }>(
        `select sum(seq_scan) as scans, sum(n_tup_ins + n_tup_upd + n_tup_del) as written
         from pg_stat_user_tables where schemaname = $1 and relname in ('saga', 'saga_history')`,
        [schema],
      )
      return { scans: Number(rows[0]?.scans), written: Number(rows[0]?.written) }
    }
    /** What a connection counts is published when it ends: by then nobody else is connected. */
    const alone = async (): Promise<void> => {
      const { rows } = await admin.query(
        'select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
      )
      expect(rows).toEqual([])
    }
    await store.close()
    await vi.waitFor(alone, 10_000)
    const made = await figures()
    await store.open()
    const starts = Array.from({ length: 500 }, (_, index) =>
      startOf(
        { key: `k${index}`, businessKey: `b${index}`, status: index < 250 ? 'COMPLETED' : 'STARTED' },
        index >= 250,
      ),
    )
    const everything = async (batch: readonly Start[]): Promise<void> => {
      const ids = batch.map(({ saga }) => saga.id)
      await store.commit({ starts: batch, moves: [] })
      await store.commit({ starts: batch, moves: batch.map(({ saga }) => moveOf(saga, { status: saga.state.status })) })
      await store.load(ids)
      for (const filter of [{}, { status: 'COMPLETED' as const }, { businessKey: 'b1' }, { createdFrom: 1 }]) {
        const page = await store.list(filter, { limit: 10 })
        if (page.next !== null) await store.list(filter, { limit: 10, after: page.next })
        await store.count(filter)
      }
      await store.history(ids[0] ?? '')
      await store.moves((await store.moves(null, 10)).next)
      await store.claim('heir', 0, 100, testVersions)
      await store.liveVersions()
      await store.prune(60_000, 100)
    }
    await everything([])
    await everything(starts)
    await store.close()
    await vi.waitFor(alone, 10_000)
    expect((await figures()).written - made.written).toBeGreaterThanOrEqual(2000)
    expect((await figures()).scans - made.scans).toBe(0)
  })

  test('a database that does not exist is made where that is asked for, also by several at once', async () => {
    const url = new URL(database.url)
    url.pathname = `/${url.pathname.slice(1)}_made`
    const stores = Array.from({ length: 4 }, () => postgresStore({ connectionString: url.href, createDatabase: true }))
    try {
      await expect(postgresStore({ connectionString: url.href }).open()).rejects.toMatchObject({
        code: 'unusable',
        message: `Database ${url.pathname.slice(1)} does not exist. Check its name in the URL, create it, or have it made with createDatabase: true.`,
      })
      await Promise.all(stores.map((store) => store.open()))
      expect(await Promise.all(stores.map((store) => store.ready()))).toEqual([true, true, true, true])
    } finally {
      await Promise.all(stores.map((store) => store.close()))
      await admin.query(`drop database if exists "${url.pathname.slice(1)}" with (force)`)
    }
  })

  test('a migration is waited for however long it takes, and what all wait for is told', async () => {
    const schema = newSchema()
    await admin.query(`create schema "${schema}"; create table "${schema}".saga_schema (version int not null)`)
    const problems: string[] = []
    const store = postgresStore({
      connectionString: database.url,
      schema,
      commandTimeoutMs: 50,
      onProblem: ({ what }) => problems.push(what),
    })
    opened.push(store)
    const other = new pg.Client({ connectionString: database.url })
    await other.connect()
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    try {
      await other.query(`begin; lock table "${schema}".saga_schema`)
      const opening = store.open()
      await vi.waitFor(async () => {
        const { rows } = await admin.query(
          `select from pg_stat_activity where wait_event_type = 'Lock' and query like $1
           and clock_timestamp() - query_start > interval '200 milliseconds'`,
          [`%${schema}%`],
        )
        expect(rows).toHaveLength(1)
      }, 10_000)
      vi.advanceTimersByTime(60_000)
      await other.query('commit')
      await opening
      vi.advanceTimersByTime(60_000)
    } finally {
      vi.useRealTimers()
      await other.end()
    }
    const told = `Schema ${schema} is still being made or upgraded, here or by another process; nothing runs until that is done.`
    expect(problems).toEqual([told, told])
    await expect.poll(() => store.ready()).toBe(true)
  })

  test('a schema of the third version goes on, with what is new since', async () => {
    const schema = newSchema()
    const [old, fresh] = [startOf({ owner: 'gone', key: 'k' }), startOf()]
    const { saga, entry } = old
    const text = migrations.slice(0, 3).join('').replaceAll('S.', `"${schema}".`)
    await admin.query(`create schema "${schema}"; create table "${schema}".saga_schema (version int not null); ${text};
      insert into "${schema}".saga_schema values (3);
      insert into "${schema}".saga_process values ('old', clock_timestamp())`)
    await admin.query(
      `insert into "${schema}".saga
         (id, definition, version, seq, owner, key, fingerprint, created_at, updated_at, status, live)
       values ($1, 'test', 1, 1, 'gone', 'k', 'fingerprint', $2, $2, 'STARTED', true)`,
      [saga.id, at],
    )
    await admin.query(
      `insert into "${schema}".saga_history (saga_id, seq, at, input_id, events) values ($1, 1, $2, $3, $4)`,
      [saga.id, at, entry.inputId, JSON.stringify(entry.events)],
    )
    const store = await open(schema)
    expect((await store.load([saga.id])).sagas).toEqual([saga])
    expect((await store.claim('heir', 60_000, 10, testVersions)).sagas).toHaveLength(1)
    const batch = { starts: [fresh], moves: [moveOf(saga)] }
    expect(await store.commit(batch)).toEqual({ starts: [{ kind: 'started' }], moves: ['moved'] })
    expect(await store.definitions()).toEqual([])
    await store.hand([{ sagaId: saga.id, inputId: 'a', input: { type: 'time' } }])
    expect(await store.handed(testVersions, 10)).toHaveLength(1)
    // A process of the version before says no more than that it lives.
    await admin.query(
      `insert into "${schema}".saga_process (owner, beat_at) values ('old', clock_timestamp())
       on conflict (owner) do update set beat_at = excluded.beat_at`,
    )
    const one = { definition: 'other', version: 1, structure: 'one', cancellable: false }
    expect(await store.register('me', [one], 60_000)).toEqual([])
  })

  describe('the moves of all sagas', () => {
    const names = (moves: readonly { readonly sagaId: string; readonly seq: number }[]): string[] =>
      moves.map(({ sagaId, seq }) => `${sagaId} ${seq}`)

    /** From a position on; where others write on the same server, they may be visible a little later. */
    async function movesAfter(
      store: Store,
      after: string | null,
      count: number,
    ): Promise<Awaited<ReturnType<Store['moves']>>> {
      return vi.waitFor(
        async () => {
          const page = await store.moves(after)
          expect(page.moves).toHaveLength(count)
          return page
        },
        { timeout: 50_000, interval: 20 },
      )
    }

    test('of an earlier version come first, saga by saga, with the status of each, also where that version still runs', async () => {
      const schema = newSchema()
      const text = migrations.slice(0, 4).join('').replaceAll('S.', `"${schema}".`)
      await admin.query(`create schema "${schema}"; create table "${schema}".saga_schema (version int not null); ${text};
        insert into "${schema}".saga_schema values (4)`)
      const insert = async (entry: HistoryEntry): Promise<void> => {
        const values = [entry.sagaId, entry.seq, entry.at, entry.inputId, JSON.stringify(entry.events)]
        const history = `"${schema}".saga_history (saga_id, seq, at, input_id, events)`
        await admin.query(`insert into ${history} values ($1, $2, $3, $4, $5)`, values)
      }
      const [one, two] = [startOf({ id: 'b' }), startOf({ id: 'a' })]
      for (const { saga } of [one, two])
        await admin.query(
          `insert into "${schema}".saga (id, definition, version, seq, owner, fingerprint, created_at, updated_at, status, live)
           values ($1, 'test', 1, 1, 'owner', 'fingerprint', $2, $2, 'STARTED', true)`,
          [saga.id, at],
        )
      await insert(one.entry)
      await insert(two.entry)
      const store = await open(schema)
      expect(names((await store.moves(null, 1)).moves)).toEqual(['a 1'])
      const before = await movesAfter(store, null, 2)
      expect(names(before.moves)).toEqual(['a 1', 'b 1'])
      // A process of the version before goes on for a while, and knows no status.
      const parked = moveOf(one.saga, { status: 'PARKED', live: false })
      for (const entry of parked.entries) await insert(entry)
      await store.commit({ starts: [], moves: [moveOf(two.saga)] })
      const { moves, damaged } = await movesAfter(store, before.next, 2)
      expect(moves.map(({ sagaId, seq, status }) => [sagaId, seq, status])).toEqual([
        ['b', 2, 'PARKED'],
        ['a', 2, 'STARTED'],
      ])
      expect(damaged).toEqual([])
      expect(await store.history('b')).toEqual([one.entry, ...parked.entries])
    })

    test('wait for a transaction that began before them, and come after what it brings', async () => {
      const store = postgresStore({ connectionString: database.url, schema: newSchema() })
      await store.open()
      opened.push(store)
      const other = new pg.Client({ connectionString: database.url })
      await other.connect()
      try {
        await other.query('begin')
        const early = startOf()
        await store.commitIn(other, early)
        const late = startOf()
        await store.commit({ starts: [late], moves: [] })
        const none = await store.moves(null)
        expect(none.moves).toEqual([])
        await other.query('commit')
        const first = await vi.waitFor(async () => {
          const page = await store.moves(none.next, 1)
          expect(page.moves).toHaveLength(1)
          return page
        }, 50_000)
        expect(names(first.moves)).toEqual([`${early.saga.id} 1`])
        expect(names((await movesAfter(store, first.next, 1)).moves)).toEqual([`${late.saga.id} 1`])
      } finally {
        await other.end()
      }
    })

    test('go on after a dump was restored on a server that has counted fewer transactions', async () => {
      const schema = newSchema()
      const [one, two] = [startOf(), startOf()]
      const before = await open(schema)
      await before.commit({ starts: [one], moves: [] })
      await before.close()
      await admin.query(`update "${schema}".saga_history set xact = xact + 1000000000000`)
      const [store] = await Promise.all([open(schema), open(schema)])
      const { moves, next } = await movesAfter(store, null, 1)
      expect(names(moves)).toEqual([`${one.saga.id} 1`])
      await store.commit({ starts: [two], moves: [moveOf(one.saga)] })
      expect(names((await movesAfter(store, next, 2)).moves).toSorted()).toEqual(
        [`${one.saga.id} 2`, `${two.saga.id} 1`].toSorted(),
      )
    })

    test('cost what a page has, however many there are before it and after it', async () => {
      const schema = newSchema()
      const store = await open(schema)
      const starts = Array.from({ length: 200 }, () => startOf())
      await store.commit({ starts, moves: [] })
      let sagas = starts.map(({ saga }) => saga)
      for (let round = 0; round < 20; round++) {
        const moves = sagas.map((saga) => moveOf(saga))
        await store.commit({ starts: [], moves })
        sagas = sagas.map((saga) => ({ ...saga, seq: saga.seq + 1 }))
      }
      const halfway = (await store.moves(null, 1_000)).next
      const [, xact = '', seq = '', id = ''] = halfway.split(':')
      const text = movesText.replaceAll('S.', `"${schema}".`)
      const client = new pg.Client({ connectionString: database.url })
      await client.connect()
      await client.query(`${planning}; prepare page as ${text}`)
      const { rows } = await client.query<{ 'QUERY PLAN': string }>(
        `explain (analyze) execute page(${xact}, '${id}', ${seq}, 10)`,
      )
      await client.end()
      const plan = rows.map((row) => row['QUERY PLAN']).join('\n')
      // Of the transactions before and after it, only one or two are looked at.
      const read = /Index Scan using saga_history_xact .*rows=(\d+)/.exec(plan)?.[1]
      expect(Number(read), plan).toBeLessThanOrEqual(600)
    })
  })

  test('a schema of a newer version is refused and left as it is', async () => {
    const schema = newSchema()
    await (await open(schema)).close()
    await admin.query(`insert into "${schema}".saga_schema values (999)`)
    await expect(postgresStore({ connectionString: database.url, schema }).open()).rejects.toMatchObject({
      code: 'unusable',
      message: expect.stringContaining('newer version (999') as string,
    })
  })

  test('eight stores that open a new place at once make it once', async () => {
    const schema = newSchema()
    const stores = await Promise.all(Array.from({ length: 8 }, () => open(schema)))
    const starts = stores.map(() => startOf())
    await Promise.all(stores.map((store, index) => store.commit({ starts: starts.slice(index, index + 1), moves: [] })))
    for (const store of stores) expect(await store.count({})).toBe(8)
    const { rows } = await admin.query(`select version from "${schema}".saga_schema`)
    expect(rows).toHaveLength(1)
  })

  describe('a role', () => {
    const asRole = (role: string, name = ''): string => {
      const url = new URL(database.url)
      url.username = role
      url.password = 'secret'
      if (name !== '') url.pathname = `/${name}`
      return url.href
    }

    test('that the server does not know is refused for good, with a word on what to check', async () => {
      const store = postgresStore({ connectionString: asRole('nobody_of_this_name') })
      await expect(store.open()).rejects.toMatchObject({
        code: 'unusable',
        message: expect.stringMatching(/nobody_of_this_name.*Check the URL and the role's rights/) as string,
      })
    })

    test('whose rights or login are taken while sagas run waits for them: the store is unavailable, not unusable', async () => {
      const role = `r${randomUUID().replaceAll('-', '')}`
      const schema = newSchema()
      await admin.query(`create role ${role} login password 'secret'`)
      await admin.query(`create schema "${schema}" authorization ${role}`)
      const store = postgresStore({ connectionString: asRole(role), schema })
      try {
        await store.open()
        const { saga, ...start } = startOf()
        await store.commit({ starts: [{ saga, ...start }], moves: [] })
        const waits = async (): Promise<void> => {
          const refusal = { name: 'StoreError', code: 'unavailable' }
          await expect(store.commit({ starts: [startOf()], moves: [] })).rejects.toMatchObject(refusal)
          await expect(store.load([saga.id])).rejects.toMatchObject(refusal)
          expect(await store.ready()).toBe(false)
        }
        await admin.query(`revoke usage on schema "${schema}" from ${role}`)
        await expect(store.load([saga.id])).rejects.toMatchObject({
          code: 'unavailable',
          message: expect.stringContaining("Check the URL and the role's rights") as string,
        })
        await admin.query(`grant usage on schema "${schema}" to ${role}`)
        await admin.query(`alter role ${role} nologin`)
        await cutAll()
        await vi.waitFor(waits, 10_000)
        await admin.query(`alter role ${role} login`)
        await vi.waitFor(async () => {
          expect((await store.commit({ starts: [], moves: [moveOf(saga)] })).moves).toEqual(['moved'])
        }, 10_000)
      } finally {
        await store.close()
        await admin.query(`drop schema "${schema}" cascade`)
        await admin.query(`drop role ${role}`)
      }
    })

    test('that may not make the database or the schema is told which right is missing', async () => {
      const role = `r${randomUUID().replaceAll('-', '')}`
      await admin.query(`create role ${role} login password 'secret'`)
      try {
        const missing = postgresStore({
          connectionString: asRole(role, 'missing_database'),
          createDatabase: true,
        })
        await expect(missing.open()).rejects.toMatchObject({
          code: 'unusable',
          message: expect.stringContaining('Database missing_database does not exist and could not be made') as string,
        })
        const forbidden = postgresStore({ connectionString: asRole(role), schema: newSchema() })
        await expect(forbidden.open()).rejects.toMatchObject({
          code: 'unusable',
          message: expect.stringContaining('permission denied') as string,
        })
      } finally {
        await admin.query(`drop role ${role}`)
      }
    })
  })

  test('a server that is not there is unavailable', async () => {
    const store = postgresStore({ connectionString: 'postgres://nobody@127.0.0.1:1/nothing' })
    await expect(store.open()).rejects.toMatchObject({ code: 'unavailable' })
    expect(await store.ready()).toBe(false)
  })

  test('a store that was closed answers nothing more, and says so', async () => {
    const store = await open(newSchema())
    await store.close()
    await store.close()
    expect(await store.ready()).toBe(false)
    await expect(store.load(['x'])).rejects.toMatchObject({ code: 'unavailable' })
  })
})
