/**
 * How the payments of the Order Orchestration obey their commands.
 *
 * Invariants:
 * - a transaction is charged once, also where its command comes again under another id, and once it is undone never;
 * - a payment is written down before its card is charged, so that no money moves of which nobody knows;
 * - what is paid in cash is written down and not charged: it is `Pending` until it was collected.
 */
import type { Kysely, Transaction } from 'kysely'
import {
  done,
  handleAll,
  rejected,
  type Answer,
  type Handled,
  type ReceivedCommand,
  type Refuse,
} from 'ordersaga/participant'
import { retryContention } from '../shared/database/database.ts'
import { centsOf } from '../shared/money/money.ts'
import type { CardGateway } from './gateway.ts'
import { rollbackPayment, takePayment, updatePaymentOrderId, type PaymentMethod } from './messages.ts'
import { begin, cancelPayments, setOrders, setStatuses, type NewPayment } from './rows.ts'
import type { PaymentRow, ShopPaymentTables } from './schema.ts'

type Tx = Transaction<ShopPaymentTables>

export interface CommandParts {
  readonly db: Kysely<ShopPaymentTables>
  readonly gateway: CardGateway
  readonly now: () => number
}

export function shopPaymentCommands({ db, gateway, now }: CommandParts): readonly Handled<Tx>[] {
  return [
    handleAll(takePayment, {
      /** Why the card was refused; null where there is nothing to refuse. */
      async prepare(command): Promise<string | null> {
        const wanted = paymentOf(command)
        if (wanted.method === 'Cash on Delivery') return null
        const begun = await retryContention(() => db.transaction().execute((tx) => begin(tx, [wanted], now())))
        const payment = begun.get(wanted.transactionId)
        if (payment === undefined || isOther(payment, wanted)) return null
        if (payment.status === 'Failed')
          await setStatuses(db, [payment.payment_id], { from: ['Failed'], to: 'Pending' }, now()) // it is tried again
        const charged = await gateway.charge({
          key: wanted.transactionId,
          userEmail: wanted.userEmail,
          cents: wanted.cents,
        })
        return charged.ok ? null : charged.why
      },
      async applyAll(tx: Tx, commands, refusals) {
        const wanted = commands.map(paymentOf)
        const payments = await begin(tx, wanted, now())
        const answers = wanted.map((each, index) => answerTo(each, payments.get(each.transactionId), refusals[index]))
        const paid = (index: number): boolean =>
          answers[index]?.kind === 'done' && wanted[index]?.method !== 'Cash on Delivery'
        const refused = (index: number): boolean => refusals[index] != null
        const idsOf = (which: (index: number) => boolean): string[] =>
          wanted.flatMap(({ transactionId }, index) =>
            which(index) ? (payments.get(transactionId)?.payment_id ?? []) : [],
          )
        await setStatuses(tx, idsOf(paid), { from: ['Pending'], to: 'Success' }, now())
        await setStatuses(tx, idsOf(refused), { from: ['Pending'], to: 'Failed' }, now())
        return answers
      },
    }),

    handleAll(rollbackPayment, {
      prepare: ({ sagaId }) => gateway.giveBack(sagaId),
      async applyAll(tx: Tx, commands) {
        await cancelPayments(
          tx,
          commands.map(({ sagaId }) => sagaId),
          now(),
        )
        return commands.map(() => done(null))
      },
    }),

    handleAll(updatePaymentOrderId, async (tx: Tx, commands) => {
      const orders = new Map(commands.map(({ payload }) => [payload.payment_id, payload.order_id]))
      const payments = await setOrders(tx, orders, now())
      return commands.map(({ payload: { payment_id, order_id } }) => {
        const payment = payments.get(payment_id)
        if (payment === undefined) return rejected(`there is no payment ${payment_id}`)
        return payment.order_id === order_id ? done(null) : rejected(`payment ${payment_id} is of another order`)
      })
    }),
  ]
}

type TakeCommand = ReceivedCommand<{
  readonly user_email: string
  readonly order_id?: string | null | undefined
  readonly amount: number
  readonly payment_method: PaymentMethod
}>

const paymentOf = ({ sagaId, payload }: TakeCommand): NewPayment => ({
  transactionId: sagaId,
  userEmail: payload.user_email,
  orderId: payload.order_id ?? null,
  cents: centsOf(payload.amount, 'amount'),
  method: payload.payment_method,
})

const isOther = (payment: PaymentRow, { cents, method, userEmail }: NewPayment): boolean =>
  payment.cents !== cents || payment.payment_method !== method || payment.user_email !== userEmail

function answerTo(
  wanted: NewPayment,
  payment: PaymentRow | undefined,
  refusal: string | null | undefined,
): Answer<{ readonly payment_id: string }> {
  if (payment === undefined || payment.status === 'Cancelled' || payment.status === 'Refund')
    return rejected('it was undone before it arrived', noPayment)
  if (isOther(payment, wanted)) return rejected('its transaction has another payment', noPayment)
  const { payment_id } = payment
  return refusal == null ? done({ payment_id }) : rejected(refusal, { payment_id })
}

/** Foreign orchestrators read the id before the status, and stand still where there is none (docs/wire-contract.md 7.6). */
const noPayment = { payment_id: '' }

/** What no handler sees. */
export const refuseShopPayment: Refuse = ({ why }) => rejected(why, noPayment)
