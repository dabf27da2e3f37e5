/**
 * Checks that payments and the sandbox gateway tell the same story: a card is charged where its payment is paid, and only
 * there. A card payment that is `Pending` is being charged, and may be either. Reads only, in one statement each.
 */
import { sql, type Kysely } from 'kysely'
import { z } from 'zod'
import { exampleIds } from '../shared/http/examples.ts'
import type { ShopPaymentTables } from './schema.ts'

const count = z.int().meta({ example: 1 })

export const AuditView = z.object({
  ok: z.boolean(),
  problems: z.array(z.string()).readonly().meta({ description: 'A sentence for each', example: [] }),
  withoutOrder: z
    .array(z.string().meta({ example: exampleIds.shopPayment }))
    .readonly()
    .describe('Payments in force of which no order is known: those of orders under way. At rest there are none'),
  totals: z.object({
    payments: count,
    charged: z.int().meta({ description: 'Whole cents that are paid by card', example: 1299 }),
    cash: z.int().meta({ description: 'Whole cents in cash, collected or not', example: 0 }),
    givenBack: count.meta({ description: 'Payments of which nothing is kept any more' }),
  }),
})

export type Audit = z.infer<typeof AuditView>

/** More of a kind is no news. */
const mostNamed = 100

interface Joined {
  readonly payment_id: string | null
  readonly transaction_id: string
  readonly status: string | null
  readonly cents: number | null
  readonly charged: number | null
}

interface Totals {
  readonly payments: number
  readonly charged: number
  readonly cash: number
  readonly given_back: number
}

export async function audit(db: Kysely<ShopPaymentTables>): Promise<Audit> {
  const { rows: wrong } = await sql<Joined>`
    select payments.payment_id, payments.transaction_id, status, payments.cents, held.cents as charged
    from payments
    left join (select key, cents from card_charges where state = 'CHARGED') as held on held.key = transaction_id
    where (payment_method <> 'Cash on Delivery' and status = 'Success' and (held.cents is null or held.cents <> payments.cents))
      or (held.cents is not null and (payment_method = 'Cash on Delivery' or status not in ('Success', 'Pending')))
    union all
    select null, key, null, null, card_charges.cents from card_charges
    left join payments on transaction_id = key
    where state = 'CHARGED' and payment_id is null
    limit ${mostNamed}`.execute(db)
  const { rows: alone } = await sql<{ readonly payment_id: string }>`
    select payment_id from payments
    where order_id is null and (status = 'Success' or (status = 'Pending' and payment_method = 'Cash on Delivery'))
    order by payment_id limit ${mostNamed}`.execute(db)
  const { rows: sums } = await sql<Totals>`
    select cast(count(*) as bigint) as payments,
      cast(coalesce(sum(case when status = 'Success' and payment_method <> 'Cash on Delivery' then cents else 0 end), 0) as bigint) as charged,
      cast(coalesce(sum(case when status in ('Success', 'Pending') and payment_method = 'Cash on Delivery' then cents else 0 end), 0) as bigint) as cash,
      cast(coalesce(sum(case when status in ('Cancelled', 'Refund') then 1 else 0 end), 0) as bigint) as given_back
    from payments`.execute(db)
  const { payments = 0, charged = 0, cash = 0, given_back: givenBack = 0 } = sums[0] ?? {}
  return {
    ok: wrong.length === 0,
    problems: wrong.map(sentence),
    withoutOrder: alone.map(({ payment_id }) => payment_id),
    totals: { payments, charged, cash, givenBack },
  }
}

const sentence = ({ payment_id, transaction_id, status, cents, charged }: Joined): string =>
  payment_id === null
    ? `the gateway has ${charged} of transaction ${transaction_id}, which has no payment`
    : `payment ${payment_id} of ${cents} is ${status}, and the gateway has ${charged ?? 'nothing'} of it`
