/** What the Stock Service does, on either database, seen from outside. Time stands still unless a test moves it. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { running, type NewPlace, type Place, type Running } from '../shared/testing/running.ts'
import { reduceStock, rollbackStock } from './messages.ts'
import { openStockService } from './service.ts'

const noon = Date.UTC(2026, 0, 1, 12)

export function stockServiceContract(name: string, newPlace: NewPlace): void {
  describe(`the Stock Service on ${name}`, () => {
    let place: Place
    let stock: Running
    let now: number
    let wake: () => void

    const start = async (): Promise<void> => {
      stock = await running(
        place,
        'stock',
        (options) =>
          openStockService({
            ...options,
            sleep: (_ms, ring) => {
              wake = ring
              return () => undefined
            },
          }),
        () => now,
      )
    }
    beforeEach(async () => {
      now = noon
      place = await newPlace()
      await start()
    })
    afterEach(async () => {
      await stock.close()
      await place.remove?.()
    })

    const beans = { name: 'Beans', price: 19.99, stock: 10, vendor_id: 'v@example.com' }
    const add = async (product: Partial<typeof beans> = {}): Promise<string> => {
      const { status, body } = await stock.send('POST', '/product', { ...beans, ...product })
      expect(status).toBe(201)
      return (body as { readonly data: { readonly Id: string } }).data.Id
    }
    const left = async (id: string): Promise<unknown> =>
      ((await stock.get(`/product/stock/${id}`)).body as { readonly data: unknown }).data
    const reduce = (sagaId: string, products: Readonly<Record<string, number>>, asked = {}) =>
      stock.ask(
        reduceStock,
        { products: Object.entries(products).map(([product_id, quantity]) => ({ product_id, quantity })) },
        { sagaId, ...asked },
      )
    const rollback = (sagaId: string, asked = {}) =>
      stock.ask(rollbackStock, { transaction_id: sagaId }, { sagaId, ...asked })
    const books = async () =>
      (await stock.get('/stock/audit')).body as {
        readonly ok: boolean
        readonly problems: readonly string[]
        readonly totals: Readonly<Record<string, number>>
      }

    describe('orders', () => {
      test('take what they want, and are answered as the wire says', async () => {
        const id = await add()
        const answer = await reduce('t1', { [id]: 3 })
        expect(answer.message).toMatchObject({
          type: 'reduce_stock.success',
          correlationId: 't1',
          source: 'stock-service',
          payload: null,
        })
        expect(await left(id)).toBe(7)
      })

      test('take all of their products or none', async () => {
        const [plenty, little] = [await add(), await add({ stock: 1 })]
        expect(await reduce('t1', { [plenty]: 2, [little]: 2 })).toMatchObject({
          kind: 'rejected',
          reason: `2 of product ${little} are wanted, and 1 are left`,
        })
        expect([await left(plenty), await left(little)]).toEqual([10, 1])
      })

      test('that are refused may be asked for again in less', async () => {
        const id = await add({ stock: 1 })
        await reduce('t1', { [id]: 2 })
        expect(await reduce('t1', { [id]: 1 })).toMatchObject({ kind: 'done' })
      })

      test('that name a product twice take it in sum', async () => {
        const id = await add({ stock: 3 })
        const twice = { product_id: id, quantity: 2 }
        expect(await stock.ask(reduceStock, { products: [twice, twice] })).toMatchObject({ kind: 'rejected' })
        expect(await left(id)).toBe(3)
      })

      test('a thousand buyers of ten items: exactly ten get one', async () => {
        const id = await add()
        const answers = await Promise.all(
          Array.from({ length: 1_000 }, (_, nth) => reduce(`buyer-${nth}`, { [id]: 1 })),
        )
        expect(answers.filter(({ kind }) => kind === 'done')).toHaveLength(10)
        expect(answers.filter(({ kind }) => kind === 'rejected')).toHaveLength(990)
        expect(await left(id)).toBe(0)
        expect(await books()).toMatchObject({ ok: true, totals: { sold: 10, held: 0 } })
      })

      test('of a transaction that come again under another id take once', async () => {
        const id = await add()
        await reduce('t1', { [id]: 3 }, { id: 'c1' })
        expect(await reduce('t1', { [id]: 3 }, { id: 'c1' })).toMatchObject({ kind: 'done' })
        expect(await reduce('t1', { [id]: 3 }, { id: 'c2' })).toMatchObject({ kind: 'done' })
        expect(await left(id)).toBe(7)
      })

      test('of a transaction that has taken something else are refused', async () => {
        const id = await add()
        await reduce('t1', { [id]: 3 })
        expect(await reduce('t1', { [id]: 4 })).toMatchObject({
          kind: 'rejected',
          reason: 'its transaction has taken something else already',
        })
        expect(await left(id)).toBe(7)
      })

      test('of a product that there is not, or not any more, are refused with its id', async () => {
        const id = await add()
        await stock.send('DELETE', `/product/${id}`)
        expect(await reduce('t1', { [id]: 1 })).toMatchObject({ reason: `there is no product ${id}` })
        expect(await reduce('t2', { nothing: 1 })).toMatchObject({ reason: 'there is no product nothing' })
      })

      test.each([
        ['nothing at all', []],
        ['none of a product', [{ product_id: 'p', quantity: 0 }]],
        ['less than none', [{ product_id: 'p', quantity: -1 }]],
        ['a part of one', [{ product_id: 'p', quantity: 1.5 }]],
        ['more than any order has', [{ product_id: 'p', quantity: 1e20 }]],
        ['a number in words', [{ product_id: 'p', quantity: 'two' as unknown as number }]],
      ])('for %s are refused', async (_what, products) => {
        expect(await stock.ask(reduceStock, { products })).toMatchObject({
          kind: 'rejected',
          reason: expect.stringContaining('products') as string,
        })
      })
    })

    describe('an undo', () => {
      test('gives back exactly what was taken, once', async () => {
        const [one, other] = [await add(), await add()]
        await reduce('t1', { [one]: 3, [other]: 1 })
        await reduce('t2', { [one]: 2 })
        expect((await rollback('t1')).message).toMatchObject({ type: 'rollback_stock.success', payload: null })
        expect(await rollback('t1')).toMatchObject({ kind: 'done' })
        expect([await left(one), await left(other)]).toEqual([8, 10])
        expect(await books()).toMatchObject({ ok: true })
      })

      test('that comes first keeps the late command out, under whatever id', async () => {
        const id = await add()
        await rollback('t1')
        expect(await reduce('t1', { [id]: 1 })).toMatchObject({
          kind: 'rejected',
          reason: 'it was undone before it arrived',
        })
        expect(await left(id)).toBe(10)
      })

      test('that names its command keeps it out', async () => {
        const id = await add()
        await rollback('t1', { undoes: 'c1' })
        expect(await reduce('t1', { [id]: 1 }, { id: 'c1' })).toMatchObject({ kind: 'rejected' })
      })

      test('of what was refused gives nothing back', async () => {
        const id = await add({ stock: 1 })
        await reduce('t1', { [id]: 2 })
        expect(await rollback('t1')).toMatchObject({ kind: 'done' })
        expect(await left(id)).toBe(1)
      })

      test('reads whatever is in it', async () => {
        for (const payload of [null, {}, { transaction_id: 7 }, 'text'])
          expect(await stock.ask(rollbackStock, payload as null)).toMatchObject({ kind: 'done' })
      })

      test('of a product that was removed meanwhile keeps the books right', async () => {
        const id = await add()
        await reduce('t1', { [id]: 4 })
        await stock.send('DELETE', `/product/${id}`)
        await rollback('t1')
        expect(await books()).toMatchObject({ ok: true })
      })

      test('and orders that come at once leave each product as many as there are', async () => {
        const ids = [await add({ stock: 5 }), await add({ stock: 5 }), await add({ stock: 5 })] as const
        await Promise.all(
          Array.from({ length: 150 }, async (_, nth) => {
            const [one, other] = [ids[nth % 3], ids[(nth + 1) % 3]] as [string, string]
            const { kind } = await reduce(`o${nth}`, { [one]: 1, [other]: 1 })
            if (kind === 'done' && nth % 2 === 0) await rollback(`o${nth}`)
          }),
        )
        expect(await books()).toMatchObject({ ok: true, problems: [] })
      })
    })

    describe('holds', () => {
      const hold = async (products: Readonly<Record<string, number>>, seconds = 60) =>
        stock.send('POST', '/stock/holds', {
          products: Object.entries(products).map(([product_id, quantity]) => ({ product_id, quantity })),
          seconds,
        })
      const idOf = ({ body }: Awaited<ReturnType<typeof hold>>): string =>
        (body as { readonly data: { readonly Id: string } }).data.Id
      const stateOf = async (id: string) => (await stock.get(`/stock/holds/${id}`)).body

      test('are given back when their time is over, and not before', async () => {
        const id = await add()
        const held = await hold({ [id]: 4 })
        expect(held).toMatchObject({
          status: 201,
          body: {
            status: 'success',
            data: { State: 'HELD', ExpiresAt: '2026-01-01T12:01:00.000', Products: [{ ProductId: id, Quantity: 4 }] },
          },
        })
        now += 59_999
        wake()
        expect(await left(id)).toBe(6)
        now += 1
        await expect
          .poll(() => {
            wake()
            return left(id)
          })
          .toBe(10)
        expect(await stateOf(idOf(held))).toMatchObject({ data: { State: 'RETURNED' } })
        expect(await books()).toMatchObject({ ok: true })
      })

      test('are given back after a restart, where their time was over meanwhile', async () => {
        const id = await add()
        await hold({ [id]: 4 })
        await stock.close()
        now += 120_000
        await start()
        await expect.poll(() => left(id)).toBe(10)
      })

      test('that are kept stay taken, and those that are given back do not', async () => {
        const id = await add()
        const [kept, ended] = [idOf(await hold({ [id]: 1 })), idOf(await hold({ [id]: 2 }))]
        expect(await stock.send('POST', `/stock/holds/${kept}/keep`)).toMatchObject({
          status: 200,
          body: { data: { State: 'TAKEN', ExpiresAt: null } },
        })
        expect(await stock.send('DELETE', `/stock/holds/${ended}`)).toMatchObject({
          status: 200,
          body: { data: { State: 'RETURNED' } },
        })
        expect(await stock.send('POST', `/stock/holds/${ended}/keep`)).toMatchObject({ status: 409 })
        expect(await stock.send('DELETE', `/stock/holds/${kept}`)).toMatchObject({ status: 409 })
        now += 120_000
        wake()
        expect(await left(id)).toBe(9)
      })

      test('are not kept once their time is over', async () => {
        const id = await add()
        const held = idOf(await hold({ [id]: 1 }))
        now += 60_000
        expect(await stock.send('POST', `/stock/holds/${held}/keep`)).toMatchObject({
          status: 409,
          body: { status: 'error', message: expect.stringContaining('RETURNED') as string, data: null },
        })
      })

      test('of more than there is are refused, and none is held', async () => {
        const id = await add()
        expect(await hold({ [id]: 11 })).toMatchObject({
          status: 409,
          body: { message: expect.stringContaining('11') as string },
        })
        expect(await left(id)).toBe(10)
      })

      test('and what orders took are shown by their ids; an order keeps what it took, however late', async () => {
        const id = await add()
        await reduce('t1', { [id]: 2 })
        now += 365 * 86_400_000
        wake()
        expect(await stateOf('t1')).toMatchObject({
          data: { Id: 't1', State: 'TAKEN', ExpiresAt: null, Products: [{ ProductId: id, Quantity: 2 }] },
        })
        expect(await stock.send('DELETE', '/stock/holds/t1')).toMatchObject({ status: 409 })
        expect(await stock.get('/stock/holds/nothing')).toMatchObject({ status: 404 })
      })
    })

    describe('products over HTTP', () => {
      test('are shown as the wire says, the price to the cent', async () => {
        const id = await add()
        expect(id).toMatch(/^[0-9a-f]{24}$/)
        expect(await stock.get(`/product/${id}`)).toEqual({
          status: 200,
          body: {
            status: 'success',
            message: 'Product found',
            data: {
              Id: id,
              Name: 'Beans',
              Price: 19.99,
              Stock: 10,
              VendorId: 'v@example.com',
              Image: '',
              CategoryId: '',
              Description: '',
            },
          },
        })
      })

      test('are listed by vendor, by category, by a part of the name, and page by page', async () => {
        const category = await stock.send('POST', '/category', { name: 'Tools' })
        const { Id: category_id } = (category.body as { data: { Id: string } }).data
        const ids: string[] = []
        for (const [name, vendor_id] of [
          ['100% Hammer', 'a'],
          ['hammer drill', 'b'],
          ['Saw', 'B'],
        ])
          ids.push(await add({ name, vendor_id, category_id } as Partial<typeof beans>))
        const names = async (path: string) =>
          ((await stock.get(path)).body as { data: { Name: string }[] }).data.map(({ Name }) => Name).toSorted()
        for (const written of ['b', 'B'])
          expect(await names(`/product/vendor/${written}`)).toEqual(['Saw', 'hammer drill'])
        expect(await names(`/product/category/${category_id}`)).toEqual(['100% Hammer', 'Saw', 'hammer drill'])
        expect(await names('/product/many/HAMMER')).toEqual(['100% Hammer', 'hammer drill'])
        expect(await names('/product/many/0%25%20h')).toEqual(['100% Hammer'])
        expect(await names('/product/many/_')).toEqual([])
        const [, , last = ''] = ids.toSorted()
        expect(await names(`/product?limit=1000&after=${last}`)).toEqual([])
        expect((await names('/product?limit=1')).length).toBe(1)
        expect(await names('/product')).toEqual(expect.arrayContaining(['100% Hammer', 'Saw', 'hammer drill']))
      })

      test('are changed field by field, and removed', async () => {
        const id = await add()
        for (const [field, value] of [
          ['name', 'Tea'],
          ['price', 4.35],
          ['image', 'https://example.com/tea.png'],
          ['description', 'Green'],
        ] as const)
          expect(await stock.send('PUT', `/product/${field}/${id}`, { [field]: value })).toMatchObject({ status: 200 })
        expect((await stock.get(`/product/${id}`)).body).toMatchObject({
          data: { Name: 'Tea', Price: 4.35, Image: 'https://example.com/tea.png', Description: 'Green' },
        })
        expect(await stock.send('DELETE', `/product/${id}`)).toMatchObject({
          status: 200,
          body: { status: 'success', data: null },
        })
        expect(await stock.get(`/product/${id}`)).toMatchObject({
          status: 404,
          body: { status: 'error', message: expect.stringContaining(id) as string, data: null },
        })
      })

      test('are restocked once under a key, and the books know it', async () => {
        const id = await add()
        const { url } = stock.service
        const restock = (quantity: number, key?: string) =>
          fetch(`${url}/product/stock/${id}`, {
            method: 'POST',
            body: JSON.stringify({ quantity }),
            headers: { 'content-type': 'application/json', ...(key === undefined ? {} : { 'idempotency-key': key }) },
          })
        await restock(5, 'k')
        await restock(5, 'k')
        expect(await left(id)).toBe(15)
        expect((await restock(6, 'k')).status).toBe(422)
        await restock(1)
        expect(await left(id)).toBe(16)
        expect(await books()).toMatchObject({ ok: true })
        expect(await stock.send('POST', '/product/stock/nothing', { quantity: 1 })).toMatchObject({ status: 404 })
      })

      test('have categories that are read, renamed and removed', async () => {
        const added = await stock.send('POST', '/category', { name: 'Tools' })
        const { Id } = (added.body as { data: { Id: string } }).data
        expect(await stock.send('PUT', `/category/${Id}`, { name: 'Hand tools' })).toMatchObject({ status: 200 })
        expect((await stock.get(`/category/${Id}`)).body).toMatchObject({ data: { Id, Name: 'Hand tools' } })
        expect((await stock.get('/category')).body).toMatchObject({
          data: expect.arrayContaining([{ Id, Name: 'Hand tools' }]) as unknown,
        })
        await stock.send('DELETE', `/category/${Id}`)
        expect(await stock.get(`/category/${Id}`)).toMatchObject({ status: 404 })
      })

      test.each([
        [-1, 'price must be at least 0'],
        [1_000_000, 'price must be at most 999999.99'],
        [1.999, 'price: it must not have more than two decimals'],
      ])('are not added at the price %s, which is said once', async (price, message) => {
        const { status, body } = await stock.send('POST', '/product', { ...beans, price })
        expect([status, body]).toEqual([400, { status: 'error', message, data: null }])
      })

      test.each([
        ['a price in parts of a cent', { price: 1.999 }],
        ['a negative price', { price: -1 }],
        ['a negative stock', { stock: -1 }],
        ['a part of a product', { stock: 1.5 }],
        ['no name', { name: '' }],
        ['no vendor', { vendor_id: undefined }],
      ])('are not added with %s', async (_what, wrong) => {
        expect(await stock.send('POST', '/product', { ...beans, ...wrong })).toMatchObject({
          status: 400,
          body: { status: 'error', message: expect.stringMatching(/\w+ \w+/) as string, data: null },
        })
      })
    })
  })
}
