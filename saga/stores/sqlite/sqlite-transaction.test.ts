/** The caller's own transactions on the store's file. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { moveOf, startOf, testVersions, watcherOf } from '../sagas.testkit.ts'
import type { SqliteStore, SqliteStoreOptions, SqliteTransaction } from './sqlite-store.ts'
import { sqliteStore } from './sqlite-store.ts'

let folder: string
let store: SqliteStore

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ordersaga-store-'))
  store = sqliteStore({ file: join(folder, 'sagas.db'), transactionMs: 200 })
  await store.open()
  await store.transaction((tx) => tx.exec('create table orders (id text primary key, total integer)'))
})
afterEach(async () => {
  await store.close()
  rmSync(folder, { recursive: true })
})

const addOrder = (tx: SqliteTransaction, id: string): number =>
  tx.prepare('insert into orders values (?, ?)').run(id, 5).changes

const orders = (): Promise<unknown[]> => store.transaction((tx) => tx.prepare('select id from orders').all())

test('a saga is started together with what the caller writes, and belongs to whoever claims it', async () => {
  const start = startOf({ owner: 'me', key: 'k' })
  const told: string[] = []
  const watching = await store.watch?.(watcherOf(undefined, () => told.push('waiting')))
  const result = await store.transaction(async (tx) => {
    expect(addOrder(tx, 'a')).toBe(1)
    expect(tx.prepare('select total from orders where id = ?').get('a')).toMatchObject({ total: 5 })
    const started = await store.commitIn(tx, start)
    expect(told).toEqual([])
    return started
  })
  expect(result).toEqual({ kind: 'started' })
  expect(told).toEqual(['waiting'])
  await watching?.close()
  expect((await store.load([start.saga.id])).sagas).toEqual([{ ...start.saga, owner: '' }])
  expect(await store.history(start.saga.id)).toEqual([start.entry])
  expect(await orders()).toMatchObject([{ id: 'a' }])
  await store.heartbeat('me', testVersions)
  expect((await store.claim('me', 60_000, 10, testVersions)).sagas).toEqual([start.saga])
})

test('neither is there where the work fails, and the caller gets his own error', async () => {
  const failed = new Error('no stock')
  const work = async (tx: SqliteTransaction): Promise<void> => {
    addOrder(tx, 'a')
    await store.commitIn(tx, startOf())
    throw failed
  }
  await expect(store.transaction(work)).rejects.toBe(failed)
  await expect(
    store.transaction((tx) => {
      addOrder(tx, 'b')
      addOrder(tx, 'b')
    }),
  ).rejects.toThrow('UNIQUE')
  expect(await orders()).toEqual([])
  expect(await store.count({})).toBe(0)
})

test('a start under a used key names the saga that holds it, and the transaction goes on', async () => {
  const [first, second] = [startOf({ key: 'k', fingerprint: 'first' }), startOf({ key: 'k' })]
  await store.transaction(async (tx) => {
    await store.commitIn(tx, first)
    const exists = { kind: 'exists', id: first.saga.id, fingerprint: 'first' }
    expect(await store.commitIn(tx, second)).toEqual(exists)
    await expect(store.commitIn(tx, startOf({ input: 1n }))).rejects.toMatchObject({ code: 'refused' })
    addOrder(tx, 'a')
  })
  expect(await store.count({})).toBe(1)
  expect(await orders()).toHaveLength(1)
})

test('whatever else is asked of the store waits for the end of the transaction, in its order', async () => {
  const { saga, ...rest } = startOf()
  await store.commit({ starts: [{ saga, ...rest }], moves: [] })
  const done: string[] = []
  const note = <T>(result: T): T => (done.push('after'), result)
  let goOn: () => void = () => undefined
  const going = new Promise<void>((resolve) => (goOn = resolve))
  const all = [
    store.transaction(async (tx) => {
      addOrder(tx, 'a')
      await going
      done.push('transaction')
      throw new Error('rolled back')
    }),
    store.commit({ starts: [], moves: [moveOf(saga)] }).then(note),
    store.load([saga.id]).then(note),
    store.transaction((tx) => addOrder(tx, 'b')).then(note),
  ]
  goOn()
  const [first, , load, ...others] = await Promise.allSettled(all)
  expect(first).toMatchObject({ status: 'rejected', reason: { message: 'rolled back' } })
  expect(load).toMatchObject({ status: 'fulfilled', value: { sagas: [{ seq: 2 }] } })
  expect(others).toMatchObject([{ status: 'fulfilled' }])
  expect(done).toEqual(['transaction', 'after', 'after', 'after'])
  expect(await orders()).toMatchObject([{ id: 'b' }])
})

test('a transaction that takes too long, as one that waits for the store itself, is rolled back and cannot go on', async () => {
  vi.useFakeTimers()
  try {
    let late: SqliteTransaction | undefined
    const stuck = store.transaction(async (tx) => {
      late = tx
      addOrder(tx, 'a')
      await store.count({})
    })
    const [outcome] = await Promise.all([Promise.allSettled([stuck]), vi.advanceTimersByTimeAsync(200)])
    const message = expect.stringContaining('not done within 200 ms and was rolled back') as string
    expect(outcome).toMatchObject([{ status: 'rejected', reason: { code: 'unavailable', message } }])
    expect(await orders()).toEqual([])
    expect(() => addOrder(late as SqliteTransaction, 'a')).toThrow('The transaction has ended')
    await expect(store.commitIn(late as SqliteTransaction, startOf())).rejects.toMatchObject({ code: 'refused' })
  } finally {
    vi.useRealTimers()
  }
})

test('a statement that was prepared in a transaction is of no use after it', async () => {
  const insert = await store.transaction((tx) => tx.prepare('insert into orders values (?, 1)'))
  expect(() => insert.run('a')).toThrow('The transaction has ended')
  expect(await orders()).toEqual([])
})

test('a transaction that was ended by a statement of its own is told of', async () => {
  const ended = store.transaction((tx) => tx.exec('rollback'))
  await expect(ended).rejects.toMatchObject({
    code: 'refused',
    message: expect.stringContaining('Leave commit') as string,
  })
  expect(await store.ready()).toBe(true)
})

test('a start needs the transaction of this very store', async () => {
  const other = sqliteStore({ file: ':memory:' })
  await other.open()
  await other.transaction(async (tx) => {
    await expect(store.commitIn(tx, startOf())).rejects.toMatchObject({ code: 'refused' })
  })
  for (const odd of [undefined, null, {}])
    await expect(store.commitIn(odd as never, startOf())).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringContaining('no open transaction of this store') as string,
    })
  await other.close()
})

test.each([
  [undefined, 'sqliteStore needs the file'],
  [{}, 'sqliteStore needs the file'],
  [{ file: '' }, 'file of sqliteStore must be a text'],
  [{ file: 5 }, 'file of sqliteStore must be a text'],
  [{ path: 'x' }, "sqliteStore has no option 'path': it takes file, now, onProblem, transactionMs"],
  [{ file: 'x', now: 5 }, 'now of sqliteStore must be a function'],
  [{ file: 'x', onProblem: 5 }, 'onProblem of sqliteStore must be a function'],
  [{ file: 'x', transactionMs: NaN }, 'transactionMs of sqliteStore must be a whole number of milliseconds'],
])('options %j are refused', (options, why) => {
  expect(() => sqliteStore(options as unknown as SqliteStoreOptions)).toThrow(
    expect.objectContaining({
      name: 'StoreError',
      code: 'unusable',
      message: expect.stringContaining(why) as string,
    }) as Error,
  )
})
