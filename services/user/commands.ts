/** How the User Service obeys its command: it reads, and refuses with what is missing. */
import type { Transaction } from 'kysely'
import { done, handle, rejected, type Handled } from 'ordersaga/participant'
import { getPaymentInfo } from './messages.ts'
import type { UserTables } from './schema.ts'
import { findUser } from './users.ts'

type Tx = Transaction<UserTables>

export function userCommands(): readonly Handled<Tx>[] {
  return [
    handle(getPaymentInfo, async (tx: Tx, { payload: { user_id } }) => {
      const user = await findUser(tx, user_id)
      if (user === undefined) return rejected(`there is no user ${user_id}`)
      if (user.stripe_customer_id === null) return rejected(`user ${user_id} has no Stripe customer`)
      if (user.payment_method_id === null) return rejected(`user ${user_id} has no default payment method`)
      return done({
        payment_info: { stripeCustomerId: user.stripe_customer_id, paymentMethodId: user.payment_method_id },
      })
    }),
  ]
}
