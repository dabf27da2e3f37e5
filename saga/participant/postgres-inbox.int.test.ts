import pg from 'pg'
import { afterEach, expect, test } from 'vitest'
import { freshDatabase, postgresUrl, suiteOn } from '../../tests/kit/parts.ts'
import type { Clock } from '../clock.ts'
import { participantContract } from '../declare/contract.ts'
import { memoryTransport } from '../transports/memory/memory-transport.ts'
import type { Message } from '../transports/transport.ts'
import { inboxContract } from './inbox.contract.ts'
import { done, handle, participant } from './participant.ts'
import { postgresInbox, postgresInboxSql, type PostgresInboxOptions } from './postgres-inbox.ts'

const reply = (commandId: string) => ({ commandId, kind: 'done', type: 'ok', payload: null }) as const

/** Limits that are reached only when they are told to be. */
class Waits implements Clock {
  readonly #open = new Map<() => void, number>()
  now = (): number => Date.now()
  elapsed = (): number => performance.now()
  after(ms: number, callback: () => void): { cancel(): void } {
    this.#open.set(callback, ms)
    return { cancel: () => void this.#open.delete(callback) }
  }
  /** Those of up to so many milliseconds. */
  end(most: number): void {
    for (const [callback, ms] of this.#open) if (ms <= most) callback()
  }
}

suiteOn('PostgreSQL', await postgresUrl(), 'the inbox in PostgreSQL', () => {
  const cleanups: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  })

  const newPool = async () => {
    const { url, drop } = await freshDatabase()
    const pool = new pg.Pool({ connectionString: url })
    pool.on('error', () => undefined)
    return { url, pool, close: () => pool.end().then(drop) }
  }
  const open = async (options: PostgresInboxOptions = {}) => {
    const { url, pool, close } = await newPool()
    cleanups.push(close)
    const inbox = postgresInbox<pg.PoolClient>(pool, options)
    await inbox.migrate()
    return { url, pool, inbox }
  }

  inboxContract('PostgreSQL', async () => {
    const { pool, close } = await newPool()
    const inbox = postgresInbox<pg.PoolClient>(pool)
    await inbox.migrate()
    return { inbox, passes: (ms) => pool.query('update ordersaga_inbox set stored_at = stored_at - $1', [ms]), close }
  })

  test('a participant obeys once, with its effect on the own tables, and answers a repeat from the inbox', async () => {
    const { pool, inbox } = await open()
    await pool.query('create table booking (id text)')
    const text = { '~standard': { version: 1, vendor: 'test', validate: (value: unknown) => ({ value }) } } as const
    const book = participantContract('hotel').command('book', { payload: text, done: ['hotel.booked', text] })
    const transport = memoryTransport()
    const replies: Message[] = []
    await transport.subscribe('hotel_events', 'test', async (batch) => void replies.push(...batch))
    const handled = handle(book, async (tx: pg.PoolClient, { id }) => {
      await tx.query('insert into booking values ($1)', [id])
      return done({ id })
    })
    await participant({ name: 'hotel', source: 'hotel', inbox, handlers: [handled] }).attach(transport)
    const command = { id: 'c1', type: 'book', correlationId: 's1', timestamp: new Date(0).toISOString(), payload: {} }
    for (let i = 1; i <= 2; i++) {
      await transport.publish('hotel_commands', [command])
      await expect.poll(() => replies.length).toBe(i)
    }
    expect((await pool.query('select id from booking')).rows).toEqual([{ id: 'c1' }])
    expect(replies.map(({ payload }) => payload)).toEqual([{ id: 'c1' }, { id: 'c1' }])
    await transport.close()
  })

  test('two processes that start at once make one table, also beside what was made by hand', async () => {
    const { pool, close } = await newPool()
    cleanups.push(close)
    await pool.query(postgresInboxSql('by_hand'))
    for (const table of ['ordersaga_inbox', 'by_hand'])
      await Promise.all([1, 2, 3].map(() => postgresInbox<pg.PoolClient>(pool, { table }).migrate()))
    expect((await pool.query('select count(*)::int as n from by_hand')).rows).toEqual([{ n: 0 }])
  })

  test('a connection that is cut in the middle is unavailable and not the end of the process; the next has another', async () => {
    const { pool, inbox } = await open()
    const cut = inbox.transaction(async (tx) => {
      const { rows } = await tx.query<{ pid: number }>('select pg_backend_pid() as pid')
      await pool.query('select pg_terminate_backend($1)', [rows[0]?.pid])
      await inbox.save(tx, [reply('c')])
    })
    await expect(cut).rejects.toMatchObject({ code: 'unavailable' })
    await inbox.transaction((tx) => inbox.save(tx, [reply('c')]))
  })

  test('a server that takes no writes since a failover is unavailable', async () => {
    const { url, inbox } = await open()
    await inbox.transaction(async () => undefined)
    const readOnly = new pg.Pool({ connectionString: url, options: '-c default_transaction_read_only=on' })
    cleanups.push(() => readOnly.end())
    const reading = postgresInbox<pg.PoolClient>(readOnly)
    const saved = reading.transaction((tx) => reading.save(tx, [reply('c')]))
    await expect(saved).rejects.toMatchObject({ code: 'unavailable', cause: { code: '25006' } })
  })

  test('a statement that gets no answer is given up, with its connection', async () => {
    const waits = new Waits()
    const { pool, inbox } = await open({ clock: waits })
    const holder = await pool.connect()
    await holder.query('begin')
    await holder.query('lock table ordersaga_inbox')
    const saved = inbox.transaction((tx) => inbox.save(tx, [reply('c')])).catch((error: unknown) => error)
    const blocked = 'select 1 from pg_locks where not granted and relation = $1::regclass'
    await expect.poll(async () => (await holder.query(blocked, ['ordersaga_inbox'])).rows).toHaveLength(1)
    waits.end(30_000)
    expect(await saved).toMatchObject({ code: 'unavailable', message: 'PostgreSQL gave no answer within 30000 ms' })
    expect(pool.totalCount).toBe(1)
    await holder.query('commit')
    holder.release()
    await inbox.transaction((tx) => inbox.save(tx, [reply('d')]))
  })

  test('handlers that hang are given up with their transaction, and a pool without a free connection is unavailable', async () => {
    const { url } = await open()
    const pool = new pg.Pool({ connectionString: url, max: 1 })
    cleanups.push(() => pool.end())
    const waits = new Waits()
    const inbox = postgresInbox<pg.PoolClient>(pool, { clock: waits })
    let entered = false
    const hung = inbox.transaction(() => {
      entered = true
      return new Promise(() => undefined)
    })
    await expect.poll(() => entered).toBe(true)
    const second = inbox.transaction(async () => undefined)
    for (const each of [hung, second]) each.catch(() => undefined)
    waits.end(60_000)
    await expect(second).rejects.toMatchObject({ code: 'unavailable' })
    await expect(hung).rejects.toThrow('the handlers of one transaction took longer than 60000 ms')
    await inbox.transaction((tx) => inbox.save(tx, [reply('c')]))
  })

  test('what is no pool and no limit is refused', async () => {
    expect(() => postgresInbox({} as never)).toThrow('postgresInbox takes a Pool of pg first')
    const { pool } = await open()
    expect(() => postgresInbox<pg.PoolClient>(pool, { limitMs: Infinity })).toThrow('limitMs')
  })
})
