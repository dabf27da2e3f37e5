import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import Libsql from 'libsql'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { at, moveOf, startOf, testVersions } from '../sagas.testkit.ts'
import type { Problem } from '../../problem.ts'
import { storeContract } from '../store.contract.ts'
import { migrations } from './migrations.ts'
import { sqliteStore } from './sqlite-store.ts'

const makeFolder = (): string => mkdtempSync(join(tmpdir(), 'ordersaga-store-'))

storeContract('SQLite', { durable: true, shared: false }, () => {
  const folder = makeFolder()
  let passed = 0
  return Promise.resolve({
    open: async () => {
      const store = sqliteStore({ file: join(folder, 'sagas.db'), now: () => Date.now() + passed })
      await store.open()
      return store
    },
    passes: async (ms) => void (passed += ms),
    drop: () => Promise.resolve(rmSync(folder, { recursive: true })),
    damage: (sagaId) => {
      const raw = new Libsql(join(folder, 'sagas.db'))
      raw.prepare('delete from saga_history where saga_id = ?').run(sagaId)
      raw.close()
      return Promise.resolve()
    },
  })
})

describe('a SQLite file', () => {
  let folder: string
  let file: string

  beforeEach(() => {
    folder = makeFolder()
    file = join(folder, 'made', 'on the way', 'sagas.db')
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  test('is locked while it is open, and the error names it', async () => {
    const store = sqliteStore({ file })
    await store.open()
    await expect(sqliteStore({ file }).open()).rejects.toMatchObject({
      code: 'locked',
      message: `${file} is in use by another process. Stop it, or choose another folder.`,
    })
    await store.close()
    const next = sqliteStore({ file })
    await next.open()
    await next.close()
  })

  test('is locked for other processes, which cannot even read it', async () => {
    const store = sqliteStore({ file })
    await store.open()
    await store.commit({ starts: [startOf()], moves: [] })
    const read = `new (require('libsql'))(process.argv[1]).prepare('select count(*) from saga').get()`
    const other = promisify(execFile)(process.execPath, ['-e', read, file], { cwd: import.meta.dirname })
    await expect(other).rejects.toMatchObject({ stderr: expect.stringContaining('SQLITE_BUSY') as string })
    await store.close()
  })

  test('of a newer version is refused and left as it is', async () => {
    const store = sqliteStore({ file })
    await store.open()
    await store.close()
    const raw = new Libsql(file)
    raw.exec('pragma user_version = 999')
    raw.close()
    await expect(sqliteStore({ file }).open()).rejects.toMatchObject({
      code: 'unusable',
      message: expect.stringContaining('newer version (schema 999') as string,
    })
  })

  test('of the first version is brought up to date, and its sagas are as they were', async () => {
    const { saga, entry } = startOf()
    const old = new Libsql(join(folder, 'old.db'))
    old.exec(migrations[0] as string)
    old.exec('pragma user_version = 1')
    old
      .prepare(`insert into saga values (?,'test',1,1,?,'owner',null,'fingerprint',null,?,?,'STARTED',1)`)
      .run(saga.id, JSON.stringify(saga.state), at, at)
    old.prepare(`insert into saga_history values (?,1,?,'start',?)`).run(saga.id, at, JSON.stringify(entry.events))
    old.close()
    const store = sqliteStore({ file: join(folder, 'old.db') })
    await store.open()
    expect((await store.load([saga.id])).sagas).toEqual([saga])
    const move = moveOf(saga)
    expect((await store.commit({ starts: [], moves: [move] })).moves).toEqual(['moved'])
    expect((await store.load([saga.id])).sagas).toMatchObject([{ seq: 2, state: move.state }])
    await store.close()
  })

  test('of the second version goes on, with what is new since', async () => {
    const [old, fresh] = [startOf({ key: 'k' }), startOf()]
    const path = join(folder, 'old.db')
    const raw = new Libsql(path)
    for (const migration of migrations.slice(0, 2)) raw.exec(migration)
    raw.exec('pragma user_version = 2')
    raw
      .prepare(
        `insert into saga (id, definition, version, seq, owner, key, fingerprint, created_at, updated_at, status, live)
                values (?, 'test', 1, 1, 'owner', 'k', 'fingerprint', ?, ?, 'STARTED', 1)`,
      )
      .run(old.saga.id, at, at)
    raw
      .prepare('insert into saga_history (saga_id, seq, at, input_id, events) values (?, 1, ?, ?, ?)')
      .run(old.saga.id, at, old.entry.inputId, JSON.stringify(old.entry.events))
    raw.close()
    const store = sqliteStore({ file: path })
    await store.open()
    expect((await store.load([old.saga.id])).sagas).toEqual([old.saga])
    const batch = { starts: [fresh], moves: [moveOf(old.saga)] }
    expect(await store.commit(batch)).toEqual({ starts: [{ kind: 'started' }], moves: ['moved'] })
    expect(await store.definitions()).toEqual([])
    await store.hand([{ sagaId: old.saga.id, inputId: 'a', input: { type: 'time' } }])
    expect(await store.handed(testVersions, 10)).toHaveLength(1)
    await store.close()
  })

  test('of the previous version tells its moves in their order, with the status of each, and goes on', async () => {
    const [one, two] = [startOf({ id: 'b', businessKey: 'order-1' }), startOf({ id: 'a' })]
    const path = join(folder, 'old.db')
    const raw = new Libsql(path)
    for (const migration of migrations.slice(0, 3)) raw.exec(migration)
    raw.exec('pragma user_version = 3')
    const parked = moveOf(one.saga, { status: 'PARKED', live: false })
    for (const { saga, seq } of [{ saga: one.saga, seq: 2 }, two].map((each) => ({ seq: 1, ...each })))
      raw
        .prepare(
          `insert into saga (id, definition, version, seq, owner, fingerprint, business_key, created_at, updated_at, status, live)
           values (?, 'test', 1, ?, 'owner', 'fingerprint', ?, ?, ?, 'STARTED', 1)`,
        )
        .run(saga.id, seq, saga.businessKey, at, at)
    const entries = [one.entry, two.entry, ...parked.entries]
    for (const { sagaId, seq, inputId, events } of entries)
      raw
        .prepare('insert into saga_history (saga_id, seq, at, input_id, events) values (?, ?, ?, ?, ?)')
        .run(sagaId, seq, at, inputId, JSON.stringify(events))
    raw.close()
    const store = sqliteStore({ file: path })
    await store.open()
    expect(await store.history('b')).toEqual([one.entry, ...parked.entries])
    expect(await store.history('b', 1)).toEqual(parked.entries)
    const told = entries.map((entry) => ({
      ...entry,
      definition: 'test',
      version: 1,
      businessKey: entry.sagaId === 'b' ? 'order-1' : null,
    }))
    const { moves, next } = await store.moves(null)
    expect(moves).toEqual(told)
    await store.commit({ starts: [], moves: [moveOf(two.saga)] })
    expect((await store.moves(next)).moves).toMatchObject([{ sagaId: 'a', seq: 2, status: 'STARTED' }])
    await store.close()
  })

  test('with moves that cannot be made out tells all others, and whose they are', async () => {
    const store = sqliteStore({ file })
    await store.open()
    const [broken, beheaded, sound] = [startOf(), startOf(), startOf()]
    await store.commit({ starts: [broken, beheaded], moves: [moveOf(broken.saga), moveOf(beheaded.saga)] })
    await store.commit({ starts: [sound], moves: [] })
    await store.close()
    const raw = new Libsql(file)
    raw.prepare(`update saga_history set events = '{' where saga_id = ? and seq = 2`).run(broken.saga.id)
    // Whose status an earlier version did not keep, and whose first move is gone.
    raw.prepare('update saga_history set status = null where saga_id = ?').run(beheaded.saga.id)
    raw.prepare('delete from saga_history where saga_id = ? and seq = 1').run(beheaded.saga.id)
    raw.close()
    await store.open()
    const { moves, damaged, next } = await store.moves(null)
    expect(moves.map(({ sagaId, seq }) => [sagaId, seq])).toEqual([broken, sound].map(({ saga }) => [saga.id, 1]))
    expect(damaged).toMatchObject([
      { id: broken.saga.id, problem: { code: 'damaged' } },
      { id: beheaded.saga.id, problem: { message: expect.stringContaining('history up to move 2 has 1') as string } },
    ])
    expect(await store.moves(next)).toEqual({ moves: [], damaged: [], next })
    for (const { saga } of [broken, beheaded])
      await expect(store.history(saga.id, 1)).rejects.toMatchObject({ code: 'damaged' })
    await store.close()
  })

  test('makes nothing old because its clock jumps, tells of it once, and forgets that when the clock is right', async () => {
    const day = 86_400_000
    const problems: Problem[] = []
    let ahead = 0
    const now = (): number => Date.now() + ahead
    const opened = async () => {
      const store = sqliteStore({ file, now, onProblem: (problem) => problems.push(problem) })
      await store.open()
      return store
    }
    const first = await opened()
    await first.commit({ starts: [startOf({ status: 'COMPLETED', key: 'k' }, false)], moves: [] })
    expect(await first.prune(30 * day, 10)).toBe(0)
    ahead = 400 * day
    for (let run = 0; run < 3; run += 1) expect(await first.prune(30 * day, 10)).toBe(0)
    expect(problems).toEqual([
      { what: expect.stringMatching(/^the clock of this machine is 399 days ahead/) as string, needsPerson: true },
    ])
    await first.close()
    // Nor over starts: each makes it a day older at most.
    for (let start = 0; start < 3; start += 1) {
      const again = await opened()
      expect(await again.prune(30 * day, 10)).toBe(0)
      await again.close()
    }
    ahead = 0
    const last = await opened()
    const told = problems.length
    expect(await last.prune(30 * day, 10)).toBe(0)
    expect(problems).toHaveLength(told)
    const again = await last.commit({ starts: [startOf({ key: 'k' })], moves: [] })
    expect(again.starts).toMatchObject([{ kind: 'exists' }])
    await last.close()
  })

  test('that is vacuumed keeps the places of moves', async () => {
    const store = sqliteStore({ file })
    await store.open()
    const [ended, live] = [startOf({ status: 'COMPLETED' }, false), startOf()]
    await store.commit({ starts: [ended, live], moves: [] })
    const { next } = await store.moves(null)
    await store.prune(0, 1)
    await store.close()
    const raw = new Libsql(file)
    raw.exec('vacuum')
    raw.close()
    await store.open()
    await store.commit({ starts: [], moves: [moveOf(live.saga)] })
    expect((await store.moves(next)).moves).toMatchObject([{ sagaId: live.saga.id, seq: 2 }])
    await store.close()
  })

  test('that lost a part of a history says so, and never makes a state up', async () => {
    const store = sqliteStore({ file })
    await store.open()
    const { saga, ...start } = startOf()
    await store.commit({ starts: [{ saga, ...start }], moves: [moveOf(saga)] })
    await store.close()
    const raw = new Libsql(file)
    raw.exec('delete from saga_history where seq = 2')
    raw.close()
    await store.open()
    expect(await store.load([saga.id])).toMatchObject({
      sagas: [],
      damaged: [
        { problem: { message: expect.stringContaining('at move 2, but after 0 its history has 1') as string } },
      ],
    })
    await store.close()
  })

  test('that is none is refused', async () => {
    const text = join(folder, 'sagas.db')
    writeFileSync(text, 'not a database, but long enough to be read as one '.repeat(100))
    await expect(sqliteStore({ file: text }).open()).rejects.toMatchObject({ code: 'unusable' })
  })

  test('whose folder cannot be made is refused with its path', async () => {
    writeFileSync(join(folder, 'made'), 'a file where a folder should be')
    await expect(sqliteStore({ file }).open()).rejects.toMatchObject({
      code: 'unusable',
      message: expect.stringContaining(file) as string,
    })
  })

  test('that was closed answers nothing more, and says so', async () => {
    const store = sqliteStore({ file })
    await store.open()
    await store.close()
    await store.close()
    expect(await store.ready()).toBe(false)
    await expect(store.load(['x'])).rejects.toMatchObject({ code: 'unavailable' })
  })

  test.each([
    ['removed', (place: string) => rmSync(place, { recursive: true })],
    ['moved away', (place: string) => renameSync(place, `${place}-moved`)],
    [
      'replaced',
      (place: string) => {
        renameSync(place, `${place}-moved`)
        cpSync(`${place}-moved`, place, { recursive: true })
      },
    ],
  ])('whose folder is %s while it is open takes nothing more, and is not ready', async (_how, happens) => {
    const store = sqliteStore({ file })
    await store.open()
    await store.commit({ starts: [startOf()], moves: [] })
    expect(await store.ready()).toBe(true)
    happens(dirname(file))
    const refusal = {
      code: 'unwritable',
      message: `${file} was removed while it was in use. Stop this process, put the file back or move its folder away, and start again.`,
      cause: { code: 'removed' },
    }
    await expect(store.commit({ starts: [startOf()], moves: [] })).rejects.toMatchObject(refusal)
    await expect(store.count({})).rejects.toMatchObject(refusal)
    await expect(store.transaction(() => undefined)).rejects.toMatchObject(refusal)
    expect(await store.ready()).toBe(false)
    await store.close()
  })

  test('that is gone when a transaction of the caller ends keeps nothing of that; back at its place, all is as it was', async () => {
    const store = sqliteStore({ file })
    await store.open()
    const start = startOf()
    const started = store.transaction(async (tx) => {
      await store.commitIn(tx, start)
      renameSync(file, `${file}-moved`)
    })
    await expect(started).rejects.toMatchObject({ code: 'unwritable' })
    renameSync(`${file}-moved`, file)
    expect(await store.ready()).toBe(true)
    expect(await store.count({})).toBe(0)
    expect((await store.commit({ starts: [start], moves: [] })).starts).toEqual([{ kind: 'started' }])
    await store.close()
  })

  test('that has no room for a batch stores nothing of it, can be read, and takes it when there is room', async () => {
    const store = sqliteStore({ file })
    await store.open()
    const saga = startOf()
    await store.commit({ starts: [saga], moves: [] })
    await store.transaction((tx) => tx.exec('pragma max_page_count = 20'))
    const batch = {
      starts: [startOf({ key: 'k' }), startOf({ input: 'x'.repeat(200_000) })],
      moves: [moveOf(saga.saga)],
    }
    await expect(store.commit(batch)).rejects.toMatchObject({ code: 'unwritable', cause: { code: 'SQLITE_FULL' } })
    expect((await store.load([saga.saga.id])).sagas).toEqual([saga.saga])
    expect(await store.count({})).toBe(1)
    await store.transaction((tx) => tx.exec('pragma max_page_count = 100000'))
    expect(await store.commit(batch)).toEqual({ starts: [{ kind: 'started' }, { kind: 'started' }], moves: ['moved'] })
    await store.close()
  })

  test('that refuses a row keeps nothing of its batch', async () => {
    const store = sqliteStore({ file })
    await store.open()
    const [kept, hurt] = [startOf(), startOf()]
    await store.commit({ starts: [kept, hurt], moves: [] })
    // The same entry twice in one move breaks the history's key.
    const broken = moveOf(hurt.saga)
    const batch = {
      starts: [startOf({ key: 'k' })],
      moves: [moveOf(kept.saga), { ...broken, entries: [...broken.entries, ...broken.entries] }],
    }
    await expect(store.commit(batch)).rejects.toMatchObject({ code: 'refused' })
    expect((await store.load([kept.saga.id, hurt.saga.id])).sagas).toEqual([kept.saga, hurt.saga])
    expect(await store.count({})).toBe(2)
    expect((await store.commit({ starts: [], moves: [moveOf(kept.saga)] })).moves).toEqual(['moved'])
    await store.close()
  })
})
