/**
 * Reservations of one hot product: orders that all want the same. Beside it the raw limit: the same rows in the same database, in
 * batches of as many orders, through the bare driver.
 */
import Libsql from 'libsql'
import { memoryTransport } from 'ordersaga/transports/memory'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { v7 as uuidv7 } from 'uuid'
import type { DatabaseTarget } from '../services/shared/database/database.ts'
import { orderOrchestrationChannels } from '../services/shared/order-orchestration.ts'
import { createLog } from '../services/shared/log/log.ts'
import { openStockService } from '../services/stock/service.ts'
import { freshDatabase, postgresUrl } from '../tests/kit/parts.ts'
import { head, print, row, whole } from './table.ts'

const windows = [1, 64, 256] as const
const largest = 256

export async function benchStock(quick: boolean): Promise<void> {
  const reservations = quick ? 2_000 : 20_000
  head(['one product on', 'in flight', 'reservations/s', 'of the raw limit'])
  const folder = mkdtempSync(join(tmpdir(), 'ordersaga-bench-'))
  try {
    const file = join(folder, 'stock.db')
    await benchOn('SQLite', { kind: 'sqlite', file }, reservations, (product) => rawSqlite(file, product, reservations))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  if ((await postgresUrl()) !== null) {
    const database = await freshDatabase()
    const { url } = database
    try {
      await benchOn('PostgreSQL', { kind: 'postgres', url }, reservations, (product) =>
        rawPostgres(url, product, reservations),
      )
    } finally {
      await database.drop()
    }
  }
  print('')
}

async function benchOn(
  name: string,
  database: DatabaseTarget,
  reservations: number,
  raw: (product: string) => Promise<number>,
): Promise<void> {
  const { perSecond, product } = await reserve(database, reservations)
  const limit = await raw(product)
  for (const [index, inFlight] of windows.entries()) {
    const rate = perSecond[index] ?? 0
    row([name, inFlight, whole(rate), inFlight === largest ? `${whole((100 * rate) / limit)} %` : ''])
  }
  row([name, `raw, batches of ${largest}`, whole(limit), ''])
}

/** @throws Error where a reservation is refused, or the books are wrong: a wrong run has no figures */
async function reserve(
  database: DatabaseTarget,
  reservations: number,
): Promise<{ readonly perSecond: readonly number[]; readonly product: string }> {
  const transport = memoryTransport()
  const service = await openStockService({
    database,
    transport,
    host: '127.0.0.1',
    port: 0,
    log: createLog('bench', 'silent'),
    now: Date.now,
  })
  try {
    const waiting = new Map<string, () => void>()
    await transport.subscribe(orderOrchestrationChannels.replies, 'bench', async (batch) => {
      for (const { type, correlationId } of batch) {
        if (type !== 'reduce_stock.success') throw new Error(`${correlationId} was answered ${type}`)
        waiting.get(correlationId)?.()
        waiting.delete(correlationId)
      }
    })
    const product = await addProduct(service.url, reservations * (windows.length + 2))
    const once = async (): Promise<void> => {
      const id = uuidv7()
      const answered = new Promise<void>((resolve) => waiting.set(id, resolve))
      await transport.publish(orderOrchestrationChannels.stock, [
        {
          id: `${id}:stock:do`,
          type: 'reduce_stock',
          correlationId: id,
          timestamp: new Date().toISOString(),
          payload: { products: [{ product_id: product, quantity: 1 }] },
        },
      ])
      await answered
    }
    await many(once, reservations / 10, largest) // until the code is warm
    const perSecond: number[] = []
    for (const inFlight of windows) {
      const count = inFlight === 1 ? reservations / 10 : reservations
      perSecond.push(count / (await many(once, count, inFlight)))
    }
    const { ok } = (await (await fetch(`${service.url}/stock/audit`)).json()) as { readonly ok: boolean }
    if (!ok) throw new Error('the books of the stock are wrong')
    return { perSecond, product }
  } finally {
    await service.close()
    await transport.close()
  }
}

/** @returns seconds */
async function many(once: () => Promise<void>, count: number, inFlight: number): Promise<number> {
  let left = count
  const began = performance.now()
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (left-- > 0) await once()
    }),
  )
  return (performance.now() - began) / 1000
}

async function addProduct(url: string, stock: number): Promise<string> {
  const answer = await fetch(`${url}/product`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'Hot', price: 19.99, stock, vendor_id: 'v@example.com' }),
  })
  return ((await answer.json()) as { readonly data: { readonly Id: string } }).data.Id
}

function* batchesOf(count: number): Generator<readonly string[]> {
  for (let done = 0; done < count; done += largest) yield Array.from({ length: largest }, () => uuidv7())
}

const insertInto = (table: string, columns: string): string => `insert into ${table} (${columns})`

async function rawSqlite(file: string, product: string, count: number): Promise<number> {
  const database = new Libsql(file)
  database.exec('pragma journal_mode = wal')
  database.exec('pragma synchronous = full')
  const take = database.prepare('update products set stock = stock - ?, updated_at = ? where product_id = ?')
  const reservation = database.prepare(
    `${insertInto('reservations', 'transaction_id, state, created_at, updated_at')} values (?, 'TAKEN', ?, ?)`,
  )
  const line = database.prepare(
    `${insertInto('reservation_lines', 'transaction_id, product_id, quantity')} values (?, ?, 1)`,
  )
  const reply = database.prepare(
    `${insertInto('inbox', 'command_id, kind, type, payload, stored_at')} values (?, 'done', 'reduce_stock.success', 'null', ?)`,
  )
  let written = 0
  const began = performance.now()
  for (const ids of batchesOf(count)) {
    const at = Date.now()
    database.exec('begin immediate')
    take.run([ids.length, at, product])
    for (const id of ids) {
      reservation.run([id, at, at])
      line.run([id, product])
      reply.run([`${id}:stock:do`, at])
    }
    database.exec('commit')
    written += ids.length
  }
  const seconds = (performance.now() - began) / 1000
  database.close()
  return written / seconds
}

async function rawPostgres(url: string, product: string, count: number): Promise<number> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  let written = 0
  const began = performance.now()
  for (const ids of batchesOf(count)) {
    const at = Date.now()
    await client.query({
      name: 'raw',
      text: `with taken as (
          update products set stock = stock - $2::int8, updated_at = $3::int8 where product_id = $4
        ), reserved as (
          ${insertInto('reservations', 'transaction_id, state, created_at, updated_at')}
          select id, 'TAKEN', $3::int8, $3::int8 from unnest($1::text[]) as t(id)
        ), lines as (
          ${insertInto('reservation_lines', 'transaction_id, product_id, quantity')}
          select id, $4, 1 from unnest($1::text[]) as t(id)
        )
        ${insertInto('inbox', 'command_id, kind, type, payload, stored_at')}
        select id || ':stock:do', 'done', 'reduce_stock.success', 'null', $3::int8 from unnest($1::text[]) as t(id)`,
      values: [ids, ids.length, at, product],
    })
    written += ids.length
  }
  const seconds = (performance.now() - began) / 1000
  await client.end()
  return written / seconds
}
