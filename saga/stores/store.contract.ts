/**
 * What every store promises (`store.ts`), as one suite that each of them passes on the real thing.
 *
 * A store is made anew for each test, in a place of its own. Nothing here waits for time to pass: whether an owner is
 * silent is asked with the silence that the test needs (0 ms: everybody is; a minute: nobody is who has just spoken).
 */
import { isDeepStrictEqual } from 'node:util'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { definitionCases } from './definitions.contract.ts'
import { moveCases } from './moves.contract.ts'
import { at, moveOf, startOf, testVersions, watcherOf, type SagaOverrides } from './sagas.testkit.ts'
import type { DefinitionVersion, HistoryEntry, Move, SagaFilter, Start, Store, StoredSaga } from './store.ts'
import { StoreError } from './store.ts'

/** Where one test keeps its sagas. */
export interface StorePlace {
  /** Opens the place again, as another process would (a shared store), or as the next one does after `close`. */
  open(): Promise<Store>
  drop(): Promise<void>
  /** As if so many milliseconds went by, at most some minutes, since what is stored now was. */
  passes(ms: number): Promise<void>
  /** How many bytes are kept of the saga's moves, where a state is appended and not replaced. */
  bytesOf?(sagaId: string): Promise<number>
  /** Takes away what is kept of the saga's moves, as a careless hand or a broken disk would; the store is closed. */
  damage?(sagaId: string): Promise<void>
}

export interface StoreTraits {
  /** What was committed is there after `close` and `open`. */
  readonly durable: boolean
  /** Several processes may have it open at once. */
  readonly shared: boolean
}

const minute = 60_000

export function storeContract(name: string, traits: StoreTraits, makePlace: () => Promise<StorePlace>): void {
  describe(`the ${name} store`, () => {
    let place: StorePlace
    let store: Store
    const opened: Store[] = []

    beforeEach(async () => {
      place = await makePlace()
      store = await open()
    })

    afterEach(async () => {
      for (const each of opened.splice(0)) await each.close()
      await place.drop()
    })

    async function open(): Promise<Store> {
      const one = await place.open()
      opened.push(one)
      return one
    }

    async function started(...starts: Start[]): Promise<StoredSaga[]> {
      const result = await store.commit({ starts, moves: [] })
      expect(result.starts.map(({ kind }) => kind)).toEqual(starts.map(() => 'started'))
      return starts.map(({ saga }) => saga)
    }

    const one = async (overrides: SagaOverrides = {}): Promise<StoredSaga> =>
      (await started(startOf(overrides)))[0] as StoredSaga

    async function read(ids: readonly string[], from = store): Promise<readonly StoredSaga[]> {
      const { sagas, damaged } = await from.load(ids)
      expect(damaged).toEqual([])
      return sagas
    }

    const loaded = async (id: string): Promise<StoredSaga | undefined> => (await read([id]))[0]

    async function claim(
      owner: string,
      silentMs: number,
      limit: number,
      versions: readonly DefinitionVersion[] = testVersions,
      by = store,
    ): Promise<readonly StoredSaga[]> {
      const { sagas, damaged } = await by.claim(owner, silentMs, limit, versions)
      expect(damaged).toEqual([])
      return sagas
    }

    const listed = async (filter: SagaFilter): Promise<string[]> =>
      (await store.list(filter)).items.map((saga) => saga.id)

    describe('a start', () => {
      test('is found by id, whole, with its history', async () => {
        const start = startOf({ key: 'key-1', businessKey: 'order-1' })
        await started(start)
        expect(await read([start.saga.id])).toEqual([start.saga])
        expect(await store.history(start.saga.id)).toEqual([start.entry])
      })

      test('without key and business key has neither', async () => {
        const saga = await one({ key: null, businessKey: null })
        expect(await loaded(saga.id)).toMatchObject({ key: null, businessKey: null })
      })

      test('under a used key changes nothing and names the saga that holds it', async () => {
        const holder = await one({ key: 'k', fingerprint: 'first' })
        const other = startOf({ key: 'k', fingerprint: 'second' })
        const result = await store.commit({ starts: [other], moves: [] })
        expect(result.starts).toEqual([{ kind: 'exists', id: holder.id, fingerprint: 'first' }])
        expect(await read([other.saga.id])).toEqual([])
        expect(await store.history(other.saga.id)).toEqual([])
        expect(await loaded(holder.id)).toEqual(holder)
      })

      test('is found by its key alone, with its fingerprint, also when it has moved', async () => {
        const [held, unkeyed] = await started(startOf({ key: 'k', fingerprint: 'first' }), startOf())
        const holder = { id: held?.id, fingerprint: 'first' }
        expect(await store.startedUnder('k')).toEqual(holder)
        await store.commit({ starts: [startOf({ key: 'k', fingerprint: 'second' })], moves: [] })
        await store.commit({ starts: [], moves: [moveOf(held as StoredSaga, { status: 'COMPLETED', live: false })] })
        expect(await store.startedUnder('k')).toEqual(holder)
        for (const free of ['', 'other', held?.id ?? '', unkeyed?.id ?? '', 'a NUL \0 in it', 'half \ud83d of a pair'])
          expect(await store.startedUnder(free)).toBeNull()
      })

      test('under a used id changes nothing, not even the history', async () => {
        const holder = await one({ key: 'a', fingerprint: 'first' })
        const again = startOf({ id: holder.id, key: 'b', fingerprint: 'second' })
        const result = await store.commit({ starts: [again], moves: [] })
        expect(result.starts).toEqual([{ kind: 'exists', id: holder.id, fingerprint: 'first' }])
        expect(await store.history(holder.id)).toHaveLength(1)
        await one({ key: 'b' }) // is free
      })

      test("whose key and id are another's each names the holder of the key", async () => {
        const [byId, byKey] = await started(startOf({ key: 'a' }), startOf({ key: 'b', fingerprint: 'held' }))
        const result = await store.commit({ starts: [startOf({ id: byId?.id ?? '', key: 'b' })], moves: [] })
        expect(result.starts).toEqual([{ kind: 'exists', id: byKey?.id, fingerprint: 'held' }])
      })

      test('is the first of its batch that has its key or its id', async () => {
        const first = startOf({ key: 'k', fingerprint: 'first' })
        const sameKey = startOf({ key: 'k', fingerprint: 'second' })
        const sameId = startOf({ id: first.saga.id, key: 'other', fingerprint: 'third' })
        const bystander = startOf({ key: 'free' })
        const result = await store.commit({ starts: [first, sameKey, sameId, bystander], moves: [] })
        const exists = { kind: 'exists', id: first.saga.id, fingerprint: 'first' }
        expect(result.starts).toEqual([{ kind: 'started' }, exists, exists, { kind: 'started' }])
        expect(await loaded(first.saga.id)).toEqual(first.saga)
        expect(await store.history(first.saga.id)).toEqual([first.entry])
        expect(await store.count({})).toBe(2)
        await one({ key: 'other' }) // is free
      })

      test('wins its key alone, however many commits race for it', async () => {
        const rivals = traits.shared ? [store, await open(), await open()] : [store, store, store]
        const keys = Array.from({ length: 20 }, (_, index) => `key-${index}`)
        const results = await Promise.all(
          rivals.map((rival, index) => {
            // Each rival takes the keys in another order, so that they meet in the middle.
            const order = index % 2 === 0 ? keys : keys.toReversed()
            const starts = order.map((key) => startOf({ key }))
            return rival.commit({ starts, moves: [] }).then((result) => ({ starts, result }))
          }),
        )
        for (const key of keys) {
          const answers = results.map(({ starts, result }) => {
            const index = starts.findIndex((start) => start.saga.key === key)
            return { own: starts[index]?.saga.id, answer: result.starts[index] }
          })
          const winners = answers.filter(({ answer }) => answer?.kind === 'started')
          expect(winners).toHaveLength(1)
          for (const { answer } of answers) if (answer?.kind === 'exists') expect(answer.id).toBe(winners[0]?.own)
        }
        expect(await store.count({})).toBe(keys.length)
      })

      test('that is committed several times at once, as after a broken connection, is stored once', async () => {
        const rivals = traits.shared ? [store, await open(), await open()] : [store, store, store]
        const starts = Array.from({ length: 40 }, (_, index) => startOf({ key: index % 2 === 0 ? `k${index}` : null }))
        const results = await Promise.all(
          // Each in a commit of its own, the same three at the same time.
          starts.map((start) => Promise.all(rivals.map((rival) => rival.commit({ starts: [start], moves: [] })))),
        )
        for (const [index, { saga, entry }] of starts.entries()) {
          const kinds = results[index]?.map(({ starts: [answer] }) => answer?.kind)
          expect(kinds?.toSorted()).toEqual(['exists', 'exists', 'started'])
          expect(await store.history(saga.id)).toEqual([entry])
        }
      })
    })

    describe('a move', () => {
      test('changes the saga and appends to its history', async () => {
        const saga = await one({ key: 'k' })
        const move = moveOf(saga, { owner: 'other', businessKey: 'order-7', updatedAt: at + 5 })
        expect(await store.commit({ starts: [], moves: [move] })).toEqual({ starts: [], moves: ['moved'] })
        expect(await loaded(saga.id)).toEqual({
          ...saga,
          seq: 2,
          state: move.state,
          owner: 'other',
          businessKey: 'order-7',
          updatedAt: at + 5,
        })
        expect((await store.history(saga.id)).slice(1)).toEqual(move.entries)
      })

      test('may carry several entries', async () => {
        const saga = await one()
        const move = moveOf(saga, { entries: 3 })
        await store.commit({ starts: [], moves: [move] })
        expect(await loaded(saga.id)).toMatchObject({ seq: 4 })
        expect((await store.history(saga.id)).map((entry) => entry.seq)).toEqual([1, 2, 3, 4])
        expect((await store.history(saga.id)).slice(1)).toEqual(move.entries)
      })

      test('is seen whole wherever its saga is read, however many came before it', async () => {
        let saga = await one({ key: 'k', input: { text: 'x'.repeat(1000) } })
        for (let count = 1; count <= 40; count++) {
          const move = moveOf(saga, { step: `step${count}`, reply: { count }, entries: 1 + (count % 3) })
          await store.commit({ starts: [], moves: [move] })
          saga = { ...saga, seq: move.toSeq, state: move.state }
          expect(await loaded(saga.id)).toEqual(saga)
        }
        expect((await store.list({})).items).toEqual([saga])
        expect(await claim('heir', 0, 1)).toEqual([{ ...saga, owner: 'heir' }])
      })

      test('costs the same after thousands of others, and all of them are there', async () => {
        let saga = await one({ input: { text: 'x'.repeat(1000) } })
        const entries: HistoryEntry[] = []
        while (saga.seq < 3_000) {
          const moves: Move[] = []
          for (let count = 0; count < 100; count++) {
            const move = moveOf(saga, { step: `step${saga.seq}`, reply: { seq: saga.seq } })
            moves.push(move)
            entries.push(...move.entries)
            saga = { ...saga, seq: move.toSeq, state: move.state }
          }
          const result = await store.commit({ starts: [], moves })
          expect(new Set(result.moves)).toEqual(new Set(['moved']))
        }
        expect(await loaded(saga.id)).toEqual(saga)
        expect((await store.list({})).items).toEqual([saga])
        expect(await store.history(saga.id, 2_990)).toEqual(entries.slice(2_989))
        expect(await store.history(saga.id, 1_500, 3)).toEqual(entries.slice(1_499, 1_502))
        const kept = await place.bytesOf?.(saga.id)
        const events = entries.reduce((sum, entry) => sum + JSON.stringify(entry.events).length, 0)
        // An eighth to a sixteenth of the moves apart, each state holds its share of all moves so far.
        if (kept !== undefined) expect(kept).toBeLessThan(40 * events)
      })

      test('that was decided on another seq is stale and changes nothing', async () => {
        const saga = await one()
        const first = moveOf(saga)
        await store.commit({ starts: [], moves: [first] })
        const before = await loaded(saga.id)
        const late = moveOf(saga, { entries: 2 })
        const early = moveOf({ ...saga, seq: 7 })
        expect((await store.commit({ starts: [], moves: [late] })).moves).toEqual(['stale'])
        expect((await store.commit({ starts: [], moves: [early] })).moves).toEqual(['stale'])
        expect(await loaded(saga.id)).toEqual(before)
        expect(await store.history(saga.id)).toHaveLength(2)
      })

      test('of a saga that does not exist is stale and leaves no history', async () => {
        const { saga } = startOf()
        expect((await store.commit({ starts: [], moves: [moveOf(saga)] })).moves).toEqual(['stale'])
        expect(await store.history(saga.id)).toEqual([])
      })

      test('wins its seq alone, however many commits race for it', async () => {
        const sagas = await started(...Array.from({ length: 30 }, () => startOf()))
        const rivals = traits.shared ? [store, await open(), await open()] : [store, store, store]
        const results = await Promise.all(
          rivals.map((rival, index) => {
            const order = index % 2 === 0 ? sagas : sagas.toReversed()
            const moves = order.map((saga) => moveOf(saga, { owner: `rival-${index}` }))
            return rival.commit({ starts: [], moves }).then((result) => ({ moves, result, owner: `rival-${index}` }))
          }),
        )
        for (const saga of sagas) {
          const winners = results.filter(
            ({ moves, result }) => result.moves[moves.findIndex((move) => move.id === saga.id)] === 'moved',
          )
          expect(winners).toHaveLength(1)
          expect(await loaded(saga.id)).toMatchObject({ seq: 2, owner: winners[0]?.owner })
          expect(await store.history(saga.id)).toHaveLength(2)
        }
      })

      test('of the same saga twice in one batch: each goes by the seq that the one before left', async () => {
        const [follows, clashes] = (await started(startOf(), startOf())) as [StoredSaga, StoredSaga]
        const moves = [
          moveOf(follows),
          moveOf(clashes),
          moveOf({ ...follows, seq: 2 }),
          moveOf(clashes, { owner: 'loser' }),
        ]
        expect((await store.commit({ starts: [], moves })).moves).toEqual(['moved', 'moved', 'moved', 'stale'])
        expect(await loaded(follows.id)).toMatchObject({ seq: 3 })
        expect(await loaded(clashes.id)).toMatchObject({ seq: 2, owner: clashes.owner })
        expect(await store.history(follows.id)).toHaveLength(3)
        expect(await store.history(clashes.id)).toHaveLength(2)
      })
    })

    describe('a batch', () => {
      test('of hundreds of starts and moves is answered in its order, and the stale ones hurt nobody', async () => {
        const old = await started(...Array.from({ length: 300 }, (_, index) => startOf({ key: `old-${index}` })))
        const moves = old.map((saga, index) => moveOf(index % 5 === 0 ? { ...saga, seq: 9 } : saga))
        const starts = Array.from({ length: 300 }, (_, index) =>
          startOf({ key: index % 7 === 0 ? `old-${index}` : `new-${index}` }),
        )
        const result = await store.commit({ starts, moves })
        expect(result.moves).toEqual(moves.map((_, index) => (index % 5 === 0 ? 'stale' : 'moved')))
        expect(result.starts).toEqual(
          starts.map((_, index) =>
            index % 7 === 0
              ? { kind: 'exists', id: old[index]?.id, fingerprint: old[index]?.fingerprint }
              : { kind: 'started' },
          ),
        )
        const kept = await read(starts.map(({ saga }) => saga.id))
        expect(kept).toHaveLength(starts.filter((_, index) => index % 7 !== 0).length)
        const seqs = new Map((await read(old.map(({ id }) => id))).map(({ id, seq }) => [id, seq]))
        expect(old.map(({ id }) => seqs.get(id))).toEqual(old.map((_, index) => (index % 5 === 0 ? 1 : 2)))
      })

      test('may start a saga and move it', async () => {
        const start = startOf()
        const result = await store.commit({ starts: [start], moves: [moveOf(start.saga)] })
        expect(result).toEqual({ starts: [{ kind: 'started' }], moves: ['moved'] })
        expect((await store.history(start.saga.id)).map(({ seq }) => seq)).toEqual([1, 2])
      })

      test('of nothing is done at once', async () => {
        expect(await store.commit({ starts: [], moves: [] })).toEqual({ starts: [], moves: [] })
      })
    })

    describe('reads', () => {
      test('leave out what does not exist', async () => {
        const saga = await one()
        expect(await read(['nowhere', saga.id])).toEqual([saga])
        expect(await read([])).toEqual([])
        expect(await store.history('nowhere')).toEqual([])
      })

      test('give the history in order, after a seq, a page at a time, and of one saga only', async () => {
        const [saga, other] = (await started(startOf(), startOf())) as [StoredSaga, StoredSaga]
        await store.commit({ starts: [], moves: [moveOf(saga, { entries: 11 }), moveOf(other)] })
        const seqs = async (after?: number, limit?: number): Promise<number[]> =>
          (await store.history(saga.id, after, limit)).map((entry) => entry.seq)
        expect(await seqs()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
        expect(await seqs(9)).toEqual([10, 11, 12])
        expect(await seqs(2, 3)).toEqual([3, 4, 5])
        expect(await seqs(12)).toEqual([])
      })

      test('list the newest first, by id where they are as old, each exactly once over all pages', async () => {
        const starts = Array.from({ length: 9 }, (_, index) => startOf({ createdAt: at + (index >> 2) }))
        await started(...starts)
        const expected = starts
          .map(({ saga }) => saga)
          .toSorted((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1))
        const seen: StoredSaga[] = []
        let after: string | undefined
        const sizes: number[] = []
        do {
          const page = await store.list({}, { limit: 3, after })
          seen.push(...page.items)
          sizes.push(page.items.length)
          after = page.next ?? undefined
        } while (after !== undefined)
        expect(seen).toEqual(expected)
        expect(sizes).toEqual([3, 3, 3])
      })

      test('list a page as if later starts had not come', async () => {
        await started(...Array.from({ length: 4 }, (_, index) => startOf({ createdAt: at + index })))
        const first = await store.list({}, { limit: 2 })
        await one({ createdAt: at + 100 })
        const second = await store.list({}, { limit: 2, after: first.next ?? '' })
        expect([...first.items, ...second.items].map((saga) => saga.createdAt - at)).toEqual([3, 2, 1, 0])
        expect(second.next).toBeNull()
      })

      test('refuse a page key that is none, and keep the limit between 1 and 1,000', async () => {
        await started(startOf(), startOf())
        for (const after of ['nonsense', '', '_', '12_', '_id', '1e3_id', '-1_id', `${'9'.repeat(30)}_id`, '1_\0'])
          await expect(store.list({}, { after }), after).rejects.toThrow(RangeError)
        expect((await store.list({}, { limit: 0 })).items).toHaveLength(1)
        expect((await store.list({}, { limit: 1e9 })).items).toHaveLength(2)
      })

      test('filter by definition, status, business key and time, alone and together, and count the same', async () => {
        const [a, b, c] = (await started(
          startOf({ definition: 'alpha', businessKey: 'x', createdAt: at }),
          startOf({ definition: 'alpha', businessKey: 'y', createdAt: at + 1, status: 'PARKED' }),
          startOf({ definition: 'beta', businessKey: 'x', createdAt: at + 2 }),
        )) as [StoredSaga, StoredSaga, StoredSaga]
        const cases: [SagaFilter, StoredSaga[]][] = [
          [{}, [c, b, a]],
          [{ definition: 'alpha' }, [b, a]],
          [{ status: 'STARTED' }, [c, a]],
          [{ status: 'CANCELLED' }, []],
          [{ businessKey: 'x' }, [c, a]],
          [{ createdFrom: at + 1 }, [c, b]],
          [{ createdBefore: at + 1 }, [a]],
          [{ createdFrom: at, createdBefore: at }, []],
          [{ definition: 'alpha', status: 'STARTED', businessKey: 'x', createdFrom: at, createdBefore: at + 1 }, [a]],
          [{ definition: 'beta', businessKey: 'y' }, []],
        ]
        for (const [filter, sagas] of cases) {
          expect(await listed(filter), JSON.stringify(filter)).toEqual(sagas.map(({ id }) => id))
          expect(await store.count(filter), JSON.stringify(filter)).toBe(sagas.length)
        }
        const page = await store.list({ definition: 'alpha' }, { limit: 1 })
        expect((await store.list({ definition: 'alpha' }, { limit: 1, after: page.next ?? '' })).items).toEqual([a])
      })

      test('follow a move at once', async () => {
        const saga = await one({ businessKey: null })
        await store.commit({
          starts: [],
          moves: [moveOf(saga, { status: 'COMPLETED', live: false, businessKey: 'b' })],
        })
        expect(await listed({ status: 'STARTED' })).toEqual([])
        expect(await listed({ status: 'COMPLETED', businessKey: 'b' })).toEqual([saga.id])
        expect(await store.count({ status: 'COMPLETED' })).toBe(1)
      })
    })

    describe('a claim', () => {
      const ids = (sagas: readonly StoredSaga[]): string[] => sagas.map(({ id }) => id).toSorted()

      test('takes the live sagas of an owner that never spoke, whole, and leaves their seq', async () => {
        const sagas = await started(startOf({ owner: 'gone' }), startOf({ owner: 'gone' }))
        const taken = await claim('heir', minute, 10)
        expect(taken.toSorted(byId)).toEqual(sagas.map((saga) => ({ ...saga, owner: 'heir' })).toSorted(byId))
        expect(await loaded(sagas[0]?.id ?? '')).toMatchObject({ owner: 'heir', seq: 1 })
        expect(await claim('heir', minute, 10)).toEqual([])
      })

      test('leaves those of an owner that has just spoken, and takes them when it was silent too long', async () => {
        const saga = await one({ owner: 'busy' })
        await store.heartbeat('busy', testVersions)
        expect(await claim('heir', minute, 10)).toEqual([])
        expect(ids(await claim('heir', 0, 10))).toEqual([saga.id])
      })

      test('takes those of an owner that has retired at once, and not once it has spoken again', async () => {
        const saga = await one({ owner: 'a' })
        await store.heartbeat('a', testVersions)
        await store.retire('a')
        await store.heartbeat('a', testVersions)
        expect(await claim('heir', minute, 10)).toEqual([])
        await store.retire('a')
        expect(ids(await claim('heir', minute, 10))).toEqual([saga.id])
      })

      test('finds the silent among owners who live', async () => {
        const owners = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
        const sagas = await started(...owners.flatMap((owner) => [startOf({ owner }), startOf({ owner })]))
        for (const owner of owners) if (owner !== 'c' && owner !== 'g') await store.heartbeat(owner, testVersions)
        const expected = sagas.filter(({ owner }) => owner === 'c' || owner === 'g')
        expect(ids(await claim('d', minute, 10))).toEqual(ids(expected))
      })

      test('takes none that has ended or is parked', async () => {
        await started(
          startOf({ owner: 'gone', status: 'COMPLETED' }, false),
          startOf({ owner: 'gone', status: 'PARKED' }, false),
        )
        const ends = await one({ owner: 'gone' })
        await store.commit({ starts: [], moves: [moveOf(ends, { status: 'FAILED', live: false })] })
        expect(await claim('heir', minute, 10)).toEqual([])
      })

      test('takes those of the versions that it is given, and leaves the rest to others', async () => {
        const [one, two, other] = (await started(
          startOf({ owner: 'gone', version: 1 }),
          startOf({ owner: 'gone', version: 2 }),
          startOf({ owner: 'gone', definition: 'other' }),
          startOf({ owner: 'gone', definition: 'unknown' }),
        )) as [StoredSaga, StoredSaga, StoredSaga]
        const others = Array.from({ length: 400 }, (_, index) => startOf({ owner: `gone ${index % 3}`, version: 3 }))
        await started(...others)
        for (const heir of ['old', 'new', 'third']) await store.heartbeat(heir, testVersions)
        expect(await claim('nobody', minute, 10, [])).toEqual([])
        expect(ids(await claim('old', minute, 10))).toEqual([one.id])
        const both = [
          { definition: 'test', version: 2 },
          { definition: 'other', version: 1 },
        ]
        expect(ids(await claim('new', minute, 10, both))).toEqual(ids([two, other]))
        expect(await claim('new', minute, 10, both)).toEqual([])
        const seen = new Set<string>()
        for (const size of [150, 150, 100, 0]) {
          const taken = await claim('third', minute, 150, [...both, { definition: 'test', version: 3 }])
          expect(taken).toHaveLength(size)
          taken.forEach(({ id }) => seen.add(id))
        }
        expect(seen.size).toBe(others.length)
      })

      test('takes at most its limit', async () => {
        await started(...Array.from({ length: 5 }, () => startOf({ owner: 'gone' })))
        expect(await claim('heir', minute, 3)).toHaveLength(3)
        expect(await claim('heir', minute, 3)).toHaveLength(2)
      })

      test('shares with another at the same time, and none is taken twice', async () => {
        const sagas = await started(...Array.from({ length: 60 }, () => startOf({ owner: 'gone' })))
        const other = traits.shared ? await open() : store
        await Promise.all([store.heartbeat('a', testVersions), other.heartbeat('b', testVersions)])
        const taken: StoredSaga[][] = [[], []]
        // A claim passes over what another has just locked, so each asks until nothing is left for either.
        for (let left = sagas.length; left > 0; left = sagas.length - taken.flat().length) {
          const both = await Promise.all([claim('a', minute, 13), claim('b', minute, 13, undefined, other)])
          both.forEach((part, index) => taken[index]?.push(...part))
          expect(both.flat().length).toBeGreaterThan(0)
        }
        expect(ids(taken.flat())).toEqual(ids(sagas))
      })

      test('does not stop the move of an owner that still lives: seq decides', async () => {
        const saga = await one({ owner: 'slow' })
        await claim('heir', minute, 10)
        expect((await store.commit({ starts: [], moves: [moveOf(saga)] })).moves).toEqual(['moved'])
        expect(await loaded(saga.id)).toMatchObject({ owner: 'slow', seq: 2 })
      })
    })

    test('live and parked sagas are counted by definition and version, ended ones are not', async () => {
      await started(
        startOf({ definition: 'a', version: 1 }),
        startOf({ definition: 'a', version: 1, status: 'COMPENSATING' }),
        startOf({ definition: 'a', version: 2, status: 'PARKED' }, false),
        startOf({ definition: 'b', version: 1, status: 'COMPLETED' }, false),
        startOf({ definition: 'c', version: 1, status: 'COMPLETED' }, true),
      )
      const counts = (await store.liveVersions()).toSorted(
        (a, b) => a.definition.localeCompare(b.definition) || a.version - b.version,
      )
      expect(counts).toEqual([
        { definition: 'a', version: 1, count: 2 },
        { definition: 'a', version: 2, count: 1 },
        { definition: 'c', version: 1, count: 1 },
      ])
    })

    describe('pruning', () => {
      test('removes ended sagas that are old enough, with history and key, and nothing else', async () => {
        const ended = (['COMPLETED', 'COMPENSATED', 'CANCELLED', 'FAILED'] as const).map((status) =>
          startOf({ status, key: `key of ${status}` }, false),
        )
        const kept = [
          startOf({ status: 'PARKED' }, false),
          startOf({ status: 'STARTED' }),
          startOf({ status: 'COMPENSATING' }),
          startOf({ status: 'COMPLETED' }, true), // may still cancel itself
        ]
        await started(...ended, ...kept)
        await place.passes(minute)
        kept.push(startOf({ status: 'COMPLETED' }, false))
        await started(...kept.slice(-1))
        expect(await store.prune(minute, 100)).toBe(4)
        expect(await read(ended.map(({ saga }) => saga.id))).toEqual([])
        for (const { saga } of ended) expect(await store.history(saga.id)).toEqual([])
        expect(await store.count({})).toBe(kept.length)
        for (const { saga } of kept) expect(await store.history(saga.id)).toHaveLength(1)
        expect(await store.startedUnder('key of FAILED')).toBeNull()
        await one({ key: 'key of FAILED' })
      })

      test('goes by the last move, not by the start', async () => {
        const saga = await one()
        await place.passes(minute)
        await store.commit({ starts: [], moves: [moveOf(saga, { status: 'COMPLETED', live: false })] })
        expect(await store.prune(minute, 100)).toBe(0)
        await place.passes(minute)
        expect(await store.prune(minute, 100)).toBe(1)
      })

      test("goes by the store's own clock: what a process far behind has stored just now is not old", async () => {
        const behind = { createdAt: 1, updatedAt: 1 }
        const [, moved] = await started(startOf({ ...behind, key: 'k', status: 'COMPLETED' }, false), startOf(behind))
        const move = moveOf(moved as StoredSaga, { status: 'COMPLETED', live: false, updatedAt: 2 })
        await store.commit({ starts: [], moves: [move] })
        expect(await store.prune(minute, 100)).toBe(0)
        const again = await store.commit({ starts: [startOf({ key: 'k' })], moves: [] })
        expect(again.starts).toMatchObject([{ kind: 'exists' }])
        await place.passes(minute)
        expect(await store.prune(minute, 100)).toBe(2)
      })

      test('removes at most its limit', async () => {
        await started(...Array.from({ length: 5 }, () => startOf({ status: 'COMPLETED' }, false)))
        expect(await store.prune(0, 3)).toBe(3)
        expect(await store.prune(0, 3)).toBe(2)
        expect(await store.prune(0, 3)).toBe(0)
      })
    })

    describe('data', () => {
      const odd: Record<string, string> = {
        unicode: 'Grüße, 你好, مرحبا, 🍔👩‍🍳, e\u0301',
        quotes: `'single' "double" \`back\` \\ \\" \\\\ '' "" $1 ? % _`,
        braces: '{a,b} {"x":null} NULL null (1,2) [] \\N \\.',
        control: 'tab\t newline\n return\r \u0001 \u001f \u2028 \u2029',
        empty: '',
        spaces: '  both ends  ',
      }

      test.each(Object.entries(odd))('with %s comes back as it was, in every text field', async (_, text) => {
        const start = startOf({
          definition: `d ${text}`,
          owner: `o ${text}`,
          key: `k ${text}`,
          fingerprint: text,
          businessKey: `b ${text}`,
          input: { [text]: text },
        })
        const entry: HistoryEntry = { ...start.entry, inputId: `i ${text}` }
        await started({ ...start, entry })
        const again = await store.commit({ starts: [startOf({ key: `k ${text}` })], moves: [] })
        expect(again.starts).toEqual([{ kind: 'exists', id: start.saga.id, fingerprint: text }])
        expect(await store.startedUnder(`k ${text}`)).toEqual({ id: start.saga.id, fingerprint: text })
        expect(await listed({ businessKey: `b ${text}`, definition: `d ${text}` })).toEqual([start.saga.id])
        const move = moveOf(start.saga, { reply: text, inputId: text, businessKey: text })
        await store.commit({ starts: [], moves: [move] })
        expect(await loaded(start.saga.id)).toMatchObject({ state: move.state, businessKey: text })
        expect(await store.history(start.saga.id)).toEqual([entry, ...move.entries])
        const { definition, version } = start.saga
        expect(await claim(`heir ${text}`, minute, 1, [{ definition, version }])).toMatchObject([
          { owner: `heir ${text}` },
        ])
      })

      test('with NUL characters and half surrogate pairs inside state and events comes back as it was', async () => {
        const text = 'nul \u0000 in the middle, half \ud83d of a pair, escaped \\u0000'
        const saga = await one({ input: { text, [text]: 1 } })
        const move = moveOf(saga, { reply: text })
        await store.commit({ starts: [], moves: [move] })
        expect((await loaded(saga.id))?.state).toEqual(move.state)
        expect((await store.history(saga.id)).slice(1)).toEqual(move.entries)
      })

      test.each(['a NUL \0 in it', 'half \ud83d of a pair'])(
        'named with %j is kept as it is or refused',
        async (text) => {
          const saga = await one({ key: 'k' })
          const named = { id: `id ${text}`, key: `key ${text}`, businessKey: `b ${text}`, owner: `o ${text}` }
          for (const [field, value] of Object.entries(named)) {
            const start = startOf({ [field]: value })
            expect(await keptOrRefused({ starts: [start], moves: [] }, start.saga.id), field).toBe(true)
          }
          for (const odd of [{ businessKey: text }, { owner: text }, { inputId: text }]) {
            const { seq } = (await loaded(saga.id)) ?? saga
            const move = moveOf({ ...saga, seq }, odd)
            expect(await keptOrRefused({ starts: [], moves: [move] }, saga.id, move), JSON.stringify(odd)).toBe(true)
          }
          // Nothing is found under another name, and to ask is no error.
          const other = text.replace('\ud83d', '\ufffd').replace('\0', '')
          expect(await read([`id ${other}`])).toEqual([])
          await one({ key: `key ${other}` }) // is free
          const found = await read([saga.id, `id ${text}`])
          expect(found.map(({ id }) => id)).toContain(saga.id)
          expect(await store.history(`other ${text}`)).toEqual([])
          expect(await listed({ businessKey: `other ${text}` })).toEqual([])
          expect(await store.count({ definition: `other ${text}` })).toBe(0)
        },
      )

      /** True where the batch was stored as it is, or refused and nothing changed. */
      async function keptOrRefused(batch: Parameters<Store['commit']>[0], id: string, move?: Move): Promise<boolean> {
        const before = await read([id])
        try {
          await store.commit(batch)
        } catch (error) {
          expect(error).toBeInstanceOf(StoreError)
          expect(error).toMatchObject({ code: 'refused' })
          expect(await read([id])).toEqual(before)
          return true
        }
        const [saga] = await read([id])
        const [start] = batch.starts
        expect(await store.history(id)).toEqual(
          expect.arrayContaining([...(move?.entries ?? []), start?.entry].filter(Boolean)),
        )
        return start === undefined
          ? saga?.owner === move?.owner && saga?.businessKey === move?.businessKey
          : isDeepStrictEqual(saga, start.saga)
      }

      test('of ids with line breaks, quotes and separators is paged like any other', async () => {
        const odd = ['a\nb', '1_2', '_', `'"`, 'ü%25', ' '].map((id) => startOf({ id }))
        await started(...odd)
        const seen: string[] = []
        for (let after: string | undefined; seen.length <= odd.length;) {
          const page = await store.list({}, { limit: 1, after })
          seen.push(...page.items.map(({ id }) => id))
          if (page.next === null) break
          after = page.next
        }
        expect(seen.toSorted()).toEqual(odd.map(({ saga }) => saga.id).toSorted())
      })

      test('of 500,000 characters comes back as it was', async () => {
        const saga = await one({ input: 'näh "x" '.repeat(62_500) })
        const move = moveOf(saga, { reply: 'y\n"'.repeat(100_000) })
        await store.commit({ starts: [], moves: [move] })
        expect((await loaded(saga.id))?.state).toEqual(move.state)
        expect((await store.history(saga.id)).slice(1)).toEqual(move.entries)
      })

      test('of every JSON kind keeps its kind and its digits', async () => {
        const input = [null, true, false, 0, -1.5, 0.1, 2 ** 53 - 1, 1e300, [], {}, [[{ a: { b: [] } }]], '1', 'true']
        const saga = await one({ input, createdAt: 8_640_000_000_000_000, updatedAt: 8_640_000_000_000_000 })
        expect(await loaded(saga.id)).toEqual(saga)
      })
    })

    test.each(['a start', 'a move'])(
      '%s that holds what is no JSON is refused with its name, and hurts no other',
      async (kind) => {
        const circle: Record<string, unknown> = {}
        circle['itself'] = circle
        for (const odd of [10n, { deep: [1n] }, circle]) {
          const [sound, broken] = (await started(startOf(), startOf())) as [StoredSaga, StoredSaga]
          const fresh = startOf({ input: odd })
          const moves = [moveOf(sound), ...(kind === 'a move' ? [moveOf(broken, { reply: odd })] : [])]
          const starts = kind === 'a start' ? [fresh] : []
          await expect(store.commit({ starts, moves })).rejects.toMatchObject({
            name: 'StoreError',
            code: 'refused',
            message: expect.stringContaining(kind === 'a start' ? fresh.saga.id : broken.id) as string,
          })
          expect(await read([sound.id, broken.id])).toEqual(expect.arrayContaining([sound, broken]))
          expect(await read([fresh.saga.id])).toEqual([])
          expect((await store.commit({ starts: [], moves: [moveOf(sound)] })).moves).toEqual(['moved'])
        }
      },
    )

    const cases = {
      store: () => store,
      open,
      async reopen() {
        await store.close()
        return (store = await open())
      },
      async elsewhere(work: (store: Store) => Promise<void>) {
        const other = await makePlace()
        const opening = await other.open()
        await work(opening)
        await opening.close()
        await other.drop()
      },
      ...traits,
    }
    definitionCases(cases)
    moveCases(cases)

    test('it is ready once it is open', async () => {
      expect(await store.ready()).toBe(true)
    })

    test('opening it again does no harm', async () => {
      const saga = await one()
      await store.open()
      expect(await loaded(saga.id)).toEqual(saga)
    })

    if (traits.durable) {
      test('once closed, it refuses every call as unavailable, and is not ready', async () => {
        const saga = await one()
        await store.close()
        await store.close()
        const calls: [string, () => Promise<unknown>][] = [
          ['commit', () => store.commit({ starts: [startOf()], moves: [] })],
          ['load', () => store.load([saga.id])],
          ['list', () => store.list({})],
          ['count', () => store.count({})],
          ['history', () => store.history(saga.id)],
          ['moves', () => store.moves(null)],
          ['claim', () => store.claim('heir', 0, 1, [])],
          ['liveVersions', () => store.liveVersions()],
          ['prune', () => store.prune(0, 1)],
          ['identity', () => store.identity()],
          ['register', () => store.register('me', [], minute)],
          ['definitions', () => store.definitions()],
          ['hand', () => store.hand([])],
          ['handed', () => store.handed([], 1)],
          ['stillHanded', () => store.stillHanded([])],
          ['dropHanded', () => store.dropHanded([])],
        ]
        for (const [call, run] of calls)
          await expect(run(), call).rejects.toMatchObject({ name: 'StoreError', code: 'unavailable' })
        expect(await store.ready()).toBe(false)
      })

      describe('a damaged saga', () => {
        /** Three sagas of a process that is gone; the one in the middle is damaged. */
        async function threeWithDamage(): Promise<readonly [StoredSaga, StoredSaga, StoredSaga]> {
          const sagas = (await started(
            startOf({ owner: 'gone', key: 'k1', createdAt: at + 1 }),
            startOf({ owner: 'gone', key: 'k2', createdAt: at + 2 }),
            startOf({ owner: 'gone', key: 'k3', createdAt: at + 3 }),
          )) as [StoredSaga, StoredSaga, StoredSaga]
          await store.close()
          await place.damage?.(sagas[1].id)
          store = await open()
          return sagas
        }

        const damageOf = ({ id }: StoredSaga): unknown[] => [
          {
            id,
            problem: expect.objectContaining({
              code: 'damaged',
              message: expect.stringMatching(`Saga ${id} is damaged: .+ Restore its rows from a backup`) as string,
            }) as StoreError,
          },
        ]

        test('is told apart from those that are read with it, with a word on what to do', async () => {
          const [one, damaged, other] = await threeWithDamage()
          const found = await store.load([one.id, damaged.id, other.id])
          expect(found.sagas.toSorted(byId)).toEqual([one, other].toSorted(byId))
          expect(found.damaged).toEqual(damageOf(damaged))
          expect(await store.load([damaged.id])).toEqual({ sagas: [], damaged: damageOf(damaged) })
        })

        test('is taken over once with the others, which keeps none of them back', async () => {
          const [one, damaged, other] = await threeWithDamage()
          await store.heartbeat('heir', testVersions)
          const found = await store.claim('heir', minute, 10, testVersions)
          expect(found.sagas.map(({ id }) => id).toSorted()).toEqual([one.id, other.id].toSorted())
          expect(found.damaged).toEqual(damageOf(damaged))
          expect(await store.claim('heir', minute, 10, testVersions)).toEqual({ sagas: [], damaged: [] })
          expect(await store.claim('third', minute, 10, testVersions)).toEqual({ sagas: [], damaged: [] })
        })

        test('is no item of a page, whose other items and next page are as they were', async () => {
          const [one, damaged, other] = await threeWithDamage()
          const first = await store.list({}, { limit: 2 })
          expect(first).toMatchObject({ items: [{ id: other.id }], damaged: damageOf(damaged) })
          expect(await store.list({}, { limit: 2, after: first.next ?? '' })).toEqual({
            items: [one],
            damaged: [],
            next: null,
          })
          expect(await store.count({})).toBe(3)
          expect(await store.liveVersions()).toMatchObject([{ count: 3 }])
        })
      })

      test('everything is there after it was closed and opened again', async () => {
        const start = startOf({ key: 'k', businessKey: 'b', owner: 'gone' })
        await started(start)
        const move = moveOf(start.saga, { businessKey: 'b', owner: 'gone' })
        await store.commit({ starts: [], moves: [move] })
        const before = await loaded(start.saga.id)
        await store.close()
        store = await open()
        expect(await loaded(start.saga.id)).toEqual(before)
        expect(await store.history(start.saga.id)).toEqual([start.entry, ...move.entries])
        expect((await store.commit({ starts: [startOf({ key: 'k' })], moves: [] })).starts[0]?.kind).toBe('exists')
        expect(await claim('heir', minute, 10)).toHaveLength(1)
      })
    }

    if (traits.shared) {
      test('several may open a new place at once', async () => {
        const fresh = await makePlace()
        try {
          const all = await Promise.all(Array.from({ length: 8 }, () => fresh.open()))
          const start = startOf()
          await all[0]?.commit({ starts: [start], moves: [] })
          for (const each of all) expect(await read([start.saga.id], each)).toEqual([start.saga])
          await Promise.all(all.map((each) => each.close()))
        } finally {
          await fresh.drop()
        }
      })

      test('who watches is told of what another process moves, and not of its own moves', async () => {
        const other = await open()
        await Promise.all([store.heartbeat('a', testVersions), other.heartbeat('b', testVersions)])
        await store.heartbeat('a', testVersions) // knows of the other by now
        const [own, foreign] = (await started(startOf(), startOf())) as [StoredSaga, StoredSaga]
        const hints = new Set<string>()
        const watching = await other.watch?.(watcherOf((ids) => ids.forEach((id) => hints.add(id))))
        await other.heartbeat('b', testVersions)
        await other.commit({ starts: [], moves: [moveOf(own)] })
        await store.commit({ starts: [], moves: [moveOf(foreign)] })
        await vi.waitFor(() => expect(hints).toContain(foreign.id), 10_000)
        expect(hints).not.toContain(own.id) // notifications come in the order of the commits
        await watching?.close()
      })

      test('of a batch of many moves every one is told of', async () => {
        const other = await open()
        await Promise.all([store.heartbeat('a', testVersions), other.heartbeat('b', testVersions)])
        await store.heartbeat('a', testVersions)
        const sagas = await started(...Array.from({ length: 700 }, () => startOf()))
        const hints = new Set<string>()
        const watching = await other.watch?.(watcherOf((ids) => ids.forEach((id) => hints.add(id))))
        await store.commit({ starts: [], moves: sagas.map((saga) => moveOf(saga)) })
        await vi.waitFor(() => expect(hints.size).toBe(sagas.length), 10_000)
        await watching?.close()
      })
    }
  })
}

const byId = (a: StoredSaga, b: StoredSaga): number => (a.id < b.id ? -1 : 1)
