/**
 * Checks that nothing was sold twice or lost: of every product, what there was and what came are what is left and what was
 * taken. Reads only, in one statement: what it sees is of one moment, however busy the shop is.
 */
import { sql, type Kysely } from 'kysely'
import { z } from 'zod'
import type { StockTables } from './schema.ts'

const count = z.int().meta({ example: 10 })

export const AuditView = z.object({
  ok: z.boolean(),
  problems: z.array(z.string()).readonly().meta({ description: 'A sentence for each', example: [] }),
  totals: z.object({
    products: count,
    initial: count.meta({ description: 'What there was, and what restocking brought' }),
    sold: count.meta({ description: 'Taken by orders and not given back' }),
    held: count.meta({ description: 'In holds' }),
    left: count,
  }),
})

export type Audit = z.infer<typeof AuditView>

/** A problem is no news after so many more. */
const mostProblems = 100

interface Row {
  readonly product_id: string
  readonly stock: number
  readonly supplied: number
  readonly sold: number
  readonly held: number
}

export async function audit(db: Kysely<StockTables>): Promise<Audit> {
  const { rows } = await sql<Row>`
    select products.product_id, stock,
      cast(initial_stock + coalesce(brought.quantity, 0) as bigint) as supplied,
      cast(coalesce(taken.sold, 0) as bigint) as sold,
      cast(coalesce(taken.held, 0) as bigint) as held
    from products
    left join (select product_id, sum(quantity) as quantity from restocks group by product_id) as brought
      on brought.product_id = products.product_id
    left join (
      select product_id,
        sum(case when state = 'TAKEN' then quantity else 0 end) as sold,
        sum(case when state = 'HELD' then quantity else 0 end) as held
      from reservation_lines
      inner join reservations on reservations.transaction_id = reservation_lines.transaction_id
      where state <> 'RETURNED'
      group by product_id
    ) as taken on taken.product_id = products.product_id
    order by products.product_id`.execute(db)
  const problems = rows
    .filter(({ stock, supplied, sold, held }) => stock < 0 || sold + held + stock !== supplied)
    .map(
      ({ product_id, stock, supplied, sold, held }) =>
        `of product ${product_id} there were ${supplied}, but ${sold} are sold, ${held} held and ${stock} left`,
    )
  const sum = (of: (row: Row) => number): number => rows.reduce((total, row) => total + of(row), 0)
  return {
    ok: problems.length === 0,
    problems: problems.slice(0, mostProblems),
    totals: {
      products: rows.length,
      initial: sum(({ supplied }) => supplied),
      sold: sum(({ sold }) => sold),
      held: sum(({ held }) => held),
      left: sum(({ stock }) => stock),
    },
  }
}
