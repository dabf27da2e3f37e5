import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { redisUrl, suiteOn } from '../../../tests/kit/parts.ts'
import { at, moveOf, startOf, testVersions, watcherOf } from '../sagas.testkit.ts'
import { storeContract } from '../store.contract.ts'
import type { SagaFilter, Store } from '../store.ts'
import { runScript } from './connection.ts'
import { batchArguments } from './rows.ts'
import { redisStore } from './redis-store.ts'
import * as scripts from './scripts.ts'

suiteOn('Redis', await redisUrl(), 'on a real Redis', (url) => {
  /** A connection beside the store's. */
  let admin: Redis
  const prefixes: string[] = []
  const opened: Store[] = []

  beforeAll(() => {
    admin = new Redis(url)
  })
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close()
    for (const prefix of prefixes.splice(0))
      for await (const keys of admin.scanStream({ match: `${prefix}:*`, count: 1_000 }))
        if ((keys as string[]).length > 0) await admin.unlink(...(keys as string[]))
  })
  afterAll(() => admin.quit())

  function newPrefix(): string {
    const prefix = `test-${randomUUID()}`
    prefixes.push(prefix)
    return prefix
  }

  async function open(prefix: string): Promise<Store> {
    const store = redisStore({ url, prefix })
    await store.open()
    opened.push(store)
    return store
  }

  storeContract('Redis', { durable: true, shared: true }, () => {
    const prefix = newPrefix()
    return Promise.resolve({
      open: () => open(prefix),
      drop: () => Promise.resolve(),
      async passes(ms) {
        const ended = await admin.zrange(`${prefix}:ended`, '0', '-1')
        for (const id of ended) await admin.zincrby(`${prefix}:ended`, -ms, id)
      },
      async damage(sagaId) {
        await admin.del(`${prefix}:history:${sagaId}`)
      },
    })
  })

  describe('lists', () => {
    test('find the few among the many, whatever is asked for together', { timeout: 120_000 }, async () => {
      const store = await open(newPrefix())
      const many = 12_000 // more than one run of the script looks at
      const starts = Array.from({ length: many }, (_, index) =>
        startOf({
          createdAt: at + index,
          // Each is common by itself; both together are rare.
          businessKey: index % 2 === 0 ? 'even' : 'odd',
          status: index % 2 === 0 && index !== 10 && index !== 11_000 ? 'COMPLETED' : 'STARTED',
          definition: index % 3 === 0 ? 'third' : 'other',
        }),
      )
      for (let from = 0; from < many; from += 1_000)
        await store.commit({ starts: starts.slice(from, from + 1_000), moves: [] })
      const times = async (filter: SagaFilter, limit: number): Promise<number[]> => {
        const found: number[] = []
        for (let after: string | undefined; ;) {
          const page = await store.list(filter, { limit, after })
          found.push(...page.items.map(({ createdAt }) => createdAt - at))
          if (page.next === null) return found
          after = page.next
        }
      }
      expect(await times({ businessKey: 'even', status: 'STARTED' }, 1)).toEqual([11_000, 10])
      expect(await store.count({ businessKey: 'even', status: 'STARTED' })).toBe(2)
      expect(await store.count({ businessKey: 'odd', status: 'STARTED' })).toBe(many / 2)
      expect(await times({ businessKey: 'even', status: 'STARTED', createdBefore: at + 11_000 }, 100)).toEqual([10])
      expect(await store.count({ businessKey: 'even', status: 'STARTED', createdFrom: at + 11 })).toBe(1)
      expect(await times({ businessKey: 'odd', definition: 'third', createdFrom: at + 11_980 }, 2)).toEqual([
        11_997, 11_991, 11_985,
      ])
      expect(await store.count({ definition: 'third', status: 'COMPLETED' })).toBe(many / 6)
      expect(await store.count({ createdFrom: at + 0.5, createdBefore: at + 2.5 })).toBe(2)
      expect(await store.count({ createdFrom: -1, createdBefore: Infinity })).toBe(many)
    })

    test('read no more rows than they show where an index fits', async () => {
      const prefix = newPrefix()
      const store = await open(prefix)
      const starts = Array.from({ length: 500 }, (_, index) =>
        startOf({ createdAt: at + index, businessKey: `b${index}`, status: index < 250 ? 'COMPLETED' : 'STARTED' }),
      )
      await store.commit({ starts, moves: [] })
      const rowsRead = async (filter: SagaFilter): Promise<number> => {
        const calls = async (): Promise<number> =>
          Number(/cmdstat_hmget:calls=(\d+)/.exec(await admin.info('commandstats'))?.[1] ?? 0)
        const before = await calls()
        await store.list(filter, { limit: 10 })
        return (await calls()) - before
      }
      for (const filter of [
        {},
        { status: 'COMPLETED' as const },
        { definition: 'test' },
        { definition: 'test', status: 'COMPLETED' as const },
        { createdBefore: at + 100 },
        { businessKey: 'b7', status: 'COMPLETED' as const, definition: 'test' },
      ])
        // Other suites may use the server at the same time: it has to come out so once.
        await vi.waitFor(async () => expect(await rowsRead(filter)).toBeLessThanOrEqual(11), 20_000)
    })
  })

  test(
    'many live sagas are looked through in runs that others need not wait for long',
    { timeout: 120_000 },
    async () => {
      const prefix = newPrefix()
      const store = await open(prefix)
      const starts = Array.from({ length: 12_000 }, (_, index) => {
        const version = index % 4_000 === 7 ? 1 : 2
        return startOf({ owner: index < 6_000 ? 'gone' : 'long gone', version, status: 'STARTED' })
      })
      const parked = Array.from({ length: 6_000 }, () => startOf({ version: 3, status: 'PARKED' }, false))
      for (const batch of [starts.slice(0, 6_000), starts.slice(6_000), parked])
        await store.commit({ starts: batch, moves: [] })
      const versions = await store.liveVersions()
      expect(versions.toSorted((a, b) => a.version - b.version)).toEqual([
        { definition: 'test', version: 1, count: 3 },
        { definition: 'test', version: 2, count: 11_997 },
        { definition: 'test', version: 3, count: 6_000 },
      ])
      const run = await runScript(admin, scripts.liveVersions, [prefix, '', '0'])
      const [owner, cursor, found] = run as [string, string, [string, string, number][]]
      expect([owner, cursor]).not.toContain('')
      expect(found.reduce((sum, [, , count]) => sum + count, 0)).toBeLessThan(6_000)
      const [low] = (await runScript(admin, scripts.settledVersions, [prefix, 'status:PARKED', '-'])) as [string]
      expect(low).not.toBe('')
      await store.heartbeat('heir', testVersions)
      const taken = [
        await store.claim('heir', 60_000, 2, testVersions),
        await store.claim('heir', 60_000, 2, testVersions),
      ]
      expect(taken.map(({ sagas }) => sagas.length)).toEqual([2, 1])
      const seen = new Set<string>()
      for (let left = 11_997; left > 0; left = 11_997 - seen.size) {
        const { sagas } = await store.claim('heir', 60_000, 700, [{ definition: 'test', version: 2 }])
        expect(sagas).toHaveLength(Math.min(left, 700))
        sagas.forEach(({ id }) => seen.add(id))
      }
    },
  )

  describe('what is left of a saga', () => {
    test('that was removed is nothing', async () => {
      const prefix = newPrefix()
      const store = await open(prefix)
      const empty = (await admin.keys(`${prefix}:*`)).toSorted()
      const ended = Array.from({ length: 3 }, (_, index) =>
        startOf({ key: `k${index}`, businessKey: `b${index}`, definition: `d${index}` }),
      )
      await store.commit({ starts: ended, moves: [] })
      const ends = ended.map(({ saga }) => moveOf(saga, { status: 'COMPLETED', live: false }))
      await store.commit({ starts: [], moves: ends })
      expect(await store.prune(0, 100)).toBe(3)
      await store.claim('heir', 0, 10, testVersions) // forgets owners who have nothing left
      // Nothing but how many moves there were: their places are not given again.
      expect((await admin.keys(`${prefix}:*`)).toSorted()).toEqual([`${prefix}:places`, ...empty])
    })

    test('that moves back and forth between statuses, owners and business keys is found in one place only', async () => {
      const store = await open(newPrefix())
      const { saga, ...start } = startOf({ owner: 'a', businessKey: 'x' })
      await store.commit({ starts: [{ saga, ...start }], moves: [] })
      const steps = [
        { status: 'COMPLETED', live: false, owner: 'b', businessKey: 'y' },
        { status: 'CANCELLING', live: true, owner: 'a', businessKey: null },
        { status: 'PARKED', live: false, owner: 'a', businessKey: 'x' },
        { status: 'FAILED', live: false, owner: 'c', businessKey: 'x' },
        { status: 'CANCELLING', live: true, owner: 'c', businessKey: 'z' },
      ] as const
      let seq = 1
      for (const step of steps) {
        await store.commit({ starts: [], moves: [moveOf({ ...saga, seq }, step)] })
        seq += 1
      }
      const statuses = ['STARTED', 'COMPLETED', 'CANCELLING', 'PARKED', 'FAILED'] as const
      const counts = await Promise.all(statuses.map((status) => store.count({ status, definition: 'test' })))
      expect(counts).toEqual([0, 0, 1, 0, 0])
      const keys = await Promise.all(['x', 'y', 'z'].map((businessKey) => store.count({ businessKey })))
      expect(keys).toEqual([0, 0, 1])
      expect(await store.prune(0, 10)).toBe(0)
      expect(await store.liveVersions()).toEqual([{ definition: 'test', version: 1, count: 1 }])
      const taken = await store.claim('heir', 0, 10, testVersions)
      expect(taken.sagas).toMatchObject([{ id: saga.id, owner: 'heir' }])
      expect((await store.claim('third', 60_000, 10, testVersions)).sagas).toHaveLength(1) // the heir has never spoken
    })
  })

  test('sagas that were kept by the layout before, whole with each move, are as they were, and go on', async () => {
    const prefix = newPrefix()
    const [moved, read] = [startOf({ owner: 'gone' }), startOf({ owner: 'gone', key: 'k' })]
    const atThree = { ...moved.saga, seq: 3, state: moveOf(moved.saga).state }
    await admin.set(`${prefix}:version`, '1')
    for (const saga of [atThree, read.saga]) {
      const place = `${String(at).padStart(16, '0')}_${saga.id}`
      const named = { definition: 'test', version: 1, status: 'STARTED', owner: 'gone', fingerprint: 'fingerprint' }
      const key = saga.key === null ? '' : `=${saga.key}`
      const rest = { key, business: '', live: 1, created: at, updated: at }
      const { seq, state } = saga
      await admin.hset(`${prefix}:saga:${saga.id}`, { ...named, ...rest, seq, state: JSON.stringify(state) })
      const entries = Array.from({ length: saga.seq }, (_, index) => JSON.stringify([index + 1, at, 'input', []]))
      await admin.rpush(`${prefix}:history:${saga.id}`, ...entries)
      for (const index of ['all', 'definition:test', 'status:STARTED', 'status-definition:STARTED:test'])
        await admin.zadd(`${prefix}:${index}`, 0, place)
      await admin.sadd(`${prefix}:live:gone`, saga.id)
    }
    await admin.sadd(`${prefix}:owners`, 'gone')
    const store = await open(prefix)
    const byId = ({ id }: { id: string }, other: { id: string }): number => (id < other.id ? -1 : 1)
    const both = [atThree, read.saga].toSorted(byId)
    expect((await store.load([atThree.id, read.saga.id])).sagas.toSorted(byId)).toEqual(both)
    expect((await store.list({})).items.toSorted(byId)).toEqual(both)
    let saga = atThree
    for (let count = 0; count < 20; count++) {
      const move = moveOf(saga, { owner: 'gone', step: `step${count}` })
      expect((await store.commit({ starts: [], moves: [move] })).moves).toEqual(['moved'])
      saga = { ...saga, seq: move.toSeq, state: move.state }
      expect((await store.load([saga.id])).sagas).toEqual([saga])
    }
    expect(await admin.hexists(`${prefix}:saga:${saga.id}`, 'state')).toBe(0)
    expect((await store.claim('heir', 0, 10, testVersions)).sagas.toSorted(byId)).toEqual(
      [saga, read.saga].map((each) => ({ ...each, owner: 'heir' })).toSorted(byId),
    )
    expect(await admin.get(`${prefix}:version`)).toBe('3')
  })

  describe('moves of the version before, which gave them no place and no status', () => {
    /** Makes the moves of these sagas as that version kept them. */
    async function asBefore(prefix: string, ids: readonly string[]): Promise<void> {
      for (const id of ids) {
        const key = `${prefix}:history:${id}`
        const entries = await admin.lrange(key, 0, -1)
        const old = entries.map((text) => JSON.stringify((JSON.parse(text) as unknown[]).slice(0, 4)))
        await admin
          .multi()
          .del(key)
          .rpush(key, ...old)
          .exec()
      }
    }

    const names = (moves: readonly { readonly sagaId: string; readonly seq: number }[]): string[] =>
      moves.map(({ sagaId, seq }) => `${sagaId} ${seq}`)

    test('are all told, those of a saga in their order, before what comes next', { timeout: 120_000 }, async () => {
      const prefix = newPrefix()
      const before = await open(prefix)
      // More sagas, and more moves, than one run gives places to.
      const starts = Array.from({ length: 1_500 }, (_, index) => startOf({ createdAt: at + index }))
      const long = starts[3]?.saga.id ?? ''
      const moves = starts.slice(0, 5).map(({ saga }) => moveOf(saga, { entries: 700, status: 'PARKED', live: false }))
      await before.commit({ starts, moves })
      await before.close()
      await asBefore(
        prefix,
        starts.map(({ saga }) => saga.id),
      )
      for (const { saga } of starts) await admin.hdel(`${prefix}:saga:${saga.id}`, 'placed')
      await admin.del(`${prefix}:moves`, `${prefix}:places`)
      await admin.set(`${prefix}:version`, '2')

      const [store] = await Promise.all([open(prefix), open(prefix)])
      const late = startOf()
      await store.commit({ starts: [late], moves: [] })
      const seen: string[] = []
      const statuses = new Set<string>()
      for (let after: string | null = null; ;) {
        const page: Awaited<ReturnType<Store['moves']>> = await store.moves(after, 1_000)
        expect(page.damaged).toEqual([])
        if (page.next === after) break
        seen.push(...names(page.moves))
        page.moves.forEach(({ sagaId, seq, status }) => statuses.add(`${sagaId === long} ${seq > 1} ${status}`))
        after = page.next
      }
      const lengths = starts.map((_, index) => (index < 5 ? 701 : 1))
      expect(seen).toEqual([
        ...starts.flatMap(({ saga }, index) =>
          Array.from({ length: lengths[index] ?? 0 }, (__, before) => `${saga.id} ${before + 1}`),
        ),
        `${late.saga.id} 1`,
      ])
      expect([...statuses].toSorted()).toEqual(
        ['false false STARTED', 'false true PARKED', 'true false STARTED', 'true true PARKED'].toSorted(),
      )
      const page = await store.history(long, 690, 3)
      expect(page.map(({ seq, status }) => [seq, status])).toEqual([691, 692, 693].map((seq) => [seq, 'PARKED']))
    })

    test('that one makes while others run this version already come with the next move of their saga', async () => {
      const prefix = newPrefix()
      const store = await open(prefix)
      const { saga, ...start } = startOf()
      const bystander = startOf()
      await store.commit({ starts: [{ saga, ...start }], moves: [] })
      const { next } = await store.moves(null)
      await store.commit({ starts: [], moves: [moveOf(saga, { entries: 3 })] })
      await admin.zrem(`${prefix}:moves`, `2:${saga.id}`, `3:${saga.id}`, `4:${saga.id}`)
      await admin.hset(`${prefix}:saga:${saga.id}`, 'placed', '1')
      await asBefore(prefix, [saga.id])
      expect((await store.moves(next)).moves).toEqual([])
      const moves = [moveOf({ ...saga, seq: 4 }), moveOf({ ...saga, seq: 5 })]
      await store.commit({ starts: [bystander], moves })
      expect(names((await store.moves(next)).moves).toSorted()).toEqual(
        [`${bystander.saga.id} 1`, ...[2, 3, 4, 5, 6].map((seq) => `${saga.id} ${seq}`)].toSorted(),
      )
      expect(new Set(await admin.zrange(`${prefix}:moves`, '0', '-1', 'WITHSCORES')).size).toBe(14)
    })
  })

  test('the place of a move that did not come about is passed over, and one that then comes about is seen', async () => {
    const prefix = newPrefix()
    const store = await open(prefix)
    const { saga, ...start } = startOf()
    await store.commit({ starts: [{ saga, ...start }], moves: [] })
    // As a script leaves it that was stopped in the middle.
    await admin.zadd(`${prefix}:moves`, await admin.incr(`${prefix}:places`), `2:${saga.id}`)
    const { moves, next } = await store.moves(null)
    expect(moves).toHaveLength(1)
    await store.commit({ starts: [], moves: [moveOf(saga)] })
    expect((await store.moves(next)).moves).toMatchObject([{ seq: 2 }])
  })

  test('sagas with many moves are removed in several runs, all of them and with all of their moves', async () => {
    const prefix = newPrefix()
    const store = await open(prefix)
    const starts = Array.from({ length: 8 }, () => startOf())
    const moves = starts.map(({ saga }) => moveOf(saga, { entries: 1_500, status: 'COMPLETED', live: false }))
    await store.commit({ starts, moves })
    expect(await runScript(admin, scripts.prune, [prefix, '0', '2'])).toEqual([2, 1])
    expect(await runScript(admin, scripts.prune, [prefix, '0', '6'])).toEqual([4, 1])
    expect(await store.prune(0, 100)).toBe(2)
    expect(await admin.exists(`${prefix}:moves`)).toBe(0)
  })

  test('a move sends no more than its events, however large its saga is', () => {
    let { saga } = startOf({ input: { text: 'x'.repeat(10_000) } })
    const sizes = Array.from({ length: 15 }, () => {
      const move = moveOf(saga, { step: `step${saga.seq}` })
      saga = { ...saga, seq: move.toSeq, state: move.state }
      return batchArguments('me', { starts: [], moves: [move] }).join('').length
    })
    expect(Math.max(...sizes.slice(0, 14))).toBeLessThan(500)
    expect(sizes.at(-1)).toBeGreaterThan(10_000) // the sixteenth, with which the state is kept
  })

  test('scripts that the server has forgotten are sent again', async () => {
    const store = await open(newPrefix())
    const { saga, ...start } = startOf()
    await store.commit({ starts: [{ saga, ...start }], moves: [] })
    await admin.script('FLUSH')
    expect(await store.commit({ starts: [], moves: [moveOf(saga)] })).toEqual({ starts: [], moves: ['moved'] })
    await admin.script('FLUSH')
    const moves = Array.from({ length: 20 }, (_, index) => moveOf({ ...saga, seq: 2 + index }))
    const results = await Promise.all(moves.map((move) => store.commit({ starts: [], moves: [move] })))
    // Those sent at once may come in another order than they were sent in: some are stale, none is there twice.
    const moved = results.filter((result) => result.moves[0] === 'moved').length
    expect(moved).toBeGreaterThan(0)
    expect((await store.history(saga.id)).map(({ seq }) => seq)).toEqual(
      Array.from({ length: 2 + moved }, (_, index) => index + 1),
    )
  })

  test('a batch that was stored and is sent again changes nothing', async () => {
    const store = await open(newPrefix())
    const [first, second] = [startOf({ key: 'k' }), startOf()]
    const batch = { starts: [first, second], moves: [moveOf(first.saga)] }
    await store.commit(batch)
    const before = await store.load([first.saga.id, second.saga.id])
    const again = await store.commit(batch)
    expect(again.starts).toEqual(
      [first, second].map(({ saga: { id, fingerprint } }) => ({ kind: 'exists', id, fingerprint })),
    )
    expect(again.moves).toEqual(['stale'])
    expect(await store.load([first.saga.id, second.saga.id])).toEqual(before)
    expect(await store.history(first.saga.id)).toHaveLength(2)
  })

  test('a batch beyond what the server takes in one command is refused, to be split', async () => {
    const store = await open(newPrefix())
    const { saga } = startOf()
    const move = moveOf(saga)
    const moves = Array.from({ length: 100_000 }, () => move)
    await expect(store.commit({ starts: [], moves })).rejects.toMatchObject({ code: 'refused' })
    expect((await store.commit({ starts: [], moves: moves.slice(0, 10_000) })).moves).toHaveLength(10_000)
  })

  test('a hint that is none of ours is passed over', async () => {
    const prefix = newPrefix()
    const [here, there] = [await open(prefix), await open(prefix)]
    const hints: (readonly string[])[] = []
    const watching = await there.watch?.(watcherOf((ids) => hints.push(ids)))
    for (const odd of ['', 'no json', '{}', '[]', '["other"]', '["other",1]', 'null'])
      await admin.publish(`${prefix}:moved`, odd)
    const { saga, ...start } = startOf()
    await here.commit({ starts: [{ saga, ...start }], moves: [moveOf(saga)] })
    await vi.waitFor(() => expect(hints).toEqual([[saga.id]]), 10_000)
    await watching?.close()
  })

  describe('a store cannot be opened', () => {
    const refusal = async (options: Parameters<typeof redisStore>[0]): Promise<{ code: string; message: string }> => {
      const store = redisStore(options)
      const error: unknown = await store.open().then(
        () => 'opened',
        (cause: unknown) => cause,
      )
      await store.close()
      expect(error).toMatchObject({ name: 'StoreError' })
      expect(await store.ready()).toBe(false)
      return error as { code: string; message: string }
    }

    test('where no server is: it says so at once, and what to do', async () => {
      expect(await refusal({ url: 'redis://127.0.0.1:1' })).toMatchObject({
        code: 'unavailable',
        message: 'Redis at 127.0.0.1:1 does not answer: connect ECONNREFUSED 127.0.0.1:1. Start it, or check the URL.',
      })
      const setBy = { server: 'REDIS_HOST and REDIS_PORT', database: 'REDIS_DB' }
      expect((await refusal({ url: 'redis://127.0.0.1:1', setBy })).message).toMatch(
        /check REDIS_HOST and REDIS_PORT\.$/,
      )
    })

    test.each([
      'localhost:6379',
      'http://localhost:6379',
      'redis://localhost:6379/zero',
      'redis://localhost:6379/0?enableOfflineQueue=true',
      'redis://:secret@',
      '',
    ])('with the URL %j, which is not repeated, since it may hold a password', async (odd) => {
      const { code, message } = await refusal({ url: odd })
      expect(code).toBe('unusable')
      expect(message).toContain('must read like redis://')
      expect(message).not.toContain('secret')
    })

    test.each(['', 'a:b', '{tag}', 'a b', 'a*'])('with the prefix %j', async (prefix) => {
      expect(await refusal({ url, prefix })).toMatchObject({ code: 'unusable' })
    })

    test.each([
      [{ prefx: 'a' }, "redisStore has no option 'prefx'"],
      [{ prefix: 5 }, 'prefix of redisStore must be of letters'],
      [{ acceptLoss: 'yes' }, 'acceptLoss of redisStore must be true or false'],
      [{ commandTimeoutMs: Infinity }, 'commandTimeoutMs of redisStore must be a whole number of milliseconds'],
      [{ retry: { firstMs: 5 } }, 'retry of redisStore must be two pauses'],
    ])('with the option %j', async (odd, why) => {
      expect(await refusal({ url, ...odd } as Parameters<typeof redisStore>[0])).toMatchObject({
        code: 'unusable',
        message: expect.stringContaining(why) as string,
      })
    })

    test('in a database that the server does not have', async () => {
      const far = new URL(url)
      far.pathname = '/4242'
      expect(await refusal({ url: far.href })).toMatchObject({
        code: 'unusable',
        message: expect.stringContaining('has no database 4242') as string,
      })
      const setBy = { server: 'REDIS_HOST and REDIS_PORT', database: 'REDIS_DB' }
      expect((await refusal({ url: far.href, setBy })).message).toMatch(/Name another in REDIS_DB\.$/)
    })

    test('with a login that the server does not know, and the password stays out of the message', async () => {
      const foreign = new URL(url)
      foreign.username = 'nobody-of-this-name'
      foreign.password = 'open-sesame'
      const { code, message } = await refusal({ url: foreign.href })
      expect(code).toBe('unusable')
      expect(message).toMatch(/WRONGPASS.*Check the login/)
      expect(message).not.toContain('open-sesame')
    })

    test('over keys of a newer version, which are left as they are', async () => {
      const prefix = newPrefix()
      await (await open(prefix)).close()
      await admin.set(`${prefix}:version`, '999')
      expect(await refusal({ url, prefix })).toMatchObject({
        code: 'unusable',
        message: expect.stringContaining('newer version (layout 999') as string,
      })
      expect(await admin.get(`${prefix}:version`)).toBe('999')
    })

    test('over keys of another program', async () => {
      const prefix = newPrefix()
      await admin.set(`${prefix}:version`, 'v2.1')
      expect(await refusal({ url, prefix })).toMatchObject({
        code: 'unusable',
        message: expect.stringContaining('Choose another prefix') as string,
      })
      await admin.del(`${prefix}:version`)
      await admin.lpush(`${prefix}:version`, 'x')
      expect(await refusal({ url, prefix })).toMatchObject({ code: 'unusable' })
    })

    describe('by a user', () => {
      const name = `user-${randomUUID()}`
      let asUser: string
      beforeAll(() => {
        const other = new URL(url)
        other.username = name
        other.password = 'secret'
        asUser = other.href
      })
      afterEach(() => admin.acl('DELUSER', name))
      const allow = (...rules: string[]): Promise<unknown> =>
        admin.acl('SETUSER', name, 'reset', 'on', '>secret', ...rules)

      test('who may not read the settings, unless the loss is accepted', async () => {
        const prefix = newPrefix()
        await allow('~*', '&*', '+@all', '-config')
        expect(await refusal({ url: asUser, prefix })).toMatchObject({
          code: 'unusable',
          message: expect.stringMatching(/does not let this user run CONFIG GET appendonly.*acceptLoss/) as string,
        })
        const store = redisStore({ url: asUser, prefix, acceptLoss: true })
        opened.push(store)
        await store.open()
        expect(await store.ready()).toBe(true)
      })

      test.each([
        ['hdel', ['~*', '&*', '+@all', '-hdel']],
        ['the channel', ['~*', '+@all']],
        ['the keys', ['~other:*', '&*', '+@all']],
        ['scripts', ['~*', '&*', '+@all', '-evalsha', '-eval']],
      ])('who lacks the right to %s, and not in the middle of a batch', async (_, rules) => {
        await allow(...rules)
        expect(await refusal({ url: asUser, prefix: newPrefix() })).toMatchObject({
          code: 'unusable',
          message: expect.stringMatching(/may not do all that is needed|Check the login, the user's rights/) as string,
        })
      })

      test('who has the rights that the refusal names, can', async () => {
        const prefix = newPrefix()
        await allow(
          `~${prefix}:*`,
          `&${prefix}:*`,
          '+@all',
          '-@admin',
          '-@dangerous',
          '+config|get',
          '+info',
          '+bgrewriteaof',
        )
        const store = redisStore({ url: asUser, prefix })
        opened.push(store)
        await store.open()
        const { saga, ...start } = startOf({ key: 'k', businessKey: 'b' })
        const moves = [moveOf(saga, { status: 'COMPLETED', live: false })]
        expect(await store.commit({ starts: [{ saga, ...start }], moves })).toMatchObject({ moves: ['moved'] })
        await store.heartbeat('me', testVersions)
        await store.claim('me', 0, 1, testVersions)
        expect(await store.prune(0, 1)).toBe(1)
        const watching = await store.watch?.(watcherOf())
        await watching?.close()
      })
    })
  })
})
