/** What every store promises of the moves of all its sagas, and of the status that each move has left. */
import { describe, expect, test, vi } from 'vitest'
import type { Opened } from './definitions.contract.ts'
import { moveOf, startOf } from './sagas.testkit.ts'
import type { HistoryEntry, Move, Start, Store, StoredMove, StoredSaga } from './store.ts'

/** A move in short. */
const nameOf = ({ sagaId, seq }: { readonly sagaId: string; readonly seq: number }): string => `${sagaId} ${seq}`

/** Goes through moves page by page, as a reader that keeps nothing but where it is. */
class Reader {
  readonly seen: StoredMove[] = []
  position: string | null = null
  readonly #store: Store
  readonly #limit: number

  constructor(store: Store, limit = 1000) {
    this.#store = store
    this.#limit = limit
  }

  async page(): Promise<readonly StoredMove[]> {
    const { moves, damaged, next } = await this.#store.moves(this.position, this.#limit)
    expect(damaged).toEqual([])
    expect(moves.length).toBeLessThanOrEqual(this.#limit)
    if (moves.length === 0 && this.position !== null) expect(next).toBe(this.position)
    this.position = next
    this.seen.push(...moves)
    return moves
  }

  /** Reads until it has seen so many: where others write on the same server, moves may be visible a little later. */
  async read(count: number): Promise<readonly StoredMove[]> {
    await vi.waitFor(
      async () => {
        while ((await this.page()).length > 0);
        expect(this.seen.length).toBeGreaterThanOrEqual(count)
      },
      { timeout: 50_000, interval: 20 },
    )
    expect(new Set(this.seen.map(nameOf)).size).toBe(this.seen.length)
    expect(this.seen).toHaveLength(count)
    return this.seen
  }
}

export function moveCases({ store, open, reopen, elsewhere, durable, shared }: Opened): void {
  const commit = (starts: readonly Start[], moves: readonly Move[] = []): ReturnType<Store['commit']> =>
    store().commit({ starts, moves })

  const stored = (entry: HistoryEntry, { definition, version, businessKey }: StoredSaga): StoredMove => ({
    ...entry,
    definition,
    version,
    businessKey,
  })

  test('each move has the status that it left the saga with', async () => {
    const start = startOf({ status: 'COMPENSATING' })
    const back = moveOf(start.saga, { status: 'PARKED', live: false })
    const end = moveOf({ ...start.saga, seq: 2, state: back.state }, { status: 'FAILED', live: false })
    await commit([start], [back, end])
    const statuses = (await store().history(start.saga.id)).map(({ status }) => status)
    expect(statuses).toEqual(['COMPENSATING', 'PARKED', 'FAILED'])
    expect((await store().history(start.saga.id, 1, 1)).map(({ status }) => status)).toEqual(['PARKED'])
  })

  describe('the moves of all sagas', () => {
    test('come in the order of their commits, whole, with what tells their saga', async () => {
      const one = startOf({ definition: 'one', version: 3, businessKey: 'order-1' })
      const two = startOf({ definition: 'two' })
      const three = moveOf(one.saga, { businessKey: 'order-1', entries: 2, status: 'PARKED', live: false })
      const four = moveOf(two.saga, { businessKey: 'order-2' })
      await commit([two])
      await commit([one])
      await commit([], [three])
      await commit([], [four])
      const known = { ...two.saga, businessKey: 'order-2' } // as it is by now
      const expected = [
        stored(two.entry, known),
        stored(one.entry, one.saga),
        ...three.entries.map((entry) => stored(entry, one.saga)),
        ...four.entries.map((entry) => stored(entry, known)),
      ]
      expect(await new Reader(store()).read(5)).toEqual(expected)
      expect(await new Reader(store(), 1).read(5)).toEqual(expected)
      expect(await new Reader(store(), 3).read(5)).toEqual(expected)
    })

    test('of one batch that moves a saga more than once come by seq', async () => {
      const start = startOf()
      const moves = [1, 2, 3].map((seq) => moveOf({ ...start.saga, seq }))
      await commit([start], moves)
      expect((await new Reader(store(), 2).read(4)).map(({ seq }) => seq)).toEqual([1, 2, 3, 4])
    })

    test('are none where there is none, and the position of then goes on with the first', async () => {
      const { moves, next } = await store().moves(null)
      expect(moves).toEqual([])
      expect(await store().moves(next)).toEqual({ moves: [], damaged: [], next })
      await commit([startOf()])
      const reader = new Reader(store())
      reader.position = next
      await reader.read(1)
    })

    test('go on from any position, however often it is asked for', async () => {
      await commit(Array.from({ length: 7 }, () => startOf()))
      const all = await new Reader(store()).read(7)
      const reader = new Reader(store(), 1)
      for (let index = 0; index < all.length; index++) {
        const { position } = reader
        await reader.page()
        expect((await store().moves(position)).moves).toEqual(all.slice(index))
      }
      if (!durable) return
      await reopen()
      const late = startOf()
      await commit([late])
      const next = new Reader(store())
      next.position = reader.position
      expect(await next.read(1)).toEqual([stored(late.entry, late.saga)])
    })

    test('that were not made are none: a stale move, a start whose key is taken', async () => {
      const start = startOf({ key: 'k' })
      await commit([start])
      await commit([startOf({ key: 'k' }), startOf({ id: start.saga.id })], [moveOf({ ...start.saga, seq: 5 })])
      await commit([], [moveOf(start.saga)])
      expect((await new Reader(store()).read(2)).map(nameOf)).toEqual([1, 2].map((seq) => `${start.saga.id} ${seq}`))
    })

    test('none is missed and none is seen twice while many write, whoever reads', async () => {
      const stores = shared ? [store(), await open(), store(), await open()] : [store(), store(), store(), store()]
      const readers = [new Reader(stores[0] as Store, 7), new Reader(stores[1] as Store, 100)]
      const [writers, rounds] = [8, 15]
      let writing = writers
      const expected = new Set<string>()

      async function write(by: Store): Promise<void> {
        let sagas = Array.from({ length: 3 }, () => startOf())
        for (let round = 0; round < rounds; round++) {
          const moves = sagas.map(({ saga }) => moveOf(saga, { entries: 1 + (round % 2) }))
          await by.commit({ starts: round === 0 ? sagas : [], moves })
          for (const { entry } of round === 0 ? sagas : []) expected.add(nameOf(entry))
          for (const each of moves.flatMap(({ entries }) => entries)) expected.add(nameOf(each))
          sagas = sagas.map((start, index) => {
            const { toSeq = 0, state = start.saga.state } = moves[index] ?? {}
            return { ...start, saga: { ...start.saga, seq: toSeq, state } }
          })
        }
        writing--
      }

      async function follow(reader: Reader): Promise<void> {
        while (writing > 0) if ((await reader.page()).length === 0) await new Promise(setImmediate)
      }

      await Promise.all([
        ...Array.from({ length: writers }, (_, index) => write(stores[index % stores.length] as Store)),
        ...readers.map(follow),
      ])
      for (const reader of [...readers, new Reader(store())]) {
        const seen = await reader.read(expected.size)
        expect(new Set(seen.map(nameOf))).toEqual(expected)
        const last = new Map<string, number>()
        for (const { sagaId, seq } of seen) {
          expect(seq).toBe((last.get(sagaId) ?? 0) + 1)
          last.set(sagaId, seq)
        }
      }
    })

    test('that are pruned go with their sagas, and no later move takes a place before who has seen them', async () => {
      const ended = Array.from({ length: 5 }, () => startOf({ status: 'COMPLETED' }, false))
      const live = startOf()
      await commit([live])
      await commit(ended)
      const [halfway, atEnd] = [new Reader(store(), 3), new Reader(store())]
      await atEnd.read(6)
      await halfway.page()
      expect(await store().prune(0, 100)).toBe(5)
      expect((await new Reader(store()).read(1)).map(nameOf)).toEqual([`${live.saga.id} 1`])
      expect((await store().moves(halfway.position)).moves).toEqual([])
      if (durable) await reopen()
      const late = startOf()
      await commit([late], [moveOf(live.saga)])
      for (const { position } of [halfway, atEnd]) {
        const reader = new Reader(store())
        reader.position = position
        expect((await reader.read(2)).map(nameOf).toSorted()).toEqual(
          [`${late.saga.id} 1`, `${live.saga.id} 2`].toSorted(),
        )
      }
      expect(await store().prune(0, 100)).toBe(0)
      await new Reader(store()).read(3)
    })

    test('keep their page between 1 and 1,000', async () => {
      await commit([startOf(), startOf()])
      await new Reader(store()).read(2)
      expect((await store().moves(null, 0)).moves).toHaveLength(1)
      expect((await store().moves(null, 1e9)).moves).toHaveLength(2)
    })

    test('are refused after what is no position, and after one of another store', async () => {
      await commit([startOf({ id: 'a' })])
      await new Reader(store()).read(1)
      const { next } = await store().moves(null)
      const [identity = ''] = next.split(':')
      const odd = ['', 'nonsense', '1', identity, `${identity}:`, `${identity}:x`, `${identity}:-1:1:a`, `x${next}`]
      const ahead = next.replace(/:\d+/, ':999999999999999')
      for (const position of [...odd, ahead, `${identity}:1:1:\0`])
        await expect(store().moves(position), position).rejects.toThrow(RangeError)
      await elsewhere(async (other) => {
        await expect(other.moves(next)).rejects.toThrow(/is no position among the moves of this store: another/)
      })
    })
  })
}
