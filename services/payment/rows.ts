/**
 * Payments as rows: how they begin and change.
 *
 * Invariants:
 * - an order has one payment, and so has a command, whoever asks at the same moment;
 * - a row changes only where it is still as the one who changes it has read it.
 */
import { sql, type Insertable, type Kysely } from 'kysely'
import { v7 as uuid } from 'uuid'
import { decimalOf } from '../shared/money/money.ts'
import { dueAgain, dueOf, unknownMs, type Due } from './due.ts'
import type { Gateway, RevertReason } from './gateway.ts'
import type { PaymentRow, PaymentStatus, PaymentTables } from './schema.ts'

/** What a customer is asked to pay, whatever form the command had. */
export interface PaymentRequest {
  readonly orderId: string
  readonly customerId: string
  readonly cents: number
  readonly description: string | null
  readonly stripeCustomerId: string | null
  readonly paymentMethodId: string | null
  readonly returnUrl: string | null
}

interface Begun {
  readonly commandId: string
  readonly sagaId: string
  readonly gateway: Gateway['name']
  readonly expiresAt: number
}

/** The payment of this command or of this order: a new one, `INITIATING`, where there is none. */
export async function beginPayment(
  db: Kysely<PaymentTables>,
  request: PaymentRequest,
  { commandId, sagaId, gateway, expiresAt }: Begun,
  now: number,
): Promise<PaymentRow> {
  const { stripeCustomerId, paymentMethodId, returnUrl } = request
  const begun = await insert(db, {
    ...emptyRow(now),
    command_id: commandId,
    order_id: request.orderId,
    customer_id: request.customerId,
    saga_id: sagaId,
    cents: request.cents,
    description: request.description,
    status: 'INITIATING',
    gateway,
    card: JSON.stringify({ stripeCustomerId, paymentMethodId, returnUrl }),
    expires_at: expiresAt,
    due_at: now + unknownMs,
  })
  const row = begun ?? (await findByCommand(db, commandId)) ?? (await findByOrder(db, request.orderId))
  if (row === undefined) throw new Error(`the payment of order ${request.orderId} vanished while it was begun`)
  return row
}

interface Undone {
  readonly commandId: string
  readonly orderId: string | null
  readonly sagaId: string
  readonly gateway: Gateway['name']
}

/** Marks a command whose undo came first: it finds itself undone, and never reaches the gateway. */
export async function markUndone(
  db: Kysely<PaymentTables>,
  { commandId, orderId, sagaId, gateway }: Undone,
  now: number,
): Promise<void> {
  await insert(db, {
    ...emptyRow(now),
    command_id: commandId,
    order_id: orderId,
    customer_id: null,
    saga_id: sagaId,
    cents: 0,
    description: null,
    status: 'REVERTED',
    gateway,
    card: null,
    expires_at: now,
    due_at: null,
  })
}

const emptyRow = (now: number) => ({
  payment_id: uuid(),
  intent_id: null,
  transfer_id: null,
  runner_id: null,
  runner_account: null,
  revert_reason: null,
  attempt: 0,
  refusal: null,
  version: 1,
  created_at: now,
  updated_at: now,
})

/** The new row; undefined where its command or its order has one already. */
const insert = (
  db: Kysely<PaymentTables>,
  row: Insertable<PaymentTables['payments']>,
): Promise<PaymentRow | undefined> =>
  db
    .insertInto('payments')
    .values(row)
    .onConflict((conflict) => conflict.doNothing())
    .returningAll()
    .executeTakeFirst()

export type PaymentChange = Partial<
  Pick<
    PaymentRow,
    | 'status'
    | 'card'
    | 'intent_id'
    | 'transfer_id'
    | 'runner_id'
    | 'runner_account'
    | 'revert_reason'
    | 'attempt'
    | 'refusal'
  >
>

export interface Changing {
  /** As it was read. */
  readonly row: PaymentRow
  readonly change: PaymentChange
}

/** The rows as they became; one is missing where somebody else has changed it since it was read. */
export async function changePayments(
  db: Kysely<PaymentTables>,
  all: readonly Changing[],
  now: number,
): Promise<readonly PaymentRow[]> {
  const changed: PaymentRow[] = []
  for (const alike of groupAlike(all, now)) {
    const [{ row, change }] = alike
    const due = dueAfter(alike[0], now)
    const intents = change.intent_id === undefined ? {} : { intent_id: intentsOf(alike) }
    const rows = await db
      .updateTable('payments')
      .set((of) => ({
        ...change,
        ...intents,
        due_at: due === 'expires_at' ? of.ref('expires_at') : due,
        version: row.version + 1,
        updated_at: now,
      }))
      .where(
        'payment_id',
        'in',
        alike.map((each) => each.row.payment_id),
      )
      .where('version', '=', row.version)
      .returningAll()
      .execute()
    changed.push(...rows)
  }
  return changed
}

export const changePayment = async (
  db: Kysely<PaymentTables>,
  row: PaymentRow,
  change: PaymentChange,
  now: number,
): Promise<PaymentRow | undefined> => (await changePayments(db, [{ row, change }], now))[0]

/** Who has been refused says so by a new attempt; one without is work that begins, or has moved on. */
const dueAfter = ({ row, change }: Changing, now: number): Due =>
  dueOf(change.status ?? row.status, change.attempt ?? 0, now)

/** Moves a payment back whose look has found nothing out; not where somebody has changed it since. */
export async function putOff(db: Kysely<PaymentTables>, row: PaymentRow, now: number): Promise<void> {
  await db
    .updateTable('payments')
    .set({ due_at: dueAgain(row, now) })
    .where('payment_id', '=', row.payment_id)
    .where('version', '=', row.version)
    .execute()
}

type Alike = readonly [Changing, ...Changing[]]

/** Changes that are one statement: of the same version, and the same in all but the intent. */
function groupAlike(all: readonly Changing[], now: number): readonly Alike[] {
  const groups = new Map<string, [Changing, ...Changing[]]>()
  for (const each of all) {
    const { intent_id: intent, ...others } = each.change
    const key = JSON.stringify([each.row.version, intent === undefined, others, dueAfter(each, now)])
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [each])
    else group.push(each)
  }
  return [...groups.values()]
}

const intentsOf = (alike: Alike) =>
  sql<string | null>`case payment_id ${sql.join(
    alike.map(({ row, change }) => sql`when ${row.payment_id} then ${change.intent_id ?? null}`),
    sql` `,
  )} end`

export const findPayment = (db: Kysely<PaymentTables>, paymentId: string): Promise<PaymentRow | undefined> =>
  db.selectFrom('payments').selectAll().where('payment_id', '=', paymentId).executeTakeFirst()

export const findByCommand = (db: Kysely<PaymentTables>, commandId: string): Promise<PaymentRow | undefined> =>
  db.selectFrom('payments').selectAll().where('command_id', '=', commandId).executeTakeFirst()

export const findByOrder = (db: Kysely<PaymentTables>, orderId: string): Promise<PaymentRow | undefined> =>
  db.selectFrom('payments').selectAll().where('order_id', '=', orderId).executeTakeFirst()

/** A marker stands for a payment that never was; people are not shown it. */
export const isMarker = (row: PaymentRow): boolean => row.customer_id === null

/** What a user has paid as a customer and got as a runner; payments that reached the runner count. */
export async function historyOf(db: Kysely<PaymentTables>, userId: string) {
  const total = async (who: 'customer_id' | 'runner_id') => {
    const rows = await db
      .selectFrom('payments')
      .select((select) => [
        select.fn.countAll<number>().as('count'),
        select.cast<number>(select.fn.sum('cents'), 'bigint').as('cents'),
      ])
      .where(who, '=', userId)
      .where('status', '=', 'SUCCEEDED')
      .executeTakeFirstOrThrow()
    return { count: rows.count, amount: decimalOf(rows.cents ?? 0) }
  }
  const [spent, earned] = [await total('customer_id'), await total('runner_id')]
  return {
    userId,
    totalSpent: spent.amount,
    totalEarned: earned.amount,
    spentCount: spent.count,
    earnedCount: earned.count,
  }
}

const open: readonly PaymentStatus[] = ['INITIATING', 'AUTHORIZED', 'RELEASING', 'CAPTURED', 'REVERTING']

/** How many payments are not at their end and were begun at another gateway than these. */
export async function countElsewhere(db: Kysely<PaymentTables>, gateways: readonly Gateway['name'][]): Promise<number> {
  const { count } = await db
    .selectFrom('payments')
    .select((select) => select.fn.countAll<number>().as('count'))
    .where('status', 'in', open)
    .where('gateway', 'not in', gateways)
    .executeTakeFirstOrThrow()
  return count
}

/**
 * Payments that wait for nobody but us, by their due time. Only of gateways that can be asked: others would fill every page,
 * and nothing could be done for them.
 */
export const findDue = (
  db: Kysely<PaymentTables>,
  now: number,
  gateways: readonly Gateway['name'][],
  limit: number,
): Promise<readonly PaymentRow[]> =>
  db
    .selectFrom('payments')
    .selectAll()
    .where('gateway', 'in', gateways)
    .where('due_at', '<=', now)
    .orderBy('due_at')
    .limit(limit)
    .execute()

const revertReasons: readonly RevertReason[] = ['duplicate', 'fraudulent', 'requested_by_customer', 'abandoned']

/** The contract's reason for free text. */
export const revertReasonOf = (text: string | null | undefined): RevertReason =>
  revertReasons.find((reason) => reason === text) ?? 'requested_by_customer'
