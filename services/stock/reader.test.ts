import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { productReader, type ProductReader } from './reader.ts'

let server: Server
let read: ProductReader
/** The requests that are not answered yet, and the paths of all that came. */
let open: ServerResponse[]
let paths: string[]
let answer: (response: ServerResponse) => void

beforeEach(async () => {
  ;[open, paths] = [[], []]
  answer = (response) => response.end(product(4.5))
  server = createServer((request, response) => {
    paths.push(request.url ?? '')
    answer(response)
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const { port } = server.address() as AddressInfo
  read = productReader(() => `http://127.0.0.1:${port}/`)
})
afterEach(() => {
  server.closeAllConnections()
  server.close()
})

const product = (Price: unknown): string =>
  JSON.stringify({ status: 'success', message: '', data: { Name: 'Lamp', Price, VendorId: 'v@example.com' } })
const replies = (status: number, body: string) => {
  answer = (response) => response.writeHead(status).end(body)
}

test('reads the name, the price and the vendor, whatever the id holds', async () => {
  expect(await read('a/b?c')).toEqual({ name: 'Lamp', price: 4.5, vendor: 'v@example.com' })
  expect(paths).toEqual(['/product/a%2Fb%3Fc'])
})

test.each([
  [404, '{}'],
  [400, '{"status":"error"}'],
  [200, '{"status":"error","message":"none","data":null}'],
])('%i with %s says that there is none', async (status, body) => {
  replies(status, body)
  expect(await read('x')).toBeNull()
})

test.each([
  [500, '{"status":"error"}'],
  [429, ''],
  [503, '{}'],
  [200, 'no JSON'],
  [200, '{"status":"success","data":null}'],
  [200, product('4.5')],
  [302, ''],
])('%i with %s says nothing of the product', async (status, body) => {
  replies(status, body)
  await expect(read('x')).rejects.toMatchObject({ code: 'unavailable' })
})

test('500 may be how it knows no such product, which is said and not taken for granted', async () => {
  replies(500, '{"status":"error"}')
  await expect(read('x')).rejects.toThrow(/answers 500, as one that is not ours may for an id that it does not know$/)
  replies(502, '')
  await expect(read('x')).rejects.toThrow(/answers 502$/)
})

test('follows nobody elsewhere', async () => {
  answer = (response) => response.writeHead(302, { location: '/other' }).end()
  await expect(read('x')).rejects.toMatchObject({ code: 'unavailable' })
  expect(paths).toEqual(['/product/x'])
})

test('has 32 requests open at once, and one alone for all who ask for a product that waits', async () => {
  answer = (response) => void open.push(response)
  const first = Array.from({ length: 32 }, (_none, n) => read(`p${n}`))
  const rush = Array.from({ length: 500 }, () => read('hot'))
  await expect.poll(() => open.length).toBe(32)
  expect(paths).not.toContain('/product/hot')
  for (const response of open.splice(0)) response.end(product(1))
  await Promise.all(first)
  await expect.poll(() => open.length).toBe(1)
  // It is under way: its answer may be older than this question.
  const later = read('hot')
  await expect.poll(() => open.length).toBe(2)
  for (const [price, response] of open.splice(0).entries()) response.end(product(price))
  expect(new Set((await Promise.all(rush)).map((each) => each?.price))).toEqual(new Set([0]))
  expect((await later)?.price).toBe(1)
})
