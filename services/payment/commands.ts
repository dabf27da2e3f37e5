/**
 * How the Payment Service obeys its commands.
 *
 * What is asked of the gateway is asked in `prepare`, which may run any number of times; `applyAll` only writes what it said.
 *
 * Invariants:
 * - every command is answered, refusals with a code of the contract and a sentence;
 * - an undo settles an authorisation of unknown outcome by itself, because the kit refuses the authorisation from then on;
 * - one that comes before its command leaves a marker, which keeps the command from the gateway.
 */
import type { Kysely, Transaction } from 'kysely'
import {
  done,
  handleAll,
  rejected,
  type Answer,
  type Handled,
  type KitRefusal,
  type ReceivedCommand,
  type Refuse,
} from 'ordersaga/participant'
import { decimalOf } from '../shared/money/money.ts'
import type { Refused } from './gateway.ts'
import { gatewayOf, gatewayOfNew, type Gateways } from './gateways.ts'
import { authorizePayment, releaseFunds, releasePayment, revertPayment, type RunnerPaymentInfo } from './messages.ts'
import { PaymentChangedError, settle, type MoneyMover, type Settlement } from './money-mover.ts'
import { readRequest } from './request.ts'
import {
  beginPayment,
  changePayment,
  findByCommand,
  findByOrder,
  findPayment,
  isMarker,
  markUndone,
  revertReasonOf,
  type PaymentChange,
  type PaymentRequest,
} from './rows.ts'
import type { PaymentRow, PaymentTables } from './schema.ts'
import { shownStatus } from './view.ts'

type Tx = Transaction<PaymentTables>

export interface PaymentContext {
  readonly db: Kysely<PaymentTables>
  readonly gateways: Gateways
  readonly mover: MoneyMover
  readonly now: () => number
  /** How long a hold may wait for its release. */
  readonly holdMs: number
}

/** Either the answer is known, or the gateway has spoken and it follows from what is now written. */
type Prepared<Data> =
  | { readonly kind: 'answer'; readonly answer: Answer<Data> }
  | { readonly kind: 'settle'; readonly settlement: Settlement }

const known = <Data>(answer: Answer<Data>): Prepared<Data> => ({ kind: 'answer', answer })
const told = (settlement: Settlement): Prepared<never> => ({ kind: 'settle', settlement })

const codeOf: Readonly<Record<KitRefusal['cause'], string>> = {
  bad_payload: 'INVALID_PAYLOAD',
  undone_before: 'invalid_state',
}

/** What no handler sees is refused with a code of the contract, too. */
export const refusePayment: Refuse = ({ cause, why, command }) => {
  const { order_id } = Object(command.payload) as { readonly order_id?: unknown }
  return rejected(`${codeOf[cause]}: ${why}`, typeof order_id === 'string' ? { order_id } : {})
}

export function paymentCommands(context: PaymentContext): readonly Handled<Tx>[] {
  const { now } = context

  /** Writes what the gateway said of all of them, and answers each. */
  async function answersTo<Data>(
    tx: Tx,
    prepared: readonly Prepared<Data>[],
    answer: (row: PaymentRow) => Data,
  ): Promise<readonly Answer<Data>[]> {
    const settlements = prepared.flatMap((each) => (each.kind === 'settle' ? [each.settlement] : []))
    const rows = await settle(tx, settlements, now())
    return prepared.map((each) => {
      if (each.kind === 'answer') return each.answer
      const { row, refused } = each.settlement
      const settled = rows.get(row.payment_id) ?? row
      return refused === null ? done(answer(settled)) : refusedBy(refused, settled)
    })
  }

  return [
    handleAll(authorizePayment, {
      prepare: (command) => prepareHold(context, command),
      applyAll: (tx: Tx, _commands, prepared) => answersTo(tx, prepared, authorized),
    }),
    handleAll(revertPayment, {
      prepare: (command) => prepareRevert(context, command),
      applyAll: (tx: Tx, _commands, prepared) => answersTo(tx, prepared, reverted),
    }),
    handleAll(releasePayment, {
      prepare: (command) => prepareRelease(context, command),
      applyAll: (tx: Tx, _commands, prepared) => answersTo(tx, prepared, released),
    }),
    handleAll(releaseFunds, {
      prepare: (command) => prepareReleaseOfOrder(context, command),
      applyAll: (tx: Tx, _commands, prepared) => answersTo(tx, prepared, fundsReleased),
    }),
  ]
}

type AuthorizePayload = Parameters<typeof readRequest>[0]

async function prepareHold(
  { db, gateways, mover, now, holdMs }: PaymentContext,
  command: ReceivedCommand<AuthorizePayload>,
): Promise<Prepared<ReturnType<typeof authorized>>> {
  const read = readRequest(command.payload)
  if (!read.ok) return known(rejected(`INVALID_AMOUNT: ${read.why}`, { order_id: command.payload.order_id }))

  const gateway = gatewayOfNew(gateways).name
  const begun = { commandId: command.id, sagaId: command.sagaId, gateway, expiresAt: now() + holdMs }
  const row = await beginPayment(db, read.request, begun, now())
  if (row.status === 'REVERTED' || row.status === 'REVERTING') return known(undoneBefore(row))
  if (!isFor(row, read.request)) {
    const why = `order ${row.order_id} has a payment of another amount or customer already`
    return known(rejected(`INVALID_PAYLOAD: ${why}`, { order_id: read.request.orderId }))
  }
  if (row.status === 'FAILED') return known(refusedBy(JSON.parse(row.refusal ?? '') as Refused, row))
  if (row.status !== 'INITIATING') return known(done(authorized(row)))
  const settlement = await mover.hold(row)
  return settlement === null ? known(undoneBefore(row)) : told(settlement)
}

const isFor = (row: PaymentRow, request: PaymentRequest): boolean =>
  row.order_id === request.orderId && row.cents === request.cents && row.customer_id === request.customerId

interface RevertPayload {
  readonly payment_id?: string | null | undefined
  readonly order_id?: string | null | undefined
  readonly reason?: string | null | undefined
}

async function prepareRevert(
  context: PaymentContext,
  command: ReceivedCommand<RevertPayload>,
): Promise<Prepared<ReturnType<typeof reverted>>> {
  const { mover } = context
  const { payload } = command
  const row = await findUndone(context, command)
  if (row === undefined) {
    const which = payload.payment_id ?? `of order ${payload.order_id ?? '(not named)'}`
    return known(rejected(`not_found: there is no payment ${which}`, about(payload.payment_id, payload.order_id)))
  }
  if (row.status === 'REVERTED' || row.status === 'FAILED') return known(done(reverted(row)))
  // What is undone has not taken the money: who has, keeps it.
  if (command.original?.kind === 'rejected' && row.status === 'SUCCEEDED')
    return known(
      rejected(
        'invalid_state: the payment was released by another request, and the one that is undone was refused: a person decides',
        about(row.payment_id, row.order_id),
      ),
    )
  if (command.original?.kind === 'done' && isOfAnother(command.original.payload, row))
    return known(rejected('invalid_state: what is undone is of another payment', about(row.payment_id, row.order_id)))
  // Whether the runner gets the money is being found out; only then is it known what to take back.
  if (row.status === 'RELEASING') throw new Error(`payment ${row.payment_id} is being released; reverted after that`)
  if (row.status === 'REVERTING') return told(await mover.revert(row))
  const claim = { status: 'REVERTING', revert_reason: revertReasonOf(payload.reason) } as const
  return told(await mover.revert(await claimFor(context, command.id, row, claim)))
}

function isOfAnother(told: unknown, { payment_id }: PaymentRow): boolean {
  const named = madeBy(told)
  return typeof named === 'string' && named !== payment_id
}

/** The payment to undo, or the marker that now keeps its command out. Undefined where nothing says which it is. */
async function findUndone(
  { db, gateways, now }: PaymentContext,
  { payload, undoes, original, sagaId }: ReceivedCommand<RevertPayload>,
): Promise<PaymentRow | undefined> {
  const orderId = payload.order_id ?? null
  const paymentId = payload.payment_id ?? madeBy(original?.payload)
  if (paymentId !== undefined) return findPayment(db, paymentId)
  const find = async () =>
    (undoes === null ? undefined : await findByCommand(db, undoes)) ??
    (orderId === null ? undefined : await findByOrder(db, orderId))
  const row = await find()
  if (row !== undefined || undoes === null) return row
  await markUndone(db, { commandId: undoes, orderId, sagaId, gateway: gatewayOfNew(gateways).name }, now())
  // The marker, or the payment that was begun at this very moment.
  return find()
}

/** The payment that the undone `authorize_payment` made here. */
const madeBy = (payload: unknown): string | undefined =>
  (payload as { readonly payment_id?: string } | null | undefined)?.payment_id

interface ReleasePayload {
  readonly payment_id: string
  readonly runner_id: string
  readonly runner_connect_account_id: string
}

async function prepareRelease(
  context: PaymentContext,
  { id, payload }: ReceivedCommand<ReleasePayload>,
): Promise<Prepared<ReturnType<typeof released>>> {
  const row = await findPayment(context.db, payload.payment_id)
  if (row === undefined || isMarker(row)) {
    return known(rejected(`not_found: there is no payment ${payload.payment_id}`, { payment_id: payload.payment_id }))
  }
  const runner = { runner_id: payload.runner_id, runner_account: payload.runner_connect_account_id }
  return prepareReleaseTo(context, id, row, runner, released)
}

interface ReleaseOfOrder {
  readonly order_id: string
  readonly runnerPaymentInfo: RunnerPaymentInfo
}

async function prepareReleaseOfOrder(
  context: PaymentContext,
  { id, payload: { order_id, runnerPaymentInfo: info } }: ReceivedCommand<ReleaseOfOrder>,
): Promise<Prepared<ReturnType<typeof fundsReleased>>> {
  const runner_id = info.runner_id ?? info.runnerId ?? info.clerkUserId
  const runner_account = info.stripeConnectAccountId ?? info.stripe_connect_account_id ?? info.runner_connect_account_id
  if (runner_id == null) return known(rejected('INVALID_PAYLOAD: runnerPaymentInfo names no runner_id', { order_id }))
  if (runner_account == null) {
    const why = `runner ${runner_id} has no account to be paid to: set one with PUT /api/user/<id>/connect-account`
    return known(rejected(`INVALID_PAYLOAD: ${why}`, { order_id }))
  }
  const row = await findByOrder(context.db, order_id)
  if (row === undefined || isMarker(row))
    return known(rejected(`not_found: there is no payment of order ${order_id}`, { order_id }))
  return prepareReleaseTo(context, id, row, { runner_id, runner_account }, fundsReleased)
}

async function prepareReleaseTo<Data>(
  context: PaymentContext,
  commandId: string,
  row: PaymentRow,
  runner: Pick<PaymentRow, 'runner_id' | 'runner_account'>,
  answer: (row: PaymentRow) => Data,
): Promise<Prepared<Data>> {
  const sameRunner = row.runner_id === runner.runner_id && row.runner_account === runner.runner_account
  switch (row.status) {
    case 'SUCCEEDED':
      return known(sameRunner ? done(answer(row)) : otherRunner(row))
    case 'RELEASING':
      return sameRunner ? told(await context.mover.release(row)) : known(otherRunner(row))
    case 'AUTHORIZED':
    case 'CAPTURED': {
      const claimed = await claimFor(context, commandId, row, { status: 'RELEASING', ...runner })
      return told(await context.mover.release(claimed))
    }
    default: {
      const why = `payment ${row.payment_id} is ${row.status}: only one that is AUTHORIZED can be released`
      return known(rejected(`invalid_status: ${why}`, about(row.payment_id, row.order_id)))
    }
  }
}

/**
 * Claims a row for a command, unless that command was answered meanwhile by a delivery at the same time: what it has been
 * told must stay true, and nobody would settle what is begun for it now.
 *
 * @throws GatewayMissingError before anything is changed
 */
async function claimFor(
  { db, gateways, now }: PaymentContext,
  commandId: string,
  row: PaymentRow,
  change: PaymentChange,
): Promise<PaymentRow> {
  gatewayOf(gateways, row) // or else it would be claimed for somebody who is not there
  return db.transaction().execute(async (tx) => {
    const claimed = await changePayment(tx, row, change, now())
    if (claimed === undefined) throw new PaymentChangedError(row)
    // The reply commits together with the row that it tells of: whoever has read the one sees the other.
    const answered = await tx.selectFrom('inbox').select('kind').where('command_id', '=', commandId).executeTakeFirst()
    if (answered !== undefined) throw new PaymentChangedError(row)
    return claimed
  })
}

function otherRunner(row: PaymentRow): Answer<never> {
  const why = `payment ${row.payment_id} is released to another runner or account already`
  return rejected(`invalid_state: ${why}`, about(row.payment_id, row.order_id))
}

function undoneBefore(row: PaymentRow): Answer<never> {
  const about = isMarker(row) ? {} : { payment_id: row.payment_id }
  return rejected('invalid_state: it was undone before', { ...about, order_id: row.order_id })
}

function refusedBy({ code, message, stripeCode, stripeStatus }: Refused, row: PaymentRow): Answer<never> {
  return rejected(`${code}: ${message}`, {
    ...about(row.payment_id, row.order_id),
    ...(stripeCode === undefined ? {} : { stripe_code: stripeCode }),
    ...(stripeStatus === undefined ? {} : { stripe_status: stripeStatus }),
  })
}

const about = (paymentId: string | null | undefined, orderId: string | null | undefined) => ({
  payment_id: paymentId ?? null,
  order_id: orderId ?? null,
})

const authorized = (row: PaymentRow) => ({
  payment_id: row.payment_id,
  order_id: row.order_id,
  payment_intent_id: row.intent_id,
  status: shownStatus(row),
})

const reverted = (row: PaymentRow) => ({
  payment_id: isMarker(row) ? null : row.payment_id,
  order_id: row.order_id,
  status: 'REVERTED',
  message: 'No money of this payment is held or taken.',
})

const released = (row: PaymentRow) => ({
  payment_id: row.payment_id,
  order_id: row.order_id,
  runner_id: row.runner_id,
  amount: decimalOf(row.cents),
  status: 'SUCCEEDED',
  transfer_id: row.transfer_id,
})

const fundsReleased = (row: PaymentRow) => ({ ...released(row), status: 'SUCCESS' })
