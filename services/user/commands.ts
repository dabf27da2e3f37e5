/** How the User Service obeys its command: it reads, and refuses with what is missing. */
import type { Transaction } from 'kysely'
import { done, handleAll, rejected, type Handled } from 'ordersaga/participant'
import { getPaymentInfo } from './messages.ts'
import type { UserTables } from './schema.ts'
import { findUsers } from './rows.ts'

type Tx = Transaction<UserTables>

export function userCommands(): readonly Handled<Tx>[] {
  return [
    handleAll(getPaymentInfo, async (tx: Tx, commands) => {
      const ids = [...new Set(commands.map(({ payload }) => payload.user_id))]
      const users = new Map((await findUsers(tx, ids)).map((user) => [user.user_id, user]))
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
  ]
}
