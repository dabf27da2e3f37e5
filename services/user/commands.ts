/** How the User Service obeys its commands: it reads, and refuses with what is missing. */
import type { Transaction } from 'kysely'
import { done, handleAll, rejected, type Handled } from 'ordersaga/participant'
import type { OrderReader } from '../order/reader.ts'
import { getPaymentInfo, getRunnerPaymentInfo } from './messages.ts'
import { findUsers } from './rows.ts'
import type { UserRow, UserTables } from './schema.ts'

type Tx = Transaction<UserTables>

/** @param orders tells whose order it is, where a command names no runner */
export function userCommands(orders: OrderReader): readonly Handled<Tx>[] {
  return [
    handleAll(getPaymentInfo, async (tx: Tx, commands) => {
      const users = await usersById(
        tx,
        commands.map(({ payload }) => payload.user_id),
      )
      return commands.map(({ payload: { user_id } }) => {
        const user = users.get(user_id)
        if (user === undefined) return rejected(`there is no user ${user_id}`)
        if (user.stripe_customer_id === null)
          return rejected(`user ${user_id} has no Stripe customer; set one with its payment method`)
        if (user.payment_method_id === null) return rejected(`user ${user_id} has no default payment method`)
        return done({
          payment_info: { stripeCustomerId: user.stripe_customer_id, paymentMethodId: user.payment_method_id },
        })
      })
    }),
    handleAll(getRunnerPaymentInfo, {
      /** The runner's id; or why there is none. */
      async prepare({ payload: { order_id, runner_id } }): Promise<{ readonly id: string } | { readonly why: string }> {
        if (runner_id != null) return { id: runner_id }
        const order = await orders(order_id)
        if (order === null) return { why: `there is no order ${order_id}` }
        if (order.runnerId === null) return { why: `order ${order_id} has no runner` }
        return { id: order.runnerId }
      },
      async applyAll(tx: Tx, commands, prepared) {
        const users = await usersById(
          tx,
          prepared.flatMap((runner) => ('id' in runner ? [runner.id] : [])),
        )
        return commands.map(({ payload: { order_id } }, index) => {
          const runner = prepared[index]
          if (runner === undefined || 'why' in runner) return rejected(runner?.why ?? '', { order_id })
          const account = users.get(runner.id)?.stripe_connect_account_id
          if (account === undefined) return rejected(`there is no user ${runner.id}`, { order_id })
          if (account === null)
            return rejected(`runner ${runner.id} has no Connect account to be paid to; set one`, { order_id })
          return done({ order_id, payment_info: { runner_id: runner.id, stripeConnectAccountId: account } })
        })
      },
    }),
  ]
}

async function usersById(tx: Tx, ids: readonly string[]): Promise<ReadonlyMap<string, UserRow>> {
  if (ids.length === 0) return new Map()
  return new Map((await findUsers(tx, [...new Set(ids)])).map((user) => [user.user_id, user]))
}
