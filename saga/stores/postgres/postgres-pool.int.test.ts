/** The store on a pool of the caller's, in his transactions, and over connections that fall silent. */
import { randomUUID } from 'node:crypto'
import { connect, createServer, type Server, type Socket } from 'node:net'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { freshDatabase, postgresUrl, suiteOn } from '../../../tests/kit/parts.ts'
import { moveOf, startOf, testVersions, watcherOf } from '../sagas.testkit.ts'
import { storeContract } from '../store.contract.ts'
import type { PostgresClient, PostgresStore, PostgresStoreOptions } from './postgres-store.ts'
import { postgresStore } from './postgres-store.ts'

suiteOn('PostgreSQL', await postgresUrl(), 'on a real PostgreSQL, with a pool of the caller', () => {
  let database: Awaited<ReturnType<typeof freshDatabase>>
  const pools: pg.Pool[] = []
  const stores: PostgresStore[] = []

  beforeAll(async () => {
    database = await freshDatabase()
  })
  afterEach(async () => {
    for (const store of stores.splice(0)) await store.close()
    for (const pool of pools.splice(0)) await pool.end()
  })
  afterAll(() => database.drop())

  const newSchema = (): string => `test_${randomUUID()}`

  function newPool(config: pg.PoolConfig = {}): pg.Pool {
    const pool = new pg.Pool({ connectionString: database.url, ...config })
    pool.on('error', () => undefined)
    pools.push(pool)
    return pool
  }

  async function open(options: PostgresStoreOptions): Promise<PostgresStore> {
    const store = postgresStore(options)
    await store.open()
    stores.push(store)
    return store
  }

  storeContract('PostgreSQL on a pool', { durable: true, shared: true }, () => {
    const schema = newSchema()
    // Not one of those that end before the contract has closed its stores.
    const pool = new pg.Pool({ connectionString: database.url, max: 20 })
    return Promise.resolve({
      async open() {
        const store = postgresStore({ pool, schema })
        await store.open()
        return store
      },
      async damage(sagaId) {
        await pool.query(`delete from "${schema}".saga_history where saga_id = $1`, [sagaId])
      },
      async passes(ms) {
        await pool.query(`update "${schema}".saga set stored_at = stored_at - $1`, [ms])
      },
      drop: () => pool.end(),
    })
  })

  test('what else is asked over the pool finds it as it was: no setting is changed, no statement prepared', async () => {
    const pool = newPool({ max: 3 })
    const store = await open({ pool, schema: newSchema() })
    const { saga, ...rest } = startOf({ owner: 'gone', status: 'COMPLETED' })
    await store.commit({ starts: [{ saga, ...rest }], moves: [moveOf(saga)] })
    await store.register('me', [], 0)
    await store.list({})
    await store.claim('me', 0, 10, testVersions)
    const clients = await Promise.all([pool.connect(), pool.connect(), pool.connect()])
    for (const client of clients) {
      const { rows } = await client.query<Record<string, unknown>>(
        `select count(*) as prepared, current_setting('enable_seqscan') as seqscan,
                current_setting('plan_cache_mode') as plans from pg_prepared_statements`,
      )
      // Counts are texts, as the package has them.
      expect(rows).toEqual([{ prepared: '0', seqscan: 'on', plans: 'auto' }])
      client.release()
    }
    await store.close()
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
  })

  describe('connections', () => {
    /** Passes on what comes, until it is told to fall silent. */
    let proxy: Server
    let url: string
    const sockets = new Set<Socket>()

    beforeEach(async () => {
      const { hostname, port } = new URL(database.url)
      proxy = createServer((near) => {
        const far = connect({ host: hostname, port: Number(port) })
        for (const socket of [near, far])
          sockets.add(socket.on('error', () => undefined).on('close', () => (near.destroy(), far.destroy())))
        near.pipe(far).pipe(near)
      })
      await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
      const { port: own } = proxy.address() as { port: number }
      const through = new URL(database.url)
      through.host = `127.0.0.1:${own}`
      url = through.href
    })
    afterEach(() => {
      for (const socket of sockets) socket.destroy()
      sockets.clear()
      proxy.close()
    })

    function silence(): void {
      for (const socket of sockets) socket.unpipe().pause()
    }

    test.each(['of a pool of the caller', 'of its own'])(
      '%s that fall silent are given up in time, and the store goes on',
      async (whose) => {
        const source = whose === 'of its own' ? { connectionString: url } : { pool: newPool({ connectionString: url }) }
        const store = await open({ ...source, schema: newSchema(), commandTimeoutMs: 5_000 })
        const { saga, ...rest } = startOf({ key: 'k' })
        await store.commit({ starts: [{ saga, ...rest }], moves: [] })
        silence()
        await expect(store.commit({ starts: [], moves: [moveOf(saga)] })).rejects.toMatchObject({
          code: 'unavailable',
          message: expect.stringContaining('PostgreSQL does not answer') as string,
        })
        await vi.waitFor(async () => {
          const seq = (await store.load([saga.id])).sagas[0]?.seq ?? 0
          expect((await store.commit({ starts: [], moves: [moveOf({ ...saga, seq })] })).moves).toEqual(['moved'])
        }, 30_000)
      },
    )

    test('that listen and fall silent are made anew', async () => {
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
      try {
        const schema = newSchema()
        const there = await open({ connectionString: url, schema, commandTimeoutMs: 5_000 })
        const here = await open({ connectionString: database.url, schema })
        const told: string[] = []
        const watching = await there.watch?.(watcherOf(undefined, () => told.push('waiting')))
        silence()
        // It is asked after ten seconds, waited for, and made anew after a pause.
        await vi.waitFor(async () => {
          await vi.advanceTimersByTimeAsync(6_000)
          await here.hand([])
          expect(told).not.toEqual([])
        }, 20_000)
        await watching?.close()
      } finally {
        vi.useRealTimers()
      }
    })

    test('that are all in use elsewhere are waited for in time, and taken when they are free', async () => {
      const pool = newPool({ max: 3 })
      const store = await open({ pool, schema: newSchema(), commandTimeoutMs: 5_000 })
      const held = await Promise.all([pool.connect(), pool.connect(), pool.connect()])
      await expect(store.load([])).rejects.toMatchObject({
        code: 'unavailable',
        message: expect.stringContaining('no answer within 5000 ms') as string,
      })
      for (const client of held) client.release()
      await vi.waitFor(async () => expect(await store.load([])).toEqual({ sagas: [], damaged: [] }), 20_000)
      await expect.poll(() => pool.idleCount).toBe(pool.totalCount) // the late one was given back, too
    })
  })

  describe("a start in the caller's own transaction", () => {
    let pool: pg.Pool
    let store: PostgresStore

    beforeEach(async () => {
      pool = newPool()
      store = await open({ connectionString: database.url, schema: newSchema() })
    })

    async function inTransaction<T>(work: (tx: pg.PoolClient) => Promise<T>, end: 'commit' | 'rollback'): Promise<T> {
      const tx = await pool.connect()
      try {
        await tx.query('begin')
        const result = await work(tx)
        await tx.query(end)
        return result
      } finally {
        tx.release(true)
      }
    }

    test('is there, and told of to all, once that commits, and belongs to whoever claims it', async () => {
      const told: string[] = []
      const watching = await store.watch?.(watcherOf(undefined, () => told.push('waiting')))
      const start = startOf({ owner: 'me', key: 'k', businessKey: 'b' })
      await inTransaction(async (tx) => {
        expect(await store.commitIn(tx, start)).toEqual({ kind: 'started' })
        expect((await store.load([start.saga.id])).sagas).toEqual([])
        expect(told).toEqual([])
      }, 'commit')
      expect((await store.load([start.saga.id])).sagas).toEqual([{ ...start.saga, owner: '' }])
      expect(await store.history(start.saga.id)).toEqual([start.entry])
      await vi.waitFor(() => expect(told).toEqual(['waiting']), 10_000)
      await store.heartbeat('me', testVersions)
      expect((await store.claim('me', 60_000, 10, testVersions)).sagas).toEqual([start.saga])
      expect((await store.commit({ starts: [], moves: [moveOf(start.saga)] })).moves).toEqual(['moved'])
      await watching?.close()
    })

    test('is refused where there is none: on a pool, a client that has not begun, one that has ended it', async () => {
      const client = await pool.connect()
      const refused = {
        code: 'refused',
        message: expect.stringMatching(/has no transaction open.*pool.connect/) as string,
      }
      await expect(store.commitIn(pool, startOf({ key: 'k' }))).rejects.toMatchObject(refused)
      await expect(store.commitIn(client, startOf({ key: 'k' }))).rejects.toMatchObject(refused)
      await client.query('begin')
      const earlier: PostgresClient = { query: (query) => client.query(query) } // tells nothing of its transaction
      expect(await store.commitIn(earlier, startOf({ key: 'k' }))).toEqual({ kind: 'started' })
      await client.query('rollback')
      await expect(store.commitIn(client, startOf({ key: 'k' }))).rejects.toMatchObject(refused)
      client.release()
      expect(await store.count({})).toBe(0)
    })

    test('is gone with it', async () => {
      const start = startOf({ key: 'k' })
      await inTransaction((tx) => store.commitIn(tx, start), 'rollback')
      expect(await store.count({})).toBe(0)
      expect(await store.history(start.saga.id)).toEqual([])
      expect(await inTransaction((tx) => store.commitIn(tx, start), 'commit')).toEqual({ kind: 'started' })
    })

    test('under a used key or id names the saga that holds it, and leaves the transaction sound', async () => {
      const [first, second] = [startOf({ key: 'k', fingerprint: 'first' }), startOf({ key: 'k' })]
      const exists = { kind: 'exists', id: first.saga.id, fingerprint: 'first' }
      await inTransaction(async (tx) => {
        expect(await store.commitIn(tx, first)).toEqual({ kind: 'started' })
        expect(await store.commitIn(tx, second)).toEqual(exists)
        expect(await store.commitIn(tx, startOf({ id: first.saga.id, key: 'free' }))).toEqual(exists)
        await expect(store.commitIn(tx, startOf({ businessKey: 'a NUL \0' }))).rejects.toMatchObject({
          code: 'refused',
        })
        await expect(store.commitIn(tx, startOf({ input: 1n }))).rejects.toMatchObject({ code: 'refused' })
        expect(await store.commitIn(tx, startOf({ key: 'free' }))).toEqual({ kind: 'started' })
      }, 'commit')
      expect(await inTransaction((tx) => store.commitIn(tx, second), 'commit')).toEqual(exists)
      expect((await store.commit({ starts: [second], moves: [] })).starts).toEqual([exists])
      expect(await store.count({})).toBe(2)
    })

    test.each([
      ['commit', 'exists'],
      ['rollback', 'started'],
    ] as const)('whose key another transaction holds waits for its %s: it %s', async (end, kind) => {
      let rival: Promise<{ kind: string }> | undefined
      await inTransaction(async (tx) => {
        await store.commitIn(tx, startOf({ key: 'k' }))
        rival = inTransaction((other) => store.commitIn(other, startOf({ key: 'k' })), 'commit')
        await vi.waitFor(async () => {
          const { rows } = await pool.query(
            `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
          )
          expect(rows).toHaveLength(1)
        }, 10_000)
      }, end)
      expect((await rival)?.kind).toBe(kind)
      expect(await store.count({})).toBe(1)
    })

    test('needs one', async () => {
      for (const odd of [undefined, null, {}, 'begin'])
        await expect(store.commitIn(odd as never, startOf())).rejects.toMatchObject({
          code: 'refused',
          message: expect.stringContaining('must be a connection of the package pg') as string,
        })
    })
  })

  test('inputs that are handed over while sagas are removed leave none behind', async () => {
    const schema = newSchema()
    const pool = newPool()
    const store = await open({ pool, schema })
    for (let round = 0; round < 100; round++) {
      const starts = Array.from({ length: 50 }, () => startOf({ status: 'COMPLETED' }, false))
      await store.commit({ starts, moves: [] })
      const inputs = starts.map(({ saga }) => ({ sagaId: saga.id, inputId: 'a', input: { type: 'time' } as const }))
      const removing = (): Promise<number> => store.prune(0, 50)
      await Promise.all([removing(), store.hand(inputs), removing()])
      while ((await store.count({})) > 0) await removing()
    }
    expect((await pool.query(`select from "${schema}".saga_handed`)).rows).toEqual([])
  })

  describe('options are refused', () => {
    const connectNever = (): void => undefined
    test.each([
      [undefined, 'needs either a connectionString'],
      [{}, 'needs either a connectionString'],
      [{ connectionString: 'postgres://x', pool: { connect: connectNever } }, 'needs either'],
      [{ connectionString: '' }, 'connectionString of postgresStore must be a text'],
      [{ connectionString: 5 }, 'connectionString of postgresStore must be a text'],
      [{ pool: {} }, 'pool of postgresStore must be a Pool of the package pg'],
      [{ pool: { connect: connectNever }, createDatabase: true }, 'for a connectionString only'],
      [{ pool: { connect: connectNever, options: { max: 2 } } }, 'Let it have 3 or more'],
      [{ connectionString: 'postgres://x', schema: '' }, 'schema of postgresStore must be the name of a schema'],
      [{ connectionString: 'postgres://x', schema: 'ü'.repeat(32) }, 'must be the name of a schema: 1 to 63 bytes'],
      [{ connectionString: 'postgres://x', schmea: 'sagas' }, "postgresStore has no option 'schmea'"],
      [{ connectionString: 'postgres://x', commandTimeoutMs: 0 }, 'commandTimeoutMs of postgresStore must be a whole'],
      [{ connectionString: 'postgres://x', commandTimeoutMs: Infinity }, 'must be a whole number of milliseconds'],
      [{ connectionString: 'postgres://x', maxConnections: 1.5 }, 'maxConnections of postgresStore must be a whole'],
      [{ connectionString: 'postgres://x', createDatabase: 'yes' }, 'createDatabase of postgresStore must be true or'],
      [{ connectionString: 'postgres://x', onProblem: {} }, 'onProblem of postgresStore must be a function'],
    ])('where they are %j', (options, why) => {
      expect(() => postgresStore(options as PostgresStoreOptions)).toThrow(
        expect.objectContaining({
          name: 'StoreError',
          code: 'unusable',
          message: expect.stringContaining(why) as string,
        }) as Error,
      )
    })
  })
})
