/**
 * Moves a payment's money at the gateway, and writes down what became of it.
 *
 * Each kind of work goes the same way, so that it can be cut off anywhere and begun again: the row is claimed
 * (`INITIATING`, `RELEASING`, `REVERTING`); the gateway is asked under keys derived from the row; what it said is settled
 * in one transaction, with the books, provided that the row is still as it was claimed.
 *
 * Invariants:
 * - a payment stays with the gateway that its row names, which alone knows of its money;
 * - that gateway is asked about a row only while that row says so, and always under the same keys: whoever asks again,
 *   after a crash or at the same time, hears the first answer and moves nothing twice;
 * - an undo asks for the hold under the hold's own key before it lets go of it: that finds out what a lost answer said, and
 *   leaves nothing for a late authorisation to take. Where the key is forgotten the gateway finds the hold: never a second;
 * - a payment has succeeded only once the runner has the money. A transfer that is refused after the money was taken leaves
 *   it in escrow (`CAPTURED`): a capture cannot be taken back, and to refund is for whoever asked for the release to decide.
 *   The release can be asked for again, and so can the revert.
 */
import type { Kysely, Transaction } from 'kysely'
import type { HoldRequest, Refused, RevertReason } from './gateway.ts'
import { gatewayOf, type Gateways } from './gateways.ts'
import { balancesByPayment, nothing, post, type Balances, type Move } from './ledger.ts'
import { changePayments, findPayment, type Changing } from './rows.ts'
import type { PaymentRow, PaymentStatus, PaymentTables } from './schema.ts'

/** What the gateway said, ready to be written. */
export interface Settlement extends Changing {
  readonly moves: readonly Pick<Move, 'posting' | 'from' | 'to'>[]
  /** Null where all went as asked. */
  readonly refused: Refused | null
}

export interface MoneyMover {
  /** Asks for the hold of a row that is `INITIATING`. Null where the payment was undone meanwhile; then nothing is held. */
  hold(row: PaymentRow): Promise<Settlement | null>
  /** Takes the money of a row that is `RELEASING`, and gives it to the runner. */
  release(row: PaymentRow): Promise<Settlement>
  /** Brings the money of a row that is `REVERTING` back to the customer. */
  revert(row: PaymentRow): Promise<Settlement>
}

export function moneyMover(db: Kysely<PaymentTables>, gateways: Gateways): MoneyMover {
  const whereMoneyIs = async (row: PaymentRow): Promise<Balances> =>
    (await balancesByPayment(db, row.payment_id)).get(row.payment_id) ?? nothing

  async function letGo(row: PaymentRow, intentId: string, held: boolean): Promise<Settlement> {
    const answer = await gatewayOf(gateways, row).cancel(intentId, reasonOf(row), attemptKey('cancel', row))
    const known = { intent_id: intentId, card: null }
    if (!answer.ok) return refusal(row, 'REVERTING', answer, known)
    const moves = held ? ([{ posting: 'revert', from: 'held', to: 'customer' }] as const) : []
    return { row, change: { status: 'REVERTED', ...known }, moves, refused: null }
  }

  async function giveBack(row: PaymentRow, intentId: string, fromRunner: boolean): Promise<Settlement> {
    const gateway = gatewayOf(gateways, row)
    const reversal = fromRunner ? ([{ posting: 'reversal', from: 'runner', to: 'escrow' }] as const) : []
    if (fromRunner) {
      const reversed = await gateway.reverse(transferOf(row), attemptKey('reverse', row))
      if (!reversed.ok) return refusal(row, 'SUCCEEDED', reversed)
    }
    const refunded = await gateway.refund(intentId, reasonOf(row), attemptKey('refund', row))
    if (!refunded.ok) return { ...refusal(row, 'REVERTING', refunded), moves: reversal }
    const revert = { posting: 'revert', from: 'escrow', to: 'customer' } as const
    return { row, change: { status: 'REVERTED' }, moves: [...reversal, revert], refused: null }
  }

  return {
    async hold(row) {
      const gateway = gatewayOf(gateways, row)
      const answer = await gateway.authorise(holdRequest(row), holdKey(row))
      const current = await findPayment(db, row.payment_id)
      if (current?.status === 'REVERTING' || current?.status === 'REVERTED') {
        // The undo has asked under the same key and lets go by itself; this is for a gateway that has forgotten the key
        // and finds no hold. Such a gateway gives another intent, so the intent is part of the key.
        const key = `${attemptKey('cancel', current)}:${answer.ok ? answer.intentId : ''}`
        if (answer.ok) await gateway.cancel(answer.intentId, reasonOf(current), key)
        return null
      }
      if (!answer.ok) {
        const change = { status: 'FAILED', card: null, refusal: JSON.stringify(answer) } as const
        return { row, change, moves: [], refused: answer }
      }
      return {
        row,
        change: { status: 'AUTHORIZED', card: null, intent_id: answer.intentId },
        moves: [{ posting: 'hold', from: 'customer', to: 'held' }],
        refused: null,
      }
    },

    async release(row) {
      const gateway = gatewayOf(gateways, row)
      const intentId = intentOf(row)
      const { held } = await whereMoneyIs(row)
      if (held > 0) {
        const captured = await gateway.capture(intentId, attemptKey('capture', row))
        if (!captured.ok) return refusal(row, 'AUTHORIZED', captured)
      }
      const capture = held > 0 ? ([{ posting: 'capture', from: 'held', to: 'escrow' }] as const) : []
      const request = {
        intentId,
        paymentId: row.payment_id,
        orderId: row.order_id ?? '',
        cents: row.cents,
        account: row.runner_account ?? '',
      }
      const paid = await gateway.transfer(request, attemptKey('transfer', row))
      if (!paid.ok) return { ...refusal(row, 'CAPTURED', paid), moves: capture }
      return {
        row,
        change: { status: 'SUCCEEDED', transfer_id: paid.transferId },
        moves: [...capture, { posting: 'release', from: 'escrow', to: 'runner' }],
        refused: null,
      }
    },

    async revert(row) {
      if (row.intent_id === null) {
        const answer = await gatewayOf(gateways, row).authorise(holdRequest(row), holdKey(row))
        if (answer.ok) return letGo(row, answer.intentId, false)
        return { row, change: { status: 'REVERTED', card: null }, moves: [], refused: null }
      }
      const { held, runner, escrow } = await whereMoneyIs(row)
      if (runner > 0 || escrow > 0) return giveBack(row, row.intent_id, runner > 0)
      return letGo(row, row.intent_id, held > 0)
    },
  }
}

/** Somebody else was faster; the same work, begun again, finds what they did. */
export class PaymentChangedError extends Error {
  override readonly name = 'PaymentChangedError'

  constructor({ payment_id, status }: PaymentRow) {
    super(`payment ${payment_id} is no longer ${status} as it was read: it is being changed by another; tried again`)
  }
}

/**
 * @returns the rows as they became, by payment
 * @throws PaymentChangedError where a row has changed since it was claimed; nothing is written then
 */
export async function settle(
  tx: Transaction<PaymentTables>,
  settlements: readonly Settlement[],
  now: number,
): Promise<ReadonlyMap<string, PaymentRow>> {
  const changed = await changePayments(tx, settlements, now)
  const settled = new Map(changed.map((row) => [row.payment_id, row]))
  const stale = settlements.find(({ row }) => !settled.has(row.payment_id)) ?? settlements.at(-1)
  // Also where two of them are of one payment: the first has changed what the second was decided on.
  if (stale !== undefined && changed.length !== settlements.length) throw new PaymentChangedError(stale.row)
  const moves = settlements.flatMap(({ row, moves }) =>
    moves.map((move) => ({ ...move, paymentId: row.payment_id, cents: row.cents, at: now })),
  )
  await post(tx, moves)
  return settled
}

/** Refused for good under this attempt's keys; whoever tries again does so under others. */
function refusal(row: PaymentRow, status: PaymentStatus, refused: Refused, known: Changing['change'] = {}): Settlement {
  return { row, change: { ...known, status, attempt: row.attempt + 1 }, moves: [], refused }
}

const holdKey = (row: PaymentRow): string => `hold:${row.command_id}`
const attemptKey = (what: string, row: PaymentRow): string => `${what}:${row.payment_id}:${row.attempt}`
const reasonOf = (row: PaymentRow): RevertReason => row.revert_reason ?? 'requested_by_customer'

function holdRequest(row: PaymentRow): HoldRequest {
  const card = JSON.parse(row.card ?? 'null') as Pick<
    HoldRequest,
    'stripeCustomerId' | 'paymentMethodId' | 'returnUrl'
  > | null
  if (card === null || row.order_id === null || row.customer_id === null) {
    throw new Error(`payment ${row.payment_id} is ${row.status}, but what it needs to be asked for is not there`)
  }
  return {
    ...card,
    paymentId: row.payment_id,
    begunAt: row.created_at,
    orderId: row.order_id,
    customerId: row.customer_id,
    sagaId: row.saga_id,
    cents: row.cents,
    description: row.description,
  }
}

function intentOf(row: PaymentRow): string {
  if (row.intent_id === null) throw new Error(`payment ${row.payment_id} is ${row.status}, but has no intent`)
  return row.intent_id
}

function transferOf(row: PaymentRow): string {
  if (row.transfer_id === null) throw new Error(`payment ${row.payment_id} is ${row.status}, but has no transfer`)
  return row.transfer_id
}
