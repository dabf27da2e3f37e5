/**
 * A gateway to try everything with, without an account anywhere: it moves play money in tables of its own.
 *
 * It lives in the Payment Service's database for convenience only. It behaves as the outside system that it stands for:
 * every call commits by itself, before it is answered, and nothing of it is rolled back with the caller.
 *
 * Its keys are in `sandbox_calls`. Emptied, it has forgotten them as Stripe does after a day, and finds what it has done for
 * a payment by the payment's id.
 *
 * Cards by their token (`payment_method_id`); a missing or unknown one behaves like the good card:
 * - `pm_sandbox_ok`: all goes well;
 * - `pm_sandbox_declined`: the hold is refused;
 * - `pm_sandbox_slow`: the money is held at once, the answer comes late;
 * - `pm_sandbox_lost_answer`: the money is held and the answer that says so first is lost;
 * - `pm_sandbox_release_fails`: held and taken, but the runner cannot be paid.
 */
import { setTimeout as systemDelay } from 'node:timers/promises'
import { sql, type Kysely, type Migration, type Transaction } from 'kysely'
import { v7 as uuid } from 'uuid'
import { retryContention } from '../shared/database/database.ts'
import type { Gateway, GatewayAnswer, Refused } from './gateway.ts'

export interface SandboxTables {
  sandbox_intents: {
    intent_id: string
    payment_id: string
    cents: number
    card: string
    status: 'requires_capture' | 'succeeded' | 'canceled' | 'refunded'
  }
  sandbox_transfers: { transfer_id: string; intent_id: string; account: string; cents: number; reversed: number }
  /** The first answer given under each key. */
  sandbox_calls: { key: string; request: string; answer: string }
}

export const sandboxMigration: Migration = {
  async up(db) {
    await db.schema
      .createTable('sandbox_intents')
      .addColumn('intent_id', 'text', (column) => column.primaryKey())
      .addColumn('payment_id', 'text', (column) => column.notNull())
      .addColumn('cents', 'bigint', (column) => column.notNull())
      .addColumn('card', 'text', (column) => column.notNull())
      .addColumn('status', 'text', (column) => column.notNull())
      .execute()
    await db.schema.createIndex('sandbox_intents_by_payment').on('sandbox_intents').column('payment_id').execute()
    await db.schema
      .createTable('sandbox_transfers')
      .addColumn('transfer_id', 'text', (column) => column.primaryKey())
      .addColumn('intent_id', 'text', (column) => column.notNull())
      .addColumn('account', 'text', (column) => column.notNull())
      .addColumn('cents', 'bigint', (column) => column.notNull())
      .addColumn('reversed', 'bigint', (column) => column.notNull())
      .execute()
    await db.schema.createIndex('sandbox_transfers_by_intent').on('sandbox_transfers').column('intent_id').execute()
    await db.schema
      .createTable('sandbox_calls')
      .addColumn('key', 'text', (column) => column.primaryKey())
      .addColumn('request', 'text', (column) => column.notNull())
      .addColumn('answer', 'text', (column) => column.notNull())
      .execute()
  },
}

export interface SandboxOptions {
  /** How late the slow card answers; 1.5 s where nothing is given. */
  readonly slow?: () => Promise<void>
}

type Tx = Transaction<SandboxTables>

export function sandboxGateway<S extends SandboxTables>(database: Kysely<S>, options: SandboxOptions = {}): Gateway {
  const db = database as unknown as Kysely<SandboxTables>
  const slow = options.slow ?? (() => systemDelay(1_500))

  /** Does the work once per key. The answer that is expected is kept at once; another one costs a statement more. */
  async function once<Told>(
    key: string,
    request: unknown,
    work: (tx: Tx) => Promise<GatewayAnswer<Told>>,
    expected: GatewayAnswer<Told> | null = null,
  ): Promise<GatewayAnswer<Told>> {
    const asked = JSON.stringify(request)
    return retryContention(() =>
      db.transaction().execute(async (tx) => {
        const { numInsertedOrUpdatedRows } = await tx
          .insertInto('sandbox_calls')
          .values({ key, request: asked, answer: expected === null ? '' : JSON.stringify(expected) })
          .onConflict((conflict) => conflict.column('key').doNothing())
          .executeTakeFirstOrThrow()
        if (numInsertedOrUpdatedRows === 0n) return repeated<Told>(tx, key, asked)
        const answer = await work(tx)
        if (answer === expected) return answer
        await tx
          .updateTable('sandbox_calls')
          .set({ answer: JSON.stringify(answer) })
          .where('key', '=', key)
          .execute()
        return answer
      }),
    )
  }

  return {
    name: 'sandbox',

    async authorise({ paymentId, cents, paymentMethodId }, key) {
      const card = paymentMethodId ?? 'pm_sandbox_ok'
      const intentId = `pi_sandbox_${uuid()}`
      const outcome = card === 'pm_sandbox_declined' ? declined : ({ ok: true, intentId } as const)
      const hold = async (tx: Tx): Promise<GatewayAnswer<{ readonly intentId: string }>> => {
        if (!outcome.ok) return outcome
        const made = await insertIntent(tx, { intent_id: intentId, payment_id: paymentId, cents, card })
        return made ? outcome : earlierHold(tx, paymentId)
      }
      const answer = await once(key, ['authorise', paymentId, cents, card], hold, outcome)
      if (card === 'pm_sandbox_slow') await slow()
      if (card === 'pm_sandbox_lost_answer' && answer.ok && answer.intentId === intentId)
        throw new Error('the sandbox gateway lost its answer on the way')
      return answer
    },

    cancel: (intentId, _reason, key) =>
      once(key, ['cancel', intentId], (tx) =>
        change(tx, intentId, { from: 'requires_capture', to: 'canceled', already: ['canceled'] }),
      ),

    capture: (intentId, key) =>
      once(key, ['capture', intentId], (tx) =>
        change(tx, intentId, { from: 'requires_capture', to: 'succeeded', already: ['succeeded'] }),
      ),

    refund: (intentId, _reason, key) =>
      once(key, ['refund', intentId], (tx) =>
        change(tx, intentId, { from: 'succeeded', to: 'refunded', already: ['refunded'] }),
      ),

    transfer: ({ intentId, account, cents }, key) =>
      once(key, ['transfer', intentId, account, cents], async (tx) => {
        const intent = await find(tx, intentId)
        const earlier = await paidFrom(tx, intentId)
        if (earlier !== undefined) return { ok: true, transferId: earlier.transfer_id }
        if (intent?.status !== 'succeeded') return refusedState(intentId, intent?.status)
        if (intent.card === 'pm_sandbox_release_fails') return cannotBePaid
        const transferId = `tr_sandbox_${uuid()}`
        await tx
          .insertInto('sandbox_transfers')
          .values({ transfer_id: transferId, intent_id: intentId, account, cents, reversed: 0 })
          .execute()
        return { ok: true, transferId }
      }),

    reverse: (transferId, key) =>
      once(key, ['reverse', transferId], async (tx) => {
        const { numUpdatedRows } = await tx
          .updateTable('sandbox_transfers')
          .set({ reversed: 1 })
          .where('transfer_id', '=', transferId)
          .executeTakeFirstOrThrow()
        if (numUpdatedRows > 0n) return { ok: true }
        return { ok: false, code: 'stripe_error', message: `There is no transfer ${transferId}.` }
      }),
  }
}

const declined: Refused = {
  ok: false,
  code: 'STRIPE_CARD_ERROR',
  message: 'Your card was declined.',
  stripeCode: 'card_declined',
}

const cannotBePaid: Refused = {
  ok: false,
  code: 'stripe_error',
  message: "The runner's account cannot receive transfers yet: it is not activated.",
  stripeCode: 'insufficient_capabilities_for_transfer',
}

async function repeated<Told>(tx: Tx, key: string, asked: string): Promise<GatewayAnswer<Told>> {
  const call = await tx.selectFrom('sandbox_calls').selectAll().where('key', '=', key).executeTakeFirstOrThrow()
  if (call.request !== asked) throw new Error(`the key ${key} was used before with another request`)
  return JSON.parse(call.answer) as GatewayAnswer<Told>
}

const find = (tx: Tx, intentId: string) =>
  tx.selectFrom('sandbox_intents').selectAll().where('intent_id', '=', intentId).executeTakeFirst()

/** False where the payment has one already, which is so only under a key that is forgotten by now. */
async function insertIntent(
  tx: Tx,
  { intent_id, payment_id, cents, card }: Omit<SandboxTables['sandbox_intents'], 'status'>,
): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto('sandbox_intents')
    .columns(['intent_id', 'payment_id', 'cents', 'card', 'status'])
    .expression(
      sql`select ${intent_id}, ${payment_id}, cast(${cents} as bigint), ${card}, 'requires_capture'
        where not exists (select * from sandbox_intents where payment_id = ${payment_id})`,
    )
    .executeTakeFirstOrThrow()
  return numInsertedOrUpdatedRows === 1n
}

async function earlierHold(tx: Tx, paymentId: string): Promise<GatewayAnswer<{ readonly intentId: string }>> {
  const { intent_id: intentId, status } = await tx
    .selectFrom('sandbox_intents')
    .selectAll()
    .where('payment_id', '=', paymentId)
    .executeTakeFirstOrThrow()
  const holds = status === 'requires_capture' || status === 'succeeded'
  return holds ? { ok: true, intentId } : { ...refusedState(intentId, status), code: 'STRIPE_UNEXPECTED_STATUS' }
}

const paidFrom = (tx: Tx, intentId: string) =>
  tx
    .selectFrom('sandbox_transfers')
    .select('transfer_id')
    .where('intent_id', '=', intentId)
    .where('reversed', '=', 0)
    .executeTakeFirst()

type IntentStatus = SandboxTables['sandbox_intents']['status']

async function change(
  tx: Tx,
  intentId: string,
  { from, to, already }: { from: IntentStatus; to: IntentStatus; already: readonly IntentStatus[] },
): Promise<GatewayAnswer> {
  const { numUpdatedRows } = await tx
    .updateTable('sandbox_intents')
    .set({ status: to })
    .where('intent_id', '=', intentId)
    .where('status', '=', from)
    .executeTakeFirstOrThrow()
  if (numUpdatedRows > 0n) return { ok: true }
  const status = (await find(tx, intentId))?.status
  return status !== undefined && already.includes(status) ? { ok: true } : refusedState(intentId, status)
}

const refusedState = (intentId: string, status: IntentStatus | undefined): Refused => ({
  ok: false,
  code: 'stripe_error',
  message:
    status === undefined ? `There is no payment intent ${intentId}.` : `Payment intent ${intentId} is ${status}.`,
  ...(status === undefined ? {} : { stripeStatus: status }),
})
