/** The Payment Service: holds, takes, transfers and gives back money, and keeps the books of it. */
import type { Logger } from 'pino'
import { allowOrigins, knownPages } from '../shared/http/origins.ts'
import { openParticipantService } from '../shared/participant-service.ts'
import type { OpenService, ServiceOptions } from '../shared/service.ts'
import { paymentCommands, refusePayment, type PaymentContext } from './commands.ts'
import { namesOf } from './gateways.ts'
import { moneyMover } from './money-mover.ts'
import { paymentErrors, paymentRoutes } from './routes.ts'
import { countElsewhere } from './rows.ts'
import { sandboxGateway } from './sandbox-gateway.ts'
import { paymentMigrations, type PaymentTables } from './schema.ts'
import { stripeGateway, type StripeOptions } from './stripe-gateway.ts'
import { openUpkeep } from './upkeep.ts'

export interface PaymentServiceOptions extends ServiceOptions {
  /** Moves real money where it is given; without it the sandbox plays with its own. */
  readonly stripe?: StripeOptions
  /** How long a hold may wait for its release, in milliseconds; 6 days where none is given: Stripe ends holds after 7. */
  readonly holdMs?: number
}

/** A gateway answers in a second or so; Stripe takes about 100 calls a second. With few at once, orders queue for minutes. */
const callsAtOnce = 64

const sixDaysMs = 6 * 24 * 60 * 60_000

export function openPaymentService(options: PaymentServiceOptions): Promise<OpenService> {
  const { log, now, transport } = options
  return openParticipantService<PaymentTables>(options, {
    participant: 'payment',
    title: 'Payment Service',
    description: 'Authorises, releases and reverts payments, and keeps double-entry books.',
    migrations: paymentMigrations(options.database.kind),
    errors: paymentErrors,
    parts(database) {
      const { db } = database
      const gateways = {
        sandbox: sandboxGateway(db),
        ...(options.stripe === undefined ? {} : { stripe: stripeGateway({ ...options.stripe, now }) }),
      }
      const context = { db, gateways, mover: moneyMover(db, gateways), now, holdMs: options.holdMs ?? sixDaysMs }
      const upkeep = openUpkeep(context, (err) => log.warn({ err }, 'an overdue payment could not be ended'))
      let told = Promise.resolve()
      return {
        handlers: paymentCommands(context),
        refuse: refusePayment,
        concurrency: callsAtOnce,
        routes(server, obey) {
          allowOrigins(server, knownPages)
          paymentRoutes(server, { database, transport, source: 'payment-service', now, obey })
        },
        begin() {
          told = tellOfWaiting(context, log)
          upkeep.begin()
        },
        async stop() {
          await told
          await upkeep.stop()
        },
      }
    },
  })
}

/** Once, at the start: such a payment is left alone without a word after that. */
async function tellOfWaiting({ db, gateways }: PaymentContext, log: Logger): Promise<void> {
  try {
    const payments = await countElsewhere(db, namesOf(gateways))
    if (payments === 0) return
    log.warn({ payments }, 'unfinished payments wait for a gateway that is not configured here: set STRIPE_SECRET_KEY')
  } catch (error) {
    log.warn({ err: error }, 'payments that wait for a gateway that is not configured could not be counted')
  }
}
