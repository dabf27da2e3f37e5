/** Several processes of the Stock Service share one database. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { postgresUrl, suiteOn } from '../../tests/kit/parts.ts'
import { postgresPlace } from '../shared/testing/places.ts'
import { running, type Place, type Running } from '../shared/testing/running.ts'
import { reduceStock, rollbackStock } from './messages.ts'
import { openStockService } from './service.ts'

suiteOn('PostgreSQL', await postgresUrl(), 'two replicas of the Stock Service', () => {
  let place: Place
  let replicas: readonly Running[]

  beforeEach(async () => {
    place = await postgresPlace()
    replicas = [await running(place, 'stock', openStockService), await running(place, 'stock', openStockService)]
  })
  afterEach(async () => {
    for (const replica of replicas) await replica.close()
    await place.remove?.()
  })

  const at = (nth: number): Running => replicas[nth % 2] as Running
  const add = async (stock: number): Promise<string> => {
    const { body } = await at(0).send('POST', '/product', { name: 'Beans', price: 1, stock, vendor_id: 'v' })
    return (body as { readonly data: { readonly Id: string } }).data.Id
  }
  const reduce = (nth: number, sagaId: string, ids: readonly string[], id?: string) =>
    at(nth).ask(
      reduceStock,
      { products: ids.map((product_id) => ({ product_id, quantity: 1 })) },
      { sagaId, ...(id === undefined ? {} : { id }) },
    )
  const books = async () => (await at(1).get('/stock/audit')).body

  test('sell ten items to ten of a thousand buyers', async () => {
    const id = await add(10)
    const answers = await Promise.all(Array.from({ length: 1_000 }, (_, nth) => reduce(nth, `buyer-${nth}`, [id])))
    expect(answers.filter(({ kind }) => kind === 'done')).toHaveLength(10)
    expect(await books()).toMatchObject({ ok: true, totals: { sold: 10, left: 0 } })
  })

  test('obey a command that both of them get once', async () => {
    const id = await add(100)
    for (let round = 0; round < 20; round++) {
      const both = [0, 1].map((nth) => reduce(nth, `t${round}`, [id], `c${round}`))
      expect((await Promise.all(both)).map(({ kind }) => kind)).toEqual(['done', 'done'])
    }
    expect(await books()).toMatchObject({ ok: true, totals: { sold: 20, left: 80 } })
  })

  test('leave nothing taken of what one of them undoes while the other takes it', async () => {
    const ids = [await add(1_000), await add(1_000)]
    await Promise.all(
      Array.from({ length: 100 }, async (_, nth) => {
        const sagaId = `t${nth}`
        const taken = reduce(nth, sagaId, nth % 3 === 0 ? ids : ids.toReversed())
        const undone = at(nth + 1).ask(rollbackStock, { transaction_id: sagaId }, { sagaId })
        expect([(await undone).kind, ['done', 'rejected'].includes((await taken).kind)]).toEqual(['done', true])
      }),
    )
    expect(await books()).toMatchObject({ ok: true, totals: { sold: 0, left: 2_000 } })
  })
})
