/** Sagas that start within a transaction of the caller's. */
import Libsql from 'libsql'
import { describe, expect, test } from 'vitest'
import { defineSaga } from '../../declare/define.ts'
import type { Problem } from '../../problem.ts'
import { memoryStore } from '../../stores/memory/memory-store.ts'
import { sqliteStore } from '../../stores/sqlite/sqlite-store.ts'
import { memoryTransport } from '../../transports/memory/memory-transport.ts'
import type { EngineOptions, SagaMoved } from './engine.ts'
import { milk, started, turns, until } from './engine.testkit.ts'
import { shopkeeper, shopSaga } from './shop.testkit.ts'

async function setUp(options: Partial<EngineOptions> = {}) {
  const store = sqliteStore({ file: ':memory:' })
  const transport = memoryTransport()
  const shop = await shopkeeper(transport)
  const engine = await started({ store, transport, ...options })
  await store.transaction((tx) => tx.exec('create table cart (id text)'))
  return { store, shop, engine }
}

describe('in SQLite a saga', () => {
  test('is there, and runs, once what the caller wrote with it is committed', async () => {
    const { store, engine, shop } = await setUp()
    const { id, fresh } = await store.transaction(async (tx) => {
      tx.prepare('insert into cart values (?)').run(['cart-1'])
      const begun = await engine.start(shopSaga, milk, { tx, key: 'cart-1' })
      await turns()
      expect(shop.seen).toEqual([])
      return begun
    })
    expect(fresh).toBe(true)
    expect((await engine.result(id)).status).toBe('COMPLETED')
    expect(await engine.start(shopSaga, milk, { key: 'cart-1' })).toMatchObject({ id, fresh: false })
  })

  test('is not there where the transaction is rolled back', async () => {
    const { store, engine, shop } = await setUp()
    const failed = store.transaction(async (tx) => {
      await engine.start(shopSaga, milk, { tx })
      throw new Error('the cart is empty')
    })
    await expect(failed).rejects.toThrow('the cart is empty')
    await turns()
    expect([await engine.count({}), shop.seen]).toEqual([0, []])
  })

  test('is shown from its first move on, and told of where it parks at once', async () => {
    const broken = defineSaga('broken', { version: 1, input: shopSaga.input })
      .step('reserve', {
        do: shopSaga.steps[0]!.do!,
        with: () => {
          throw new Error('a mistake')
        },
        effect: 'none',
      })
      .end()
    const told: Problem[] = []
    const moves: SagaMoved[] = []
    const { store, engine } = await setUp({
      definitions: [shopSaga, broken],
      onProblem: (problem) => told.push(problem),
      onMove: (move) => moves.push(move),
    })
    const parked = await store.transaction((tx) => engine.start(broken, milk, { tx }))
    const sound = await store.transaction((tx) => engine.start(shopSaga, milk, { tx }))
    await engine.result(sound.id)
    expect(told).toMatchObject([
      { sagaId: parked.id, needsPerson: true, what: expect.stringMatching(/is parked at step reserve/) as string },
    ])
    for (const { id } of [parked, sound]) {
      const history = await engine.history(id)
      const shown = moves.filter(({ state }) => state.id === id)
      expect(shown).toMatchObject(history.map(({ seq, at, inputId, events }) => ({ seq, at, inputId, events })))
    }
  })

  test('under a used key is the saga that holds it, and another input under it is refused', async () => {
    const { store, engine } = await setUp()
    const { id } = await engine.start(shopSaga, milk, { key: 'k' })
    expect(await store.transaction((tx) => engine.start(shopSaga, milk, { tx, key: 'k' }))).toEqual({
      id,
      fresh: false,
    })
    const other = store.transaction((tx) => engine.start(shopSaga, { item: 'tea' }, { tx, key: 'k' }))
    await expect(other).rejects.toMatchObject({ code: 'key_reused' })
  })
})

test('a store without such transactions says which have them', async () => {
  const engine = await started({ store: memoryStore() })
  await expect(engine.start(shopSaga, milk, { tx: new Libsql(':memory:') })).rejects.toThrow(
    /PostgreSQL and SQLite can; else start it without tx, under an idempotency key/,
  )
  await until(async () => expect(await engine.count({})).toBe(0))
})
