/** What a newcomer is shown of orders from stock, over services that run. */
import { expect, test } from 'vitest'
import { call } from '../shared/testing/call.ts'
import { startShop } from '../shared/testing/shop.ts'
import { shopRun } from './first-run-shop.ts'

/** Without the times and ids, which differ, and the states on the way: a stream may begin when they are over. */
const told = (lines: readonly string[]): readonly string[] =>
  lines
    .map((line) => line.replace(/^ +\d+ ms {2}/, '   ').replace(/[\da-f-]{36}/, 'ID'))
    .filter((line) => line !== '' && !/^ {3}STARTED /.test(line))

test('one order is taken, one is more than there is; the next run finds as many lamps again, at their new price', async () => {
  const shop = await startShop()
  try {
    for (let time = 0; time < 2; time++) {
      const lines: string[] = []
      await shopRun(shop.urls, (line) => lines.push(line))
      expect(told(lines).slice(0, 7)).toEqual([
        '5. An order from stock: customer@example.com logs in, and orders 1 of 5 lamps.',
        '   saga ID; what its stream tells:',
        '   COMPLETED    UPDATE_PAYMENT_ORDER_ID',
        '6. An order of more than there is: nothing is taken, neither stock nor money.',
        '   saga ID; what its stream tells:',
        '   FAILED       REDUCE_STOCK',
        expect.stringMatching(/^ {3}The products could not be taken out of stock: 1000 of product \w+ are wanted/),
      ])
      expect(lines).toContain('   4 lamps are left')
      const [, body] = /-d '(.*)'$/.exec(lines.at(-1) ?? '') ?? []
      const headers = { authorization: await shop.token('customer'), 'content-type': 'application/json' }
      expect((await call('POST', `${shop.urls.shop}/orders/create_order`, { body: body ?? '', headers })).status).toBe(
        200,
      )
      const [, product = ''] = /"product_id":"(\w+)"/.exec(body ?? '') ?? []
      const asVendor = { authorization: await shop.token('vendor') }
      const price = { json: { price: 13.49 }, headers: asVendor }
      expect((await call('PUT', `${shop.urls.stock}/product/price/${product}`, price)).status).toBe(200)
    }
  } finally {
    await shop.close()
  }
})

test('the line that it prints for a vendor restocks with his token, and with no other', async () => {
  const shop = await startShop()
  try {
    const lines: string[] = []
    await shopRun(shop.urls, (line) => lines.push(line))
    const [, url = '', body = ''] =
      /POST (\S+\/product\/stock\/\S+) .*-d '(.*)'/.exec(
        lines.find((line) => line.includes('/product/stock/')) ?? '',
      ) ?? []
    const asked = async (role: 'customer' | 'vendor') =>
      call('POST', url, {
        body,
        headers: { authorization: await shop.token(role), 'content-type': 'application/json' },
      })
    expect([(await asked('customer')).status, (await asked('vendor')).body]).toEqual([
      403,
      expect.objectContaining({ data: expect.objectContaining({ Stock: 14 }) as object }),
    ])
  } finally {
    await shop.close()
  }
})

test('where nobody may log in who is not known, that is all that is shown', async () => {
  const shop = await startShop({ firstLook: false })
  try {
    const lines: string[] = []
    await shopRun(shop.urls, (line) => lines.push(line))
    expect(lines).toEqual([expect.stringContaining('log in as a user of your own')])
  } finally {
    await shop.close()
  }
})
